"""What is peculiar to the figures of the experts analysis."""

import numpy as np
import pytest

from analyses.experts.figure_data import dataset
from neuroglot.analyses.experts.figures import frequency, inference, similarity, specific
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
    kept = np.tri(10, k=-1) > 0
    if metric == "kl_divergence":
        kept = ~np.eye(10, dtype=bool)
    np.testing.assert_array_equal(pairs.values[kept], expected[kept])
    assert np.isnan(pairs.values[~kept]).all()
    places = sorted([*names].index(one) for one in ("fr", "es", "pt"))
    assert places[2] - places[0] == 2, "a genus stands together"


def test_pairs_are_grouped_by_relation() -> None:
    ds = dataset("similarity", languages=5)  # en, fr, es, hi; zh-hans
    groups = similarity.by_relation(ds, similarity.pairs(ds, "pearson")[0])
    assert [group.size for group in groups] == [4, 5, 1]
    expected = ds["similarity"].sel(metric="pearson", language_a="fr", language_b="es")
    assert groups[2] == pytest.approx(float(expected))


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
    assert "cannot be told (segments of text: 1)" in inference.loss_added(one_segment)
    assert not reading.misplaced(inference.perplexity(one_segment))
