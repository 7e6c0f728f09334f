"""What is special in the figures of sharing: few facts, stars, and sweeps that are not asked."""

import numpy as np
import pytest
import xarray as xr

from analyses.sharing import figure_data
from neuroglot.analyses.sharing.figures import comparison, effective, interventions, kinds
from neuroglot.figures import answers
from support import reading

FEW = 1  # place of the task with few facts


def test_accuracies_of_few_facts_are_counts() -> None:
    data = figure_data.interventions(languages=3)
    figure = interventions.FIGURES["tables_02_05_06_accuracy"].draw(data)
    labels = [ax.get_xlabel() for ax in figure.axes]
    assert ["facts)" in label for label in labels] == [True, True, True, True] * 2
    assert ["of 12 facts" in label for label in labels] == [False, True, False, False] * 2


def test_exact_matches_stand_beside_other_scorings() -> None:
    """The model's own, where the score is another one: "rank" and "string"."""
    data = figure_data.interventions(languages=3)
    figure = interventions.FIGURES["tables_02_05_06_accuracy"].draw(data)
    exact = data["exact_accuracy"].sel(variant="baseline")
    counts = exact * data["facts"].where(data["facts"].max("language") < 20, 1)
    shown = {
        scoring: len(reading.missing(figure, counts[data["scoring"] == scoring].values)) == 0
        for scoring in ("rank", "string", "exact")
    }
    assert shown == {"rank": True, "string": True, "exact": False}


def test_a_star_is_an_adjusted_p_below_five_per_cent() -> None:
    data = figure_data.interventions(languages=3)
    p = data["log_probability_excess_p_value"].sel(control="activity")
    variants = [change.variant for change in interventions.WITHOUT]
    expected = (p.sel(variant=variants) < 0.05) & data["log_probability_excess"].sel(
        control="activity", variant=variants
    ).notnull()
    names = "log_probability_difference", "log_probability_excess"
    table = answers.compared(data, *names, interventions.WITHOUT)
    assert table["star"].notna().sum() == int(expected.sum()) > 0
    assert (table.loc[table["star"].notna(), "row"] == answers.EXCESS).all()
    assert not table.loc[table["star"].notna(), "hollow"].any()
    for p_value, drawn in ((0.04, True), (0.06, False)):
        data["log_probability_excess_p_value"] = xr.full_like(p, p_value).expand_dims(
            control=data["control"]
        )
        figure = interventions.FIGURES["log_probability_without"].draw(data)
        assert ("p < 0.05" in " ".join(reading.words(figure))) == drawn
        figure = interventions.FIGURES["tables_02_05_06_accuracy"].draw(data)
        assert "p < 0.05" not in " ".join(reading.words(figure))


@pytest.mark.parametrize("quantity", ["accuracy", "log_probability"])
def test_intervals_where_items_are_many(quantity: str) -> None:
    data = figure_data.interventions(languages=3)
    level = {"log_probability": "log_probability_difference"}.get(quantity, quantity)
    table = answers.compared(data, level, f"{quantity}_excess", interventions.WITHOUT)
    few = table["task"] == figure_data.TASKS[FEW]
    assert table.loc[few, ["low", "high"]].isna().all(axis=None)
    assert table.loc[~few & ~table["hollow"], ["low", "high"]].notna().all(axis=None)


def test_no_bands_over_few_facts_however_many_items_ask_for_them() -> None:
    data = figure_data.kinds(languages=3)
    figure = kinds.FIGURES["figure_22_threshold"].draw(data)
    bands = [len(ax.patches) for ax in figure.axes]
    assert [count > 0 for count in bands] == [
        facts >= 20 for facts in (4, 12, 65, 120) for _ in range(4)
    ]


@pytest.mark.parametrize("stem", effective.FIGURES)
def test_scores_that_are_nowhere_positive_have_no_logarithm(stem: str) -> None:
    data = figure_data.effective(languages=3)
    name = "max" if stem == "tables_01_04_effective" else effective.HIGHEST
    figure = effective.FIGURES[stem].draw(data.assign({name: -abs(data[name])}))
    assert any(word.startswith("nothing to draw") for word in reading.words(figure))
    some = data[name].where(data["task"] == data["task"][0], -1)
    figure = effective.FIGURES[stem].draw(data.assign({name: some}))
    assert len(reading.panels(figure)) == 1


def test_random_languages_are_solid_with_a_band_and_the_first_are_dashed() -> None:
    data = figure_data.kinds(languages=3)
    ax = kinds.FIGURES["figure_19_language_count"].draw(data).axes[0]
    counts, depth = data.sizes["languages"], data.sizes["layer"]
    shares = data.isel(task=0, kind=0).transpose("languages", "layer", ...)
    dashed: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for line in ax.lines:
        if len(line.get_xdata()) == depth:
            _, pattern = line._unscaled_dash_pattern
            dashed[pattern is not None].append(line.get_ydata())
    fewer = shares["language_count_share"].sel(languages=shares["languages"] != 3)
    np.testing.assert_allclose(np.sort(dashed[True], 0), np.sort(fewer, 0))
    np.testing.assert_allclose(
        np.sort(dashed[False], 0), np.sort(shares["random_languages_share"], 0)
    )
    bands = [patch.get_path().vertices[:, 1] for patch in ax.patches]
    assert len(bands) == counts
    highest = sorted(band.max() for band in bands)
    np.testing.assert_allclose(
        highest, np.sort(shares["random_languages_share_highest"].max("layer"))
    )


def test_nothing_is_told_of_few_facts() -> None:
    answered, told = figure_data.interventions(languages=3), figure_data.kinds(languages=3)
    for data, drawings in ((answered, interventions.FIGURES), (told, kinds.FIGURES)):
        few = data.assign(items=data["items"] * 0 + 5, facts=data["items"] * 0 + 5)
        assert all("cannot be told" in one.finding(few) for one in drawings.values())


def test_without_a_sweep_of_examples() -> None:
    data = figure_data.comparison().assign_attrs(few_shot="[]")
    drawing = comparison.FIGURES["figure_21_few_shot"]
    assert any("examples" in word for word in reading.words(drawing.draw(data)))
    assert drawing.finding(data) == ""


def test_relative_depth_ends_at_one_in_every_model() -> None:
    data = figure_data.comparison(languages=3)
    figure = comparison.FIGURES["figures_07_20_models"].draw(data)
    ends = [np.nanmax(line.get_xdata()) for ax in figure.axes for line in ax.lines]
    np.testing.assert_allclose(ends, 1)
