"""How a language's tokens are spread over the experts of a layer."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import entr

from neuroglot.measures.bootstrap import bounded, centred_percentiles, fold_weights

Values = NDArray[np.float64]

CELLS = 1 << 20  # resampled counts at a time: 8 MB
BITS = {"units": "bits"}


def shares(chosen: Values) -> Values:
    """Divide counts by their sum over a layer's experts, [..., expert].

    This is the share of the places in the layer's experts that a language's tokens give to an
    expert: a token that passes through k experts gives k places. NaN where nothing was counted.
    """
    total = chosen.sum(axis=-1, keepdims=True)
    share: Values = chosen / np.where(total > 0, total, np.nan)
    return share


def entropy(p: Values) -> Values:
    """-Σ p log2 p over the last axis, in bits; 0 log 0 = 0."""
    bits: Values = entr(p).sum(axis=-1) / np.log(2)
    return bits


def expert_entropy(chosen: xr.DataArray, replicates: int, seed: int = 0) -> dict[str, xr.DataArray]:
    """Entropy over a layer's experts of the shares of a language's tokens.

    It is log2 of the number of experts if all are chosen equally often, and lower the fewer experts
    serve the language. The entropy of an estimate is too low, and the more so, the fewer tokens
    there are; so languages are compared on equally many (``halves.equal_tokens``).

    Args:
        chosen: tokens routed to each expert, [language, fold, layer, expert].
        replicates: resamples of the folds, the same for all languages.
        seed: seed of the resamples.

    Returns:
        ``expert_entropy(language, layer)`` in bits, with ``_low`` and ``_high``, which are
        ``bootstrap.centred_percentiles``.
    """
    ordered = chosen.transpose("language", "fold", "layer", "expert")
    counts = ordered.to_numpy().astype(np.float64)
    estimate = ordered.isel(fold=0, expert=0, drop=True).copy(
        data=entropy(shares(counts.sum(axis=1)))
    )
    drawn = np.concatenate([entropy(shares(sums)) for sums in _resampled(counts, replicates, seed)])
    flat = drawn.reshape(len(drawn), -1).T
    bounds = centred_percentiles(flat, estimate.to_numpy().ravel(), counts.shape[1])
    return bounded(
        "expert_entropy",
        estimate.assign_attrs(BITS),
        np.maximum(bounds, 0).reshape(2, *estimate.shape),
    )


def _resampled(counts: Values, replicates: int, seed: int) -> Sequence[Values]:
    """Sum resampled folds of [language, fold, ...]: blocks [replicate, language, ...]."""
    weights = fold_weights(counts.shape[1], replicates, seed)
    block = max(1, CELLS // max(1, counts[:, 0].size))
    parts = np.split(weights, range(block, replicates, block))
    return [np.tensordot(some, counts, (1, 1)) for some in parts]
