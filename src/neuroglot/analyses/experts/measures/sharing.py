"""How many languages share an expert, with intervals over folds and the numbers by chance.

All functions take counts by fold of segments: ``active`` [language, fold, layer, expert], the
number of tokens that activate each expert, and ``tokens`` [language, fold]. Fold f has the same
segments of a parallel text in every language, so all languages use the same draw of folds. Both are
results of ``halves.equal_tokens``: with unequal tokens, the language with the fewest would have
more experts of its own by chance than exchanged labels have.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neuroglot.analyses.experts.measures.experts import expert_frequency
from neuroglot.measures.bootstrap import (
    centred_percentiles,
    fold_weights,
    named_bounds,
    percentiles,
)

Values = NDArray[np.float64]
CELLS = 1 << 22  # frequencies per block: 32 MB
SHARING_DIMS = {
    "shared_histogram": "languages",
    "specific": "language",
    "specific_by_layer": "layer",
}


def sharing(
    active: xr.DataArray,
    tokens: xr.DataArray,
    high_frequency: float,
    replicates: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Count experts by the languages that share them, with intervals and numbers by chance.

    An expert is specific to a language if it has high frequency in this language and in no other.
    The 95 % intervals come from the bootstrap over folds. They are
    ``bootstrap.centred_percentiles``, because the noise of a resample takes more experts across the
    threshold. The null model permutes the languages' labels at random within each fold, so that
    every label stands for a mixture of all languages.

    Args:
        active: see above, with the coordinate ``language``.
        tokens: see above.
        high_frequency: minimum share of tokens of a high-frequency expert.
        replicates: resamples of folds, and as many permutations of labels.
        seed: seed of both. The result does not depend on the order of languages.

    Returns:
        ``specific(language)``, ``specific_by_layer(layer)`` (over all languages) and
        ``shared_histogram(languages)``. Each has ``_low`` and ``_high``, the interval; ``_null``,
        ``_null_low`` and ``_null_high``, the mean over permutations and their 95 % range; and
        ``_p_value``, the share of permutations with at least the observed number. The p-value
        counts the observed labels as one permutation and is not corrected for multiple tests.
    """
    order = np.argsort(active["language"].to_numpy(), kind="stable")
    active, tokens = active.isel(language=order), tokens.isel(language=order)
    whole = expert_frequency(active.sum("fold"), tokens.sum("fold"))
    ordered = whole.transpose("language", "layer", "expert").to_numpy()
    observed = _shared(ordered[None], high_frequency)
    drawn = _joined(_resampled(active, tokens, replicates, seed), high_frequency)
    chance = _joined(_permuted(active, tokens, replicates, seed), high_frequency)
    experts: dict[str, xr.Variable] = {}
    attrs = {"units": "experts", "source": "section 4.3"}
    folds = int(_folds(tokens).max())
    for name, dim in SHARING_DIMS.items():
        number, by_chance = observed[name][0], chance[name]
        bounds = np.maximum(centred_percentiles(drawn[name].T, number, folds), 0)
        as_many = (by_chance >= number).sum(axis=0)
        counted = {
            name: number,
            **named_bounds(name, bounds),
            f"{name}_null": by_chance.mean(axis=0),
            **named_bounds(f"{name}_null", percentiles(by_chance.T)),
        }
        experts |= {key: xr.Variable(dim, values, attrs) for key, values in counted.items()}
        p_value = (1 + as_many) / (1 + replicates)
        experts[f"{name}_p_value"] = xr.Variable(dim, p_value, attrs | {"units": "probability"})
    coords = {key: active.coords[key] for key in active.coords if key in ("language", "layer")}
    coords["languages"] = ("languages", np.arange(len(order) + 1), {"units": "languages"})
    return xr.Dataset(experts, coords).isel(language=np.argsort(order))


def _folds(tokens: xr.DataArray) -> NDArray[np.integer]:
    """Count the folds in which each language has tokens, [language]."""
    counted: NDArray[np.integer] = (tokens > 0).sum("fold").to_numpy()
    return counted


def _resampled(
    active: xr.DataArray, tokens: xr.DataArray, replicates: int, seed: int
) -> Iterator[Values]:
    """Give frequencies of resampled folds, in blocks ``[replicate, language, layer, expert]``."""
    counts, totals, shape = _flat(active, tokens)
    size = max(1, CELLS // counts[:, 0].size)
    weights = fold_weights(totals.shape[1], replicates, seed)
    for start in range(0, replicates, size):
        drawn = weights[start : start + size]
        read = totals @ drawn.T  # [language, replicate]
        with np.errstate(invalid="ignore"):
            share = (drawn @ counts) / read[:, :, None]  # exact sums of integers in float64
        yield share.transpose(1, 0, 2).reshape(len(drawn), *shape)


def _permuted(
    active: xr.DataArray, tokens: xr.DataArray, permutations: int, seed: int
) -> Iterator[Values]:
    """Give frequencies for permuted languages within folds, ``[1, language, …]`` each."""
    counts, totals, shape = _flat(active, tokens)
    languages, folds, cells = counts.shape
    stacked = counts.reshape(languages * folds, cells)
    generator = np.random.default_rng(seed)
    ends, ones = np.arange(languages + 1) * folds, np.ones(languages * folds)
    unpermuted = np.tile(np.arange(languages), (folds, 1))
    for _ in range(permutations):
        taken = generator.permuted(unpermuted, axis=1)  # [fold, language]
        rows = taken.T * folds + np.arange(folds)  # [language, fold], in ``stacked``
        choice = csr_array((ones, rows.ravel(), ends), shape=(languages, len(stacked)))
        with np.errstate(invalid="ignore"):
            share = (choice @ stacked) / (choice @ totals.ravel())[:, None]
        yield share.reshape(1, *shape)


def _flat(
    active: xr.DataArray, tokens: xr.DataArray
) -> tuple[Values, Values, tuple[int, int, int]]:
    """Flatten to ``[language, fold, layer * expert]``; also ``[language, fold]`` and the shape."""
    counts = active.transpose("language", "fold", "layer", "expert").to_numpy().astype(np.float64)
    totals = tokens.transpose("language", "fold").to_numpy().astype(np.float64)
    languages, folds, layers, experts = counts.shape
    return counts.reshape(languages, folds, -1), totals, (languages, layers, experts)


def _shared(frequency: Values, threshold: float) -> dict[str, NDArray[np.int64]]:
    """Count experts by the names of ``SHARING_DIMS``, from [replicate, language, layer, expert]."""
    high = frequency >= threshold
    number = high.sum(axis=1)
    specific = high & (number == 1)[:, None]
    most = frequency.shape[1] + 1
    of_replicate = number.reshape(len(number), -1) + most * np.arange(len(number))[:, None]
    histogram = np.bincount(of_replicate.ravel(), minlength=most * len(number))
    return {
        "shared_histogram": histogram.reshape(len(number), most),
        "specific": specific.sum(axis=(2, 3)),
        "specific_by_layer": specific.sum(axis=(1, 3)),
    }


def _joined(blocks: Iterator[Values], threshold: float) -> dict[str, Values]:
    counted = [_shared(block, threshold) for block in blocks]
    return {
        name: np.concatenate([block[name] for block in counted], dtype=np.float64)
        for name in SHARING_DIMS
    }
