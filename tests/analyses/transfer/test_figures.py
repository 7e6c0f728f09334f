"""What the figures of transfer leave out, and which state they choose."""

import numpy as np
import pytest
import xarray as xr

from analyses.transfer import figure_data
from neuroglot.analyses.transfer.figures import correlation, deactivation, lape, latent_spaces
from neuroglot.figures import style
from support import reading


@pytest.mark.parametrize(
    ("drawing", "panels"),
    [
        (latent_spaces.FIGURES["principal_components"], ["0.9 of the variance"]),
    ],
)
def test_numbers_near_the_number_of_segments_are_left_out(
    drawing: style.Drawing, panels: list[str]
) -> None:
    ds = figure_data.dataset("alignment", languages=3, stacks={"decoder": 3})
    few = ds.isel(segment=slice(29))
    few["components"] = few["components"] * [0.3, 1, 1]
    titles = [ax.get_title() for ax in drawing.draw(few).axes]
    assert titles == panels
    assert drawing.finding(few) == "Cannot be told at this size, of 29 segments."


def test_a_family_is_drawn_once_and_only_if_it_has_several_languages() -> None:
    ds = figure_data.dataset("correlation")
    (panel, *_) = correlation.correlation_ratio(ds).axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names[-2:] == ["Chinese (Mandarin)", "Indo-European (8)"]
    of_family = ds["mean_ratio"].sel(grouping="family", top=10).isel(language=slice(7))
    excess = of_family.sel(type="type1") - of_family.sel(type="active_type1")
    assert not reading.missing(panel.figure, excess.mean().values).size


def test_the_state_of_the_closest_parallel_segments_is_not_the_embeddings() -> None:
    ds = figure_data.dataset("deactivation", 3, {"encoder": 2, "decoder": 2})
    parallel = {"variant": "baseline", "pair": "parallel"}
    ds["similarity"].loc[parallel | {"state": [0, 3]}] = 1.0  # both stacks' embeddings
    ds["similarity"].loc[parallel | {"state": 4}] = 0.99
    assert deactivation.closest_state(ds) == 4


@pytest.mark.parametrize("stem", ["similarity_without_type1", "effect_of_type1"])
def test_neurons_that_are_like_no_others_are_left_out_and_said(stem: str) -> None:
    """Where too few have partners, there is no comparison by contribution."""
    ds = figure_data.dataset("deactivation", 3, {"decoder": 3})
    drawing = deactivation.FIGURES[stem]
    said = {"similarity_without_type1": "like contribution", "effect_of_type1": "with partners"}

    def drawn() -> bool:
        return any(said[stem] in word for word in reading.words(drawing.draw(ds)))

    assert drawn()
    ds["matched_contribution"] *= 0.2
    for name in ("similarity_excess", "similarity_excess_low", "similarity_excess_high"):
        ds[name].loc[{"control": "contribution"}] = np.nan
    assert not drawn()
    if stem == "effect_of_type1":
        assert "exist in 0 of 2 languages" in drawing.finding(ds)


def test_centred_cosines_are_those_of_deviations_from_the_mean() -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 7)) + 3
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ds = figure_data.dataset("latent_spaces", 4, {"decoder": 1}).isel(state=[0])
    ds["centroid_similarity"].values[0] = vectors @ vectors.T
    deviations = vectors - vectors.mean(0)
    deviations /= np.linalg.norm(deviations, axis=1, keepdims=True)
    expected = deviations @ deviations.T
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_allclose(latent_spaces.centred(ds)[0], expected)


def test_a_long_whisker_does_not_set_the_scale() -> None:
    """One draw of German's control is 25 times as far from zero as any point."""
    ds = figure_data.dataset("lape", 4, {"decoder": 3})

    def reach() -> tuple[float, str]:
        figure = lape.lape_neurons(ds)
        [panel] = [ax for ax in figure.axes if ax.get_title() == "score, layers of Type 1"]
        return float(np.abs(panel.get_xlim()).max()), figure.get_suptitle()

    of_points = float(ds["lape_score"].max())
    long, note = reach()
    assert long < 2 * of_points
    assert "cut at the edge" in note
    ds["lape_score_control_high"] = ds["lape_score"] + 0.001
    short, note = reach()
    assert short <= long
    assert "cut" not in note


def test_small_scores_have_their_power_of_ten_at_each_tick() -> None:
    ds = figure_data.dataset("lape", 4, {"decoder": 3})
    for name in [name for name in ds if str(name).startswith("lape_score")]:
        ds[name] = ds[name] * 1e-4
    figure = lape.lape_neurons(ds)
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.xaxis.get_offset_text().get_text() == ""
        assert len({label.get_text() for label in ax.get_xticklabels()}) > 1


def test_each_set_and_measure_has_an_axis_of_its_own() -> None:
    ds = figure_data.dataset("lape", 4, {"decoder": 3})
    axes = lape.without_each_set(ds).axes
    assert [ax.get_title() for ax in axes[:3]] == ["Type 1", "Type 2", "LAPE"]
    for name in ("", "_low", "_high"):
        ds[f"similarity_excess_all{name}"].loc[{"variant": "without_type1"}] *= 20
    before, after = ([ax.get_ylim() for ax in of] for of in (axes, lape.without_each_set(ds).axes))
    assert after[0] != before[0]
    assert after[1:] == before[1:]


def test_the_sets_of_both_steps_are_drawn_together() -> None:
    """Variables that two steps have are whole, and not those of the first step alone."""
    both = figure_data.dataset("lape", 4, {"decoder": 3})
    for of_lape in (True, False):
        of_step = figure_data.deactivation_dataset(4, {"decoder": 3}, of_lape)
        for name, values in of_step[["similarity_excess_all", "mutual_knn_excess_all"]].items():
            assert values.notnull().any()
            xr.testing.assert_equal(both[name].sel(variant=of_step["variant"]), values)
