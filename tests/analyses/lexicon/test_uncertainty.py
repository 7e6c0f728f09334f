"""Intervals of neurons' languages against counting every resample anew, and invariances."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.lexicon.measures import lexicon
from neuroglot.analyses.lexicon.measures.uncertainty import (
    FoldCounts,
    lexicon_intervals,
    token_share_interval,
)
from neuroglot.measures.bootstrap import centred_percentiles, resample_weights

LANGUAGES = ["en", "tr", "ru"]
PRIORS: tuple[lexicon.Prior, ...] = ("uniform", "corpus")
REPLICATES = 60


def text(folds: int = 6, tokens: int = 25, seed: int = 0) -> np.ndarray:
    """Counts ``[language, fold, token]``; most tokens are rare, as in any text."""
    generator = np.random.default_rng(seed)
    rate = generator.lognormal(-1.5, 1.5, (3, 1, tokens))
    counts = generator.poisson(rate, (3, folds, tokens))
    counts[:, :, 0] += 1  # no resample of a language is empty
    return counts


def listed(counts: np.ndarray, languages: list[str] = LANGUAGES) -> FoldCounts:
    language, fold, token = np.nonzero(counts)
    return FoldCounts(languages, language, 3 * token, fold, counts[language, fold, token])


def tops(tokens: int = 25, neurons: int = 9, k: int = 5) -> xr.DataArray:
    """Lists with tokens of which a third is in no text at all."""
    generator = np.random.default_rng(1)
    ids = np.setdiff1d(np.arange(3 * tokens), 3 * np.arange(tokens))
    known = 3 * np.arange(tokens)
    pool = np.concatenate([known, ids[: tokens // 2]])
    lists = [generator.choice(pool, k, replace=False) for _ in range(2 * neurons)]
    lists[4] = ids[-k:]
    return xr.DataArray(
        np.array(lists, np.int32).reshape(2, neurons, k),
        dims=("sign", "neuron", "rank"),
        coords={"sign": ["positive", "negative"]},
    )


def measured(counts: np.ndarray, top: xr.DataArray, languages: list[str]) -> xr.Dataset:
    """What the analysis computes of counts ``[language, token]``."""
    count = xr.DataArray(
        counts,
        {"language": languages, "token": 3 * np.arange(counts.shape[1])},
        ("language", "token"),
    )
    association = xr.concat(
        [lexicon.association(top, lexicon.language_given_token(count, p)) for p in PRIORS],
        xr.Variable("prior", np.array(PRIORS, str)),
    )
    return xr.Dataset(
        {
            "entropy": lexicon.entropy(association),
            "coverage": lexicon.coverage(top, count),
            "top_language_share": lexicon.top_language_share(association),
        }
    )


def intervals(counts: np.ndarray, languages: list[str] = LANGUAGES, **chosen: int) -> xr.Dataset:
    estimate = measured(counts.sum(1), tops(), languages)
    return lexicon_intervals(
        tops(), listed(counts, languages), estimate, chosen.pop("replicates", REPLICATES), **chosen
    )


def test_intervals_are_those_of_counting_every_resample_anew():
    counts = text()
    estimate = measured(counts.sum(1), tops(), LANGUAGES)
    [weights] = resample_weights(6, REPLICATES, 0)
    drawn = xr.concat(
        [
            measured(np.einsum("f,lft->lt", row.astype(int), counts), tops(), LANGUAGES)
            for row in weights
        ],
        "replicate",
    )
    found = intervals(counts)
    for name, most in (("entropy", np.log2(3)), ("coverage", 1), ("top_language_share", 1)):
        dims = estimate[name].dims
        values = drawn[name].transpose(*dims, "replicate").values.reshape(-1, REPLICATES)
        expected = np.clip(centred_percentiles(values, estimate[name].values.ravel(), 6), 0, most)
        for end, bound in zip(("low", "high"), expected, strict=True):
            assert found[f"{name}_{end}"].dims == dims
            np.testing.assert_allclose(
                found[f"{name}_{end}"].values.ravel(), bound, rtol=1e-9, atol=1e-9
            )
        assert found["prior"].values.tolist() == estimate["prior"].values.tolist()
        assert (found[f"{name}_low"] < found[f"{name}_high"]).any()
    unseen = found.sel(sign="positive").isel(neuron=4)
    assert unseen["entropy_low"].isnull().all()
    assert unseen["coverage_high"] == 0


def test_the_estimate_lies_within_although_resamples_lack_tokens():
    counts = text()
    estimate, found = measured(counts.sum(1), tops(), LANGUAGES), intervals(counts)
    for name in ("entropy", "coverage", "top_language_share"):
        whole = estimate[name]
        within = (found[f"{name}_low"] <= whole + 1e-9) & (whole <= found[f"{name}_high"] + 1e-9)
        assert (within | whole.isnull()).all()


def test_the_same_whatever_the_order_of_languages_and_the_memory(monkeypatch):
    counts, turned = text(), [2, 0, 1]
    found = intervals(counts)
    other = intervals(counts[turned], [LANGUAGES[place] for place in turned])
    xr.testing.assert_allclose(other.sel(language=LANGUAGES), found, rtol=1e-9)
    monkeypatch.setattr("neuroglot.analyses.lexicon.measures.uncertainty.CELLS", 100)
    xr.testing.assert_allclose(intervals(counts), found, rtol=1e-12)
    assert not intervals(counts, seed=1).equals(found)


def test_some_languages_of_a_text():
    counts = text()
    chosen = listed(counts).of(["ru", "en"])
    direct = listed(counts[[2, 0]], ["ru", "en"])
    np.testing.assert_array_equal(chosen.totals(), direct.totals())
    assert chosen.languages == ["ru", "en"]
    assert sorted(zip(chosen.token, chosen.fold, chosen.count, strict=True)) == sorted(
        zip(direct.token, direct.fold, direct.count, strict=True)
    )


def test_share_of_tokens_by_hand():
    counts = np.zeros((3, 2, 1), int)
    counts[:, :, 0] = [[10, 30], [10, 10], [20, 0]]
    low, high = token_share_interval(listed(counts), 400)
    # English has 10 of 40 tokens in one fold, 30 of 40 in the other: drawn twice, or both
    assert low.values.tolist() == pytest.approx([0.25, 0.25, 0])
    assert high.values.tolist() == pytest.approx([0.75, 0.25, 0.5])
