"""Intervals over folds against literal resamples, coverage of planted data, the null of labels."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.experts.measures import experts
from neuroglot.analyses.experts.measures.sharing import sharing
from neuroglot.measures.bootstrap import (
    centred_percentiles,
    expanded_level,
    perplexity_interval,
    ratio_interval,
    resample_weights,
)
from neuroglot.measures.halves import equal_tokens

IDS = ["en", "fr", "hi", "zh"]


def counts(
    languages: int = 3, folds: int = 8, layers: int = 2, n: int = 6, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Tokens by fold, and those that random experts are active for."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(20, 60, (languages, folds))
    share = generator.uniform(0, 0.2, (languages, 1, layers, n))
    active = generator.binomial(tokens[:, :, None, None], share, (languages, folds, layers, n))
    coords = {"language": IDS[:languages]}
    return (
        xr.DataArray(active, coords, ("language", "fold", "layer", "expert")),
        xr.DataArray(tokens, coords, ("language", "fold")),
    )


def literal_draws(folds: int, replicates: int, seed: int = 0) -> list[np.ndarray]:
    """The folds of each resample, listed one by one."""
    [weights] = resample_weights(folds, replicates, seed)
    return [np.repeat(np.arange(folds), row.astype(int)) for row in weights]


def quantiles(drawn: np.ndarray, units: int) -> np.ndarray:
    """Low and high of [replicate, ...]: expanded percentiles."""
    level = expanded_level(units)
    return np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)


def frequency(active: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    return experts.expert_frequency(active.sum("fold"), tokens.sum("fold"))


def test_ratio_interval_is_the_literal_bootstrap_over_folds():
    active, tokens = counts()
    low, high = ratio_interval(active, tokens, replicates=50)
    drawn = xr.concat(
        [frequency(active.isel(fold=f), tokens.isel(fold=f)) for f in literal_draws(8, 50)], "r"
    )
    for bound, expected in zip((low, high), quantiles(drawn.values, 8), strict=True):
        assert bound.dims == ("language", "layer", "expert")
        np.testing.assert_allclose(bound, expected, rtol=1e-13)


def test_a_fold_without_text_counts_for_nothing():
    active, tokens = counts(languages=2)
    active[1, 5], tokens[1, 5] = 0, 0
    low, high = ratio_interval(active, tokens, replicates=40)
    drawn = [active[1, f].sum("fold") / tokens[1, f].sum("fold") for f in literal_draws(8, 40)]
    np.testing.assert_allclose([low[1], high[1]], quantiles(drawn, 7))
    none = ratio_interval(active * 0, tokens * 0, replicates=5)
    assert all(bound.isnull().all() for bound in none)


def test_frequency_intervals_cover_the_truth():
    """Folds that differ more than single tokens would: what treating tokens as units would miss."""
    generator = np.random.default_rng(1)
    texts, folds, truth = 400, 32, 0.1
    share = np.clip(generator.normal(truth, 0.05, (texts, folds)), 0, 1)
    tokens = generator.integers(30, 90, (texts, folds))
    active = generator.binomial(tokens, share)
    low, high = ratio_interval(
        xr.DataArray(active, dims=("text", "fold")),
        xr.DataArray(tokens, dims=("text", "fold")),
        replicates=400,
    )
    covered = float(((low <= truth) & (truth <= high)).mean())
    assert 0.90 <= covered <= 0.98


def literal_sharing(found: xr.DataArray, threshold: float) -> dict[str, list[int]]:
    languages, layers, n = found.shape
    histogram, specific, by_layer = [0] * (languages + 1), [0] * languages, [0] * layers
    for layer in range(layers):
        for expert in range(n):
            high = [i for i in range(languages) if found[i, layer, expert] >= threshold]
            histogram[len(high)] += 1
            if len(high) == 1:
                specific[high[0]] += 1
                by_layer[layer] += 1
    return {"shared_histogram": histogram, "specific": specific, "specific_by_layer": by_layer}


def test_sharing_is_counted_literally_with_its_intervals():
    active, tokens = counts(n=12)
    found = sharing(active, tokens, 0.1, replicates=50)
    whole = literal_sharing(frequency(active, tokens), 0.1)
    assert min(len(set(whole["specific"])), sum(whole["specific"])) > 1
    drawn = [
        literal_sharing(frequency(active.isel(fold=f), tokens.isel(fold=f)), 0.1)
        for f in literal_draws(8, 50)
    ]
    for name, expected in whole.items():
        assert found[name].values.tolist() == expected
        bounds = centred_percentiles(
            np.array([one[name] for one in drawn]).T, np.array(expected), 8
        )
        np.testing.assert_allclose(found[f"{name}_low"], np.maximum(bounds[0], 0))
        np.testing.assert_allclose(found[f"{name}_high"], np.maximum(bounds[1], 0))
    histogram = found["shared_histogram"]
    shared_by = experts.shared_by(experts.high_frequency(frequency(active, tokens), 0.1))
    np.testing.assert_array_equal(np.bincount(shared_by.values.ravel(), minlength=4), histogram)
    assert found["specific"].sum() == found["specific_by_layer"].sum() == histogram[1]
    assert found["specific"].attrs["units"] == "experts"


def test_exchanged_labels_of_two_languages_by_hand():
    """One fold: exchanging both labels changes nothing. Two: in half of the cases both mix."""
    active = xr.DataArray(
        [[[[8]], [[8]]], [[[0]], [[0]]]],
        {"language": ["en", "fr"]},
        ("language", "fold", "layer", "expert"),
    )
    tokens = xr.full_like(active[:, :, 0, 0], 10)
    one = sharing(active[:, :1], tokens[:, :1], 0.5, replicates=200)
    assert one["specific_by_layer_null"].item() == 1
    assert one["specific_by_layer_p_value"].item() == 1
    two = sharing(active, tokens, 0.5, replicates=2000)
    # mixed, each language has 8 of 20: no expert is of high frequency in either
    assert two["specific_by_layer_null"].item() == pytest.approx(0.5, abs=0.05)
    assert two["specific_null"].values.tolist() == pytest.approx([0.25, 0.25], abs=0.05)
    assert two["specific_p_value"].sel(language="en").item() == pytest.approx(0.25, abs=0.05)
    assert two["specific_p_value"].sel(language="fr").item() == 1
    assert two["specific_by_layer_null_low"].item() == 0
    assert two["specific_by_layer_null_high"].item() == 1


def test_planted_experts_of_one_language_are_beyond_chance_and_others_are_not():
    active, tokens = counts(languages=4, folds=16, n=40, seed=3)
    generator = np.random.default_rng(4)
    alike = generator.uniform(0, 0.09, (1, 1, 2, 40))
    active[:] = generator.binomial(tokens.values[:, :, None, None], alike, active.shape)
    at_chance = sharing(active, tokens, 0.05, replicates=300)
    assert (at_chance["specific_p_value"] > 0.01).all()
    own = generator.binomial(tokens.values[2, :, None], 0.1, (16, 10))
    active[2, :, 0, :10] = own
    active[[0, 1, 3], :, 0, :10] = 0
    planted = sharing(active, tokens, 0.05, replicates=300)
    assert planted["specific_p_value"].sel(language="hi").item() < 0.01
    assert planted["specific_by_layer_p_value"][0] < 0.01
    assert planted["specific_low"].sel(language="hi").item() >= 10
    assert planted["specific_null_high"].sel(language="hi").item() < 10


def test_the_same_whatever_the_order_of_languages_and_the_memory(monkeypatch):
    active, tokens = counts(n=12)
    turned = [2, 0, 1]
    order = active["language"].values
    found = sharing(active, tokens, 0.1, replicates=40)
    other = sharing(active[turned], tokens[turned], 0.1, replicates=40)
    xr.testing.assert_identical(other.sel(language=order), found)
    monkeypatch.setattr("neuroglot.analyses.experts.measures.sharing.CELLS", 1)
    xr.testing.assert_identical(sharing(active, tokens, 0.1, replicates=40), found)
    assert not found.equals(sharing(active, tokens, 0.1, replicates=40, seed=1))


def test_a_short_text_gives_a_language_no_experts_of_its_own():
    """Languages that use experts alike: with few tokens, one seems to have some, but for chance."""
    generator = np.random.default_rng(9)
    folds, runs = 8, 60
    small = {"equal": 0, "as they are": 0}
    for _ in range(runs):
        share = generator.uniform(0.02, 0.06, (1, 1, 2, 60))
        tokens = np.tile([[12], [120], [120], [120]], folds)
        active = generator.binomial(tokens[:, :, None, None], share)
        coords = {"language": IDS}
        read = xr.DataArray(tokens, coords, ("language", "fold"))
        counted = xr.DataArray(active, coords, ("language", "fold", "layer", "expert"))
        for how, given in {
            "equal": equal_tokens(counted, read),
            "as they are": (counted, read),
        }.items():
            p = sharing(*given, 0.05, replicates=59)["specific_p_value"]
            small[how] += bool(p.sel(language="en") < 0.05)
    assert small["as they are"] > 0.5 * runs
    assert small["equal"] <= 0.1 * runs


def test_one_language_shares_with_none():
    active, tokens = counts(languages=1)
    found = sharing(active, tokens, 0.1, replicates=10)
    assert (found["specific_p_value"] == 1).all()
    assert found["specific_null"].item() == found["specific"].item()


def test_perplexity_interval_is_the_literal_bootstrap_over_segments():
    nll = np.random.default_rng(0).gamma(20, 2, (2, 3, 9))
    nll[0, 1:] = np.nan
    tokens = np.array([16, 3, 8, 40, 9, 22, 16, 5, 30])
    low, high = perplexity_interval(nll, tokens, replicates=80)
    drawn = np.array(
        [
            [
                np.mean(
                    [
                        np.exp(own[f].sum() / tokens[f].sum())
                        for own in variant
                        if np.isfinite(own).all()
                    ]
                )
                for variant in nll
            ]
            for f in literal_draws(9, 80)
        ]
    )
    np.testing.assert_allclose([low, high], quantiles(drawn, 9), rtol=1e-12)
    assert np.isnan(perplexity_interval(nll[:, :, :1], tokens[:1])).all()
