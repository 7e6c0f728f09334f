"""What figures of the roles analysis do beside drawing the dataset's numbers."""

import numpy as np
import pytest

from analyses.roles import figure_data
from neuroglot.analyses.roles.figures import (
    distance,
    flatness,
    frequency,
    heatmap,
    parallel_sets,
    rank_correlation,
    rank_scales,
    rsa,
)
from support import reading

THREE = {"languages": 3, "stacks": {"decoder": 4}}
MANY_TEXTS = {**THREE, "corpora": ("a", "b", "c"), "pivot": "de"}


def test_rows_that_a_text_lacks_are_not_drawn() -> None:
    data = figure_data.dataset("flatness", languages=6)
    few = data["language"].isin(["de", "pt"]) | (data["corpus"] == "udhr")
    figure = flatness.flatness(data.where(few), site="act")
    named = [[label.get_text() for label in ax.get_yticklabels()] for ax in figure.axes[:2]]
    assert [len(names) for names in named] == [6, 2]
    cells = [ax.collections[0].get_array() for ax in figure.axes[:2]]
    assert not any(np.ma.getmaskarray(one).any() for one in cells)


def test_frequencies_of_one_are_explained() -> None:
    data = figure_data.dataset("frequency", **THREE)
    always = data.assign(mean=data["mean"] * 0 + 1)
    for ds, said in ((data, False), (always, True)):
        figure = frequency.activation_frequency(ds, site="combinators")
        assert ("practically all" in figure.get_suptitle()) == said
        assert all(ax.get_ylim() == (-0.02, 1.02) for ax in figure.axes)


def test_combinators_are_drawn_as_configured() -> None:
    data = figure_data.dataset("frequency", **THREE).assign_attrs(combinators_drawn="out")
    figure = frequency.activation_frequency(data, site="combinators")
    assert "after GELU" not in figure.get_suptitle()
    assert reading.missing(figure, data["std"].sel(site="out").values).size == 0


@pytest.mark.parametrize(("units", "told"), [(90, "nearest"), (12, "cannot be told")])
def test_few_segments_show_no_trend(units: int, told: str) -> None:
    data = figure_data.dataset("distance", **THREE)
    data["segments"] = data["segments"] * 0 + units
    assert told in distance.finding(data, "act")


def test_a_single_peak_survives_the_pooling_without_raising_the_ground() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(100, 2048)).astype(np.float32)
    values[:, 1849] = 30
    z = heatmap.robust_z(values)
    cells = heatmap.pooled(z)
    column = 1849 // -(-2048 // heatmap.COLUMNS)
    np.testing.assert_allclose(cells[:, column], 30, rtol=0.1)
    assert np.abs(np.delete(cells, column, axis=1)).max() < 1.5
    assert heatmap.peaks_of(z.mean(0)) == [1849]


@pytest.mark.parametrize("zeros", [0.6, 1.0])
def test_layers_of_mostly_equal_values_have_finite_z(zeros: float) -> None:
    values = np.where(np.arange(100) < 100 * zeros, 0, np.arange(100.0)) * np.ones((4, 1))
    z = heatmap.robust_z(values.astype(np.float32))
    assert np.isfinite(z).all()
    assert bool(z.any()) == (zeros < 1)


def test_fewer_prefixes_than_blocks_are_drawn() -> None:
    data = figure_data.dataset("heatmap", **THREE, rows=3, neurons=20)
    figure = heatmap.activations(data, site="act")
    assert figure.axes[0].collections[0].get_array().shape == (3 * heatmap.BLOCKS, 20)


def test_dominant_neurons_are_marked() -> None:
    data = figure_data.dataset("heatmap", languages=2, stacks={"decoder": 2})
    scaled = data["scaled_out"].values
    scaled[1, 0, :, 218] = 0.5
    scaled[1, 0, :45, 7] = 1
    scaled[1, 0, :, 99] = np.where(np.arange(60) % 2, 0.99, 0.0)
    scaled[1, 0, 58:] = np.nan
    english, german = heatmap.early_layer(data, site="out").axes
    assert "▼ 218 (100%)" in english.get_title()
    assert f"▼ 7 ({45 / 58:.0%})  ◇ 99" in german.get_title()


