"""What is peculiar to the figures of the experts analysis."""

import numpy as np
import pytest

from analyses.experts.figure_data import dataset
from neuroglot.analyses.experts.figures import frequency, inference, related, similarity, specific
from neuroglot.figures import pairs as of_pairs
from neuroglot.figures import relatedness
from support import reading


def test_a_row_is_the_same_expert_in_every_language() -> None:
    values = dataset("frequency", languages=3, stacks={"decoder": 2})["expert_frequency"]
    ranked = frequency.by_mean(values).values
    for layer in range(2):
        order = sorted(range(64), key=lambda expert: -values.values[:, layer, expert].mean())
        np.testing.assert_array_equal(ranked[:, :, layer], values.values[:, layer, order])


@pytest.mark.parametrize("metric", similarity.MEASURES)
def test_pairs_keep_their_languages_in_an_order_that_all_measures_share(metric: str) -> None:
    ds = dataset("similarity", languages=10)
    pairs, _ = similarity.pairs(ds, metric)
    names = pairs["language_a"].values
    np.testing.assert_array_equal(names, similarity.pairs(ds, "pearson")[0]["language_a"].values)
    expected = ds["similarity"].sel(metric=metric, language_a=names, language_b=names).values
    kept = (np.tri(10) > 0) | (metric == "kl_divergence")
    np.testing.assert_array_equal(pairs.values[kept], expected[kept])
    assert np.isnan(pairs.values[~kept]).all()
    places = sorted([*names].index(one) for one in ("fr", "es", "pt"))
    assert places[2] - places[0] == 2, "a genus stands together"


def test_pairs_are_grouped_by_relation() -> None:
    ds = dataset("similarity", languages=5)  # en, fr, es, hi; zh-hans
    groups = of_pairs.by_relation(ds, similarity.pairs(ds, "pearson")[0])
    assert [group.size for group in groups] == [4, 5, 1, 5]
    expected = ds["similarity"].sel(metric="pearson")
    assert groups[2] == pytest.approx(float(expected.sel(language_a="fr", language_b="es")))
    assert sorted(groups[3]) == pytest.approx(sorted(np.diagonal(expected)))


@pytest.mark.parametrize(("metric", "sign"), [("jensen_shannon", 1), ("pearson", -1)])
def test_pairs_are_told_from_the_halves_of_both_languages(metric: str, sign: int) -> None:
    ds = dataset("similarity", languages=3)
    distance = np.array([[2.0, 3, 7], [3, 4, 5], [7, 5, 1]])  # en and fr: 3, fr's halves: 4
    values = ds["similarity"].copy()
    values.loc[{"metric": metric}] = sign * distance
    ds = ds.assign(similarity=values)
    assert of_pairs.told_apart(similarity.pairs(ds, metric)[0], metric != "pearson") == (2, 3)
    assert "2 of 3 pairs" in similarity.finding(ds, metric)
    assert f"give {'−' if sign < 0 else ''}2" in similarity.finding(ds, metric)


def test_what_similar_languages_have_in_common_is_told_where_it_is_told_from_chance() -> None:
    ds = dataset("related", languages=10)
    assert "Pearson correlation 0.49)" in relatedness.finding(ds, related.PANELS)
    none = ds.assign(coefficient_p_value=ds["coefficient_p_value"] + 0.1)
    assert "no coefficient of same family or same script or" in relatedness.finding(
        none, related.PANELS
    )
    few = ds.assign(coefficient_p_value=ds["coefficient_p_value"] * np.nan, compared_languages=3)
    assert "With 3 languages, no test" in relatedness.finding(few, related.PANELS)


def test_a_language_without_numbers_is_left_out() -> None:
    ds = dataset("similarity", languages=4)
    gone = (ds["language_a"] == "hi") | (ds["language_b"] == "hi")
    figure = similarity.similarity(ds.assign(similarity=ds["similarity"].where(~gone)), "pearson")
    assert "Hindi" not in reading.words(figure)
    ds = dataset("inference", languages=4)
    figure = inference.perplexity(
        ds.assign(perplexity=ds["perplexity"].where(ds["language"] != "hi"))
    )
    assert "Hindi" not in reading.words(figure)


def test_little_text_gives_no_finding_but_says_so() -> None:
    few = dataset("specific", languages=3, folds=8)
    assert "cannot be told from 8 folds" in specific.finding(few)
    text = dataset("inference", languages=3)
    one_segment = text.assign(
        segments=text["segments"] * 0 + 1, perplexity_low=np.nan * text["perplexity_low"]
    )
    assert "cannot be told (segments of text: 1; a star takes 6)" in inference.loss_added(
        one_segment
    )
    assert not reading.misplaced(inference.perplexity(one_segment))


def test_own_experts_are_told_from_the_controls_by_adjusted_p_values() -> None:
    ds = dataset("inference", languages=4)
    told = inference.loss_added(ds)
    assert (
        "less than another's in 3 of 4 languages, and than random ones in 4 of 4 (p < 0.05" in told
    )
    stars = inference.beyond(ds)
    assert stars.notnull().sum("language").values.tolist() == [3, 4]
    assert (stars < ds["excess_low"].rename(control="variant") / np.log(2)).sum() == 7
    worse = ds.assign(excess=-ds["excess"])
    assert "less than another's in 0 of 4 languages" in inference.loss_added(worse)
