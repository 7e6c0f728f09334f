"""Rank correlation of neurons between two languages or two corpora (roles, section 4.4)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from neuroglot.measures.axes import coordinates_of, over_own_width, width_dimension
from neuroglot.measures.bootstrap import centred_percentiles, fold_weights

VALUES = 1 << 22  # sums of replicates at a time: 32 MB

Compared = Literal["language", "corpus"]
SumsByFold: TypeAlias = Callable[[int], NDArray[np.floating]]
"""Maps a layer to the activations summed over each fold's rows, [fold, width]."""


def rank_correlation(total: xr.DataArray, between: Compared = "language") -> xr.DataArray:
    """Correlate neurons' ranks by summed activation, Spearman's ρ (roles, section 4.4).

    Args:
        total: activations summed over rows, [..., language, layer, neuron] (or hidden). All other
            dimensions, such as corpus, are kept.
        between: ``language`` compares languages, for figures 12, 13, 17 and 18; ``corpus``
            compares one language's rankings in several corpora, for figures 14 and 15.

    Returns:
        [..., language_a, language_b, layer] (or corpus_a, corpus_b) in [-1, 1]. Ties get their
        average rank. NaN where a layer's sums are all equal, or any sum is NaN.
    """
    return over_own_width(partial(_rank_correlation, between=between), total)


def _rank_correlation(total: xr.DataArray, between: Compared) -> xr.DataArray:
    width = width_dimension(total)
    kept = [dim for dim in total.dims if dim not in (between, "layer", width)]
    ordered = total.transpose(*kept, "layer", between, width)
    ranks = standardised_ranks(ordered.to_numpy())
    pair = (f"{between}_a", f"{between}_b")
    correlation = xr.DataArray(
        np.clip(ranks @ np.swapaxes(ranks, -1, -2), -1, 1),
        dims=(*kept, "layer", *pair),
        coords={
            name: coordinate
            for dim in (*kept, "layer")
            for name, coordinate in coordinates_of(total, str(dim)).items()
        },
        name="rank_correlation",
        attrs={"units": "Spearman's ρ", "source": "figures 12 to 15, 17 and 18, section 4.4"},
    )
    if between in total.coords:
        correlation = correlation.assign_coords({name: total[between].to_numpy() for name in pair})
    return correlation.transpose(*kept, *pair, "layer")


def rank_correlation_bounds(
    correlation: xr.DataArray,
    sums: Mapping[tuple[str, str], SumsByFold],
    between: Compared,
    replicates: int,
) -> list[xr.DataArray]:
    """Bound all of ``rank_correlation`` by ``rank_correlation_interval``, layer by layer.

    Each corpus is resampled independently, because corpora share no segments.

    Args:
        correlation: result of ``rank_correlation`` for the sums over all folds.
        sums: sums by fold, by corpus and language.
        between: as given to ``rank_correlation``.
        replicates: resamples of the folds.

    Returns:
        Lower and upper bounds, with ``correlation``'s dimensions. A language or corpus that is
        compared only with itself has an interval of width zero.
    """
    apart: Compared = "corpus" if between == "language" else "language"
    pair = (f"{between}_a", f"{between}_b")
    ordered = correlation.transpose(apart, "layer", *pair)
    members, others = (ordered[name].values.tolist() for name in (pair[0], apart))
    bounds = np.stack([ordered.values, ordered.values])
    for place, other in enumerate(others):
        keys = [(other, i) if between == "language" else (i, other) for i in members]
        held = [i for i, key in enumerate(keys) if key in sums]
        seeds = held if between == "corpus" else None
        for layer in range(ordered.sizes["layer"] if len(held) > 1 else 0):
            by_fold = [sums[keys[i]](layer) for i in held]
            both = rank_correlation_interval(by_fold, replicates, seeds)
            bounds[:, place, layer, np.array(held)[:, None], held] = both
    return [ordered.copy(data=bound).transpose(*correlation.dims) for bound in bounds]


def rank_correlation_interval(
    by_fold: Sequence[NDArray[np.floating]], replicates: int, seeds: Sequence[int] | None = None
) -> NDArray[np.float64]:
    """Bound every two members' rank correlation in one layer by the bootstrap over folds.

    A member is a language or a corpus. Members with equal seeds and numbers of folds draw the same
    folds. In languages of a parallel text these folds hold the same segments. The bounds are
    ``bootstrap.centred_percentiles``.

    Args:
        by_fold: for each member, the activations summed over each fold's rows, [fold, width].
        replicates: resamples of the folds.
        seeds: seed of each member's resamples. Corpora share no segments and need different seeds.

    Returns:
        [bound, member, member], NaN as in ``rank_correlation``.
    """
    members, width = len(by_fold), by_fold[0].shape[1]
    weights = [
        fold_weights(len(sums), replicates, seed)
        for sums, seed in zip(by_fold, seeds or [0] * members, strict=True)
    ]
    block = max(1, VALUES // (members * width))
    drawn = []
    for start in range(0, replicates, block):
        sums = [w[start : start + block] @ s for w, s in zip(weights, by_fold, strict=True)]
        ranks = standardised_ranks(np.stack(sums, 1))  # [replicate, member, width]
        drawn.append(ranks @ np.swapaxes(ranks, -1, -2))
    whole = standardised_ranks(np.stack([s.sum(0, dtype=np.float64) for s in by_fold]))
    pairs = np.concatenate(drawn).reshape(replicates, -1).T
    folds = [len(sums) for sums in by_fold]
    both = np.minimum.outer(folds, folds).ravel()
    bounds = centred_percentiles(pairs, (whole @ whole.T).ravel(), both)
    return np.clip(bounds, -1, 1).reshape(2, members, members)


def standardised_ranks(values: NDArray[np.number]) -> NDArray[np.float64]:
    """Rank along the last axis, averaging ties; centre and scale to unit norm."""
    ranks = _ranks(values.astype(np.float64))
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(ranks, axis=-1, keepdims=True)
    standardised: NDArray[np.float64] = ranks / np.where(norm > 0, norm, np.nan)
    return standardised


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank as scipy does with ``nan_policy="propagate"``, but much faster without ties."""
    rows = values.reshape(-1, values.shape[-1])
    order = np.argsort(rows, axis=-1)
    ranks = np.empty_like(rows)
    np.put_along_axis(ranks, order, np.arange(1.0, rows.shape[1] + 1)[None], axis=-1)
    ordered = np.take_along_axis(rows, order, axis=-1)
    plain = (ordered[:, 1:] > ordered[:, :-1]).all(axis=-1)  # no ties and no NaN
    if not plain.all():
        ranks[~plain] = rankdata(rows[~plain], axis=-1, nan_policy="propagate")
    return ranks.reshape(values.shape)