def test_directions_of_distances_are_kept_apart() -> None:
    data = figure_data.dataset("distance", **THREE)
    from_pivot, to_pivot, *relative = distance.distance(data, site="act").axes
    first = data["distance_mean"].sel(site="act", corpus="udhr")
    apart = first.where(first["language_a"] != first["language_b"])
    typical = apart.median(["language_a", "language_b"])
    for ax, pair in ((from_pivot, ("en", "fr")), (to_pivot, ("fr", "en"))):
        expected = np.log2(first.sel(language_a=pair[0], language_b=pair[1]) / typical)
        drawn = [line.get_ydata() for line in ax.lines]
        assert any(len(y) == 4 and np.allclose(y, expected) for y in drawn)
    ratio = data["distance_ratio"].sel(site="act", corpus="udhr")
    for ax, pair in zip(relative, (("en", "fr"), ("fr", "en")), strict=True):
        expected = np.log2(ratio.sel(language_a=pair[0], language_b=pair[1]))
        drawn = [line.get_ydata() for line in ax.lines]
        assert any(len(y) == 4 and np.allclose(y, expected) for y in drawn)
        assert ax.get_title().endswith("÷ unrelated segments")


def test_a_lone_segment_is_compared_with_no_unrelated_one() -> None:
    data = figure_data.dataset("distance", **THREE)
    ratios = {f"distance_ratio{end}": data["distance_ratio"] * np.nan for end in ("", "_low")}
    figure = distance.distance(data.assign(ratios), site="act")
    assert len(figure.axes) == 2
    assert "no second segment" in figure.get_suptitle()


def test_nearest_parallel_prefixes_are_told_with_their_layer() -> None:
    data = figure_data.dataset("distance", **THREE)
    data["distance_ratio"][:, :, :, :, 2] = 0.55
    assert "lie 0.55 times as far apart as those of unrelated" in distance.finding(data, "act")
    assert "at layer 3, where they are nearest" in distance.finding(data, "act")


def test_every_pair_once_most_similar_on_top() -> None:
    data = figure_data.dataset("rank_correlation", languages=6)
    udhr, django, _ = rank_correlation.all_pairs(data, site="out").axes
    names = [label.get_text() for label in udhr.get_yticklabels()]
    assert len(set(names)) == 15
    means = udhr.collections[0].get_array().reshape(15, -1).mean(1)
    assert (np.diff(means) <= 1e-12).all()
    expected = data["rank_correlation"].sel(site="out", language_a="de", language_b="cs")
    overlap = data["token_overlap"].sel(corpus="udhr", language_a="de", language_b="cs")
    row = names.index(f"German – Czech, {overlap.item():.0%}")
    for ax, corpus in ((udhr, "udhr"), (django, "django")):
        cells = ax.collections[0].get_array().reshape(15, -1)
        np.testing.assert_allclose(cells[row], expected.sel(corpus=corpus))


def test_matrices_show_each_pair_once_under_their_tree() -> None:
    data = figure_data.dataset("rank_correlation", languages=6)
    figure = rank_correlation.rank_correlation(data, site="act")
    matrices = [ax for ax in reading.panels(figure) if ax.collections]
    assert [ax.get_xlabel() for ax in matrices] == ["layer 1", "layer 9", "layer 18", "tokens"]
    cells = np.ma.getmaskarray(matrices[0].collections[0].get_array()).reshape(6, 6)
    np.testing.assert_array_equal(cells, np.triu(np.ones((6, 6))))


def test_halves_are_drawn_for_all_pairs_and_with_the_pivot() -> None:
    data = figure_data.dataset("rank_correlation", languages=6, pivot="fr")
    data["corrected"][:, 0] = np.nan  # the first text cannot be split
    figure = rank_scales.of_halves(data, site="out")
    titles = [ax.get_title() for ax in figure.axes]
    others = ["English", "German", "Spanish", "Portuguese", "Czech"]
    assert titles == ["mean of 15 pairs", *others]
    assert "Languages: with French." in figure.get_suptitle()
    assert "between halves of django" in figure.get_suptitle()
    assert "10 random splits of 32 folds of segments into halves of 16" in figure.get_suptitle()
    values = data["corrected"].sel(site="out", corpus="django")
    drawn = figure.axes[0].lines[-1].get_ydata()
    np.testing.assert_allclose(
        drawn, values.where(data["language_a"] != data["language_b"]).mean(rank_scales.PAIR)
    )
    assert "On halves of django" in rank_scales.halves_finding(data, "out")


def test_too_few_segments_are_not_split() -> None:
    data = figure_data.dataset("rank_correlation", **THREE)
    data["corrected"] = data["corrected"].where(data["language_a"] == data["language_b"])
    figure = rank_correlation.FIGURES["figure_12_detector_rank_correlation_of_halves"].draw(data)
    [said] = reading.words(figure)
    assert said.startswith("nothing to draw: no text has 4 segments")


