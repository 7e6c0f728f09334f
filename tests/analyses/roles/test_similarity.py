"""Rank correlation, overlap of texts and RSA against slow references and planted structure."""

import math

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from neuroglot.analyses.roles.measures.overlap import (
    distinct_sentences,
    sentence_overlap,
)
from neuroglot.analyses.roles.measures.ranks import rank_correlation
from neuroglot.analyses.roles.measures.rsa import correlation_rows, rsa, shared_stimuli
from neuroglot.errors import NeuroglotError


def sums(seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).integers(-6, 6, size=(2, 3, 4, 20)).astype("float64")
    return xr.DataArray(
        values,
        dims=("corpus", "language", "layer", "neuron"),
        coords={
            "corpus": ["udhr", "django"],
            "language": ["en", "de", "hi"],
            "name": ("language", ["English", "German", "Hindi"]),
            "layer": [0, 1, 2, 3],
            "stack_layer": ("layer", [0, 1, 0, 1]),
        },
    )


def test_ranks_are_spearmans_with_ties():
    total = sums()
    found = rank_correlation(total)
    assert found.dims == ("corpus", "language_a", "language_b", "layer")
    assert found["stack_layer"].dims == ("layer",)
    for corpus in range(2):
        for a in range(3):
            for b in range(3):
                for layer in range(4):
                    expected = spearmanr(total[corpus, a, layer], total[corpus, b, layer])
                    assert found[corpus, a, b, layer].item() == pytest.approx(
                        expected.statistic, abs=1e-12
                    )


def test_ranks_by_hand():
    total = xr.DataArray(
        [[[1.0, 2, 3, 4]], [[10.0, 20, 40, 30]], [[4.0, 3, 2, 1]]],
        dims=("language", "layer", "hidden"),
        coords={"language": ["en", "de", "hi"]},
    )
    found = rank_correlation(total).isel(layer=0)
    assert found.sel(language_a="en", language_b="de").item() == pytest.approx(0.8)
    assert found.sel(language_a="en", language_b="hi").item() == pytest.approx(-1)
    assert found.sel(language_a="de", language_b="de").item() == pytest.approx(1)


def test_ranks_between_corpora_of_one_language():
    total = sums()
    found = rank_correlation(total, between="corpus")
    assert found.dims == ("language", "corpus_a", "corpus_b", "layer")
    assert found["language"].values.tolist() == ["en", "de", "hi"]
    assert found["corpus_b"].values.tolist() == ["udhr", "django"]
    one = found.sel(language="hi", corpus_a="udhr", corpus_b="django", layer=2)
    expected = spearmanr(total[0, 2, 2], total[1, 2, 2]).statistic
    assert one.item() == pytest.approx(expected)


def test_ranks_ignore_monotone_changes_and_the_languages_order():
    total = sums()
    xr.testing.assert_allclose(
        rank_correlation(np.exp(total) * 3 + 1), rank_correlation(total), rtol=1e-12
    )
    turned = rank_correlation(total.isel(language=[2, 0, 1]))
    order = ["en", "de", "hi"]
    xr.testing.assert_allclose(
        turned.sel(language_a=order, language_b=order), rank_correlation(total), rtol=1e-12
    )


def test_constant_or_absent_sums_have_no_rank_correlation():
    total = sums()
    total[0, 1, 2] = 7
    total[1, 0] = np.nan
    found = rank_correlation(total)
    assert found.isel(corpus=0, layer=2).sel(language_a="de").isnull().all()
    assert found.isel(corpus=1).sel(language_b="en").isnull().all()
    assert found.isel(corpus=0).isnull().sum() == 5
    assert found.isel(corpus=1).isnull().sum() == 5 * 4


def test_half_precision_sums_are_ranked_alike():
    total = sums()
    xr.testing.assert_allclose(
        rank_correlation(total.astype("float16")), rank_correlation(total), rtol=1e-12
    )


def test_sentence_overlap():
    a = distinct_sentences(["Hello  world.", "Caf\u00e9", "one", "one "])
    b = distinct_sentences(["Hello world.", "Cafe\u0301", "two", "three", "hello world."])
    assert len(a) == 3
    assert sentence_overlap(a, b) == pytest.approx(2 / 3)
    assert sentence_overlap(b, a) == pytest.approx(2 / 5)
    assert sentence_overlap(a, a) == 1
    assert sentence_overlap(a, frozenset()) == 0
    assert math.isnan(sentence_overlap(frozenset(), a))


def rows(seed: int, layers: int = 3, count: int = 12, width: int = 30) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(size=(layers, count, width))
    return xr.DataArray(
        values,
        dims=("layer", "row", "hidden"),
        coords={"layer": np.arange(layers), "stack": ("layer", ["decoder"] * layers)},
    )