def test_panels_without_shared_tokens_say_how_much_is_shared() -> None:
    data = figure_data.dataset("rank_correlation", **THREE)
    figure = rank_scales.without_shared_tokens(data, site="act")
    overlap = data["token_overlap"].sel(corpus="udhr", language_a="en", language_b="fr").item()
    said = f"French\noverlap {overlap:.0%}, kept {1 - overlap:.0%}"
    assert figure.axes[2].get_title() == said
    without, random = (line.get_ydata() for line in figure.axes[2].lines[:2])
    np.testing.assert_allclose(without, -0.08)
    np.testing.assert_allclose(random, -0.01)


def test_sets_are_compared_beside_a_baseline() -> None:
    data = figure_data.dataset("parallel_sets", **MANY_TEXTS)
    figure = parallel_sets.same_language(data, site="out")
    titles = [ax.get_title().split("\n")[1] for ax in figure.axes]
    assert titles == ["a and b", "a and c", "b and c", "in the same set"]
    rho = data["rank_correlation"].sel(site="out", language_a="fr", language_b=["en", "de"])
    expected = rho.mean(["corpus", "language_b"])
    assert any(np.allclose(line.get_ydata(), expected) for line in figure.axes[-1].lines[-3:])


def test_pairs_with_the_pivot_have_a_line_for_each_set() -> None:
    data = figure_data.dataset("parallel_sets", **MANY_TEXTS)
    figure = parallel_sets.parallel_pairs(data, site="act")
    assert [ax.get_title() for ax in figure.axes] == ["English", "French"]
    rho = data["rank_correlation"].sel(site="act", language_a="de", language_b="fr")
    drawn = [line.get_ydata() for line in figure.axes[1].lines[-3:]]
    np.testing.assert_allclose(drawn, rho.transpose("corpus", "layer"))


def test_overlap_of_sets_stands_in_the_cells() -> None:
    data = figure_data.dataset("parallel_sets", **MANY_TEXTS)
    ax = parallel_sets.overlap(data).axes[0]
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names[2] == "b sentences in a"
    share = data["sentence_overlap"].sel(language="de", corpus_a="b", corpus_b="a").item()
    assert ax.texts[len(names) + 2].get_text() == f"{share:.0%}"


def test_a_single_set_is_compared_with_no_other() -> None:
    data = figure_data.dataset("parallel_sets", **THREE, corpora=("a",))
    for stem, drawing in parallel_sets.FIGURES.items():
        words = " ".join(reading.words(drawing.draw(data)))
        assert words.startswith("nothing to draw") == ("parallel_pairs" not in stem)
        assert drawing.finding(data) == ""


@pytest.mark.parametrize("turned", [False, True])
def test_models_are_trimmed_to_their_depths_in_either_order(turned: bool) -> None:
    data = figure_data.dataset("rsa", languages=2)
    models = ["smollm2-135m", "gemma-3-270m"] if turned else ["gemma-3-270m", "smollm2-135m"]
    data["rsa"] = data["rsa"].combine_first(mirrored(data["rsa"]))
    figure = rsa.model_similarity(data.sel(model_a=models, model_b=models), site="out")
    mean, english, _ = reading.panels(figure)
    assert mean.get_ylabel() == f"layer of {models[0]}"
    assert mean.get_xlabel() == f"layer of {models[1]}"
    values = data["rsa"].sel(site="out", language="en", model_a=models[0], model_b=models[1])
    cells = values.dropna("layer_a", how="all").dropna("layer_b", how="all").values
    np.testing.assert_array_equal(english.collections[0].get_array().reshape(cells.shape), cells)
    best = english.collections[1].get_offsets()
    np.testing.assert_array_equal(best[:, 0] - 0.5, cells.argmax(1))


def mirrored(values: "rsa.DataArray") -> "rsa.DataArray":
    """The same similarities with the two models exchanged, as the step stores them."""
    names = {"layer_a": "layer_b", "model_a": "model_b"}
    swapped = values.rename(names | {new: old for old, new in names.items()})
    return swapped.transpose(*values.dims)


def test_a_lone_model_is_compared_with_itself() -> None:
    data = figure_data.dataset("rsa", languages=2).isel(model_a=[0], model_b=[0])
    data["rsa"] = data["rsa"].fillna(0.5)
    mean = rsa.model_similarity(data, site="out").axes[0]
    assert mean.get_ylabel() == mean.get_xlabel() == "layer of gemma-3-270m"