def slow_rsa(a: np.ndarray, b: np.ndarray) -> float:
    """Kriegeskorte's comparison of two layers, with nothing but numpy's corrcoef."""
    upper = np.triu_indices(len(a), k=1)
    return float(np.corrcoef(np.corrcoef(a)[upper], np.corrcoef(b)[upper])[0, 1])


def test_rsa_against_corrcoef():
    a, b = rows(0), rows(1, layers=2, width=17)
    found = rsa(correlation_rows(a), correlation_rows(b))
    assert found.dims == ("layer_a", "layer_b")
    assert found.shape == (3, 2)
    assert set(found.coords) == {"layer_a", "layer_b"}
    for i in range(3):
        for j in range(2):
            expected = slow_rsa(a.values[i], b.values[j])
            assert found[i, j].item() == pytest.approx(expected, abs=1e-12)


def test_rsa_of_a_model_with_itself():
    one = correlation_rows(rows(0))
    np.testing.assert_allclose(np.diag(rsa(one, one)), 1)


def test_rsa_is_the_same_on_scaled_rows_as_the_paper_has_them():
    a, b = rows(0), rows(1)
    low, high = a.min("hidden"), a.max("hidden")
    scaled = ((a - low) / (high - low)).transpose(*a.dims)
    xr.testing.assert_allclose(correlation_rows(scaled), correlation_rows(a), rtol=1e-10)
    xr.testing.assert_allclose(
        rsa(correlation_rows(scaled), correlation_rows(b)),
        rsa(correlation_rows(a), correlation_rows(b)),
        rtol=1e-10,
    )


def test_rsa_ignores_the_common_order_of_stimuli():
    a, b = rows(0), rows(1)
    order = np.random.default_rng(2).permutation(12)
    xr.testing.assert_allclose(
        rsa(correlation_rows(a.isel(row=order)), correlation_rows(b.isel(row=order))),
        rsa(correlation_rows(a), correlation_rows(b)),
        rtol=1e-10,
    )


def test_planted_structure_survives_a_random_rotation():
    a = rows(0, width=400)
    rng = np.random.default_rng(3)
    a += 2 * rng.normal(size=(12, 1)) * rng.normal(size=400)  # prefixes that lie together
    rotation = np.linalg.qr(rng.normal(size=(400, 400)))[0]
    rotated = a.copy(data=a.values[::-1] @ rotation)
    found = rsa(correlation_rows(a.astype("float32")), correlation_rows(rotated.astype("float16")))
    assert found.values[::-1].diagonal().min() > 0.95


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -12345.678])
def test_rows_of_equal_values_correlate_with_nothing(value):
    a = rows(0, layers=1, width=31)
    a[0, [4, 7]] = value
    with np.errstate(invalid="ignore", divide="ignore"):
        full = np.corrcoef(a.values[0])
    full[[4, 7]] = 0
    full[:, [4, 7]] = 0
    triangle = full[np.triu_indices(12, k=1)]
    centred = triangle - triangle.mean()
    np.testing.assert_allclose(
        correlation_rows(a)[0], centred / np.linalg.norm(centred), atol=1e-12
    )


@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_layers_without_structure_have_no_rsa(count):
    same = rows(0, layers=1, count=1).isel(row=[0] * count)
    same *= xr.DataArray(np.linspace(0.1, 7, count), dims="row")  # correlations of 1, but rounding
    profile = correlation_rows(same)
    assert profile.sizes["pair"] == max(0, count * (count - 1) // 2)
    if profile.sizes["pair"]:
        assert rsa(profile, profile).isnull().all()


def test_half_precision_rows_are_widened_first():
    half = (rows(0) + 300).astype("float16")
    xr.testing.assert_identical(correlation_rows(half), correlation_rows(half.astype("float64")))


def test_stimuli_are_matched_by_segment_and_end():
    keys_a = [("s1", 3), ("s1", 7), ("s1", 7), ("s2", 2), ("s3", 9)]
    keys_b = [("s2", 2), ("s1", 5), ("s1", 7), ("s2", 2), ("s1", 3)]
    a, b = shared_stimuli(keys_a, keys_b)
    assert a.tolist() == [0, 2, 3]
    assert b.tolist() == [4, 2, 3]
    assert [keys_a[i] for i in a] == [keys_b[i] for i in b]
    nothing = shared_stimuli(keys_a, [])
    assert [one.tolist() for one in nothing] == [[], []]


def test_rsa_refuses_different_stimuli():
    with pytest.raises(NeuroglotError, match="66 pairs of rows against 55"):
        rsa(correlation_rows(rows(0)), correlation_rows(rows(1, count=11)))
