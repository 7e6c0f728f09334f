"""Percentile bootstrap over items or folds, with the same resamples for all variables."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

FOLDS = 32
"""Number of folds of a text's segments: segment ``i`` is in fold ``i % FOLDS``."""

ENDS = ("_low", "_high")
"""Suffixes of a variable's name for its lower and upper bound."""

Bound = TypeVar("Bound")
VARIABLES = 1 << 12  # means at a time: 4,096 x 1,000 replicates are 32 MB
WEIGHTS = 1 << 22  # weights at a time: 32 MB


def interval(
    values: xr.DataArray, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound the mean over items by the percentile bootstrap (Efron 1979; Efron 1981).

    Each replicate draws as many items as there are, with replacement, and averages the drawn items
    that have a value. The bounds are the (1 ± level) / 2 quantiles of these means. An item's weight
    is the number of times that it is drawn, so all means are one matrix product. Every variable
    has the same weights: languages and variants are compared on the same items.

    Args:
        values: one value per item, [..., item]; NaN where an item has none.
        replicates: number of resamples.
        level: share of the means between the bounds, above 0 and below 1.
        seed: seed of the resamples.

    Returns:
        low and high, float64 without the dimension ``item``; equal if all values are equal, NaN if
        no item has a value. ``attrs``: those of ``values`` and the three settings.

    Raises:
        NeuroglotError: there is no dimension ``item`` or no item, a value is infinite, or a
            setting is out of range.
    """
    _check(values, replicates, level)
    ordered = values.transpose(..., "item")
    rows = ordered.to_numpy().astype(np.float64).reshape(-1, ordered.sizes["item"])
    bounds = np.empty((2, len(rows)))
    for start in range(0, len(rows), VARIABLES):
        some = slice(start, start + VARIABLES)
        bounds[:, some] = percentiles(_means(rows[some], replicates, seed), level)
    template = ordered.isel(item=0, drop=True)
    template.attrs = {**values.attrs, "replicates": replicates, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


def ratio_interval(
    part: xr.DataArray,
    whole: xr.DataArray,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound a ratio of two sums over folds, such as a share, by the percentile bootstrap.

    Each replicate draws as many folds as there are, with replacement, and sums both variables over
    the drawn folds. The draws are those of ``interval`` for as many items.

    Args:
        part: the numerator, [..., fold].
        whole: the denominator, with all or some of ``part``'s dimensions; 0 in empty folds.
        replicates: number of resamples.
        level: share of the ratios between the bounds, above 0 and below 1.
        seed: seed of the resamples.

    Returns:
        low and high, float64 with ``part``'s dimensions without ``fold``; NaN where ``whole`` is 0
        in every fold.

    Raises:
        NeuroglotError: as ``interval``, for folds.
    """
    ordered = part.transpose(..., "fold")
    _check(ordered.rename(fold="item"), replicates, level)
    below = whole.transpose(..., "fold").broadcast_like(ordered).transpose(*ordered.dims)
    folds = ordered.sizes["fold"]
    weights = fold_weights(folds, replicates, seed).T
    rows, totals = (one.to_numpy().reshape(-1, folds) for one in (ordered, below))
    bounds = np.empty((2, len(rows)))
    for start in range(0, len(rows), VARIABLES):
        some = slice(start, start + VARIABLES)
        drawn = totals[some].astype(np.float64) @ weights
        ratio = (rows[some].astype(np.float64) @ weights) / np.where(drawn > 0, drawn, np.nan)
        bounds[:, some] = percentiles(ratio, level)
    template = ordered.isel(fold=0, drop=True)
    template.attrs = {**part.attrs, "replicates": replicates, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


def perplexity_interval(
    nll: NDArray[np.float64],
    tokens: int,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Bound perplexities by the percentile bootstrap over windows, the same for all variants.

    Args:
        nll: negative log-likelihood in nats, [variant, draw, window]; NaN where a variant has no
            such draw. A variant's perplexity is the mean of the perplexities of its draws.
        tokens: number of predicted tokens in each window.
        replicates: number of resamples.
        level: share of the perplexities between the bounds.
        seed: seed of the resamples.

    Returns:
        low and high, [bound, variant]; NaN if there is only one window, which has no spread.
    """
    variants, draws, windows = nll.shape
    if windows == 1:
        return np.full((2, variants), np.nan)
    rows = nll.reshape(variants * draws, windows) / tokens
    means = _means(rows, replicates, seed).reshape(variants, draws, replicates)
    there = np.isfinite(means).any(axis=2, keepdims=True)
    drawn = np.where(there, np.exp(means), 0).sum(axis=1) / there.sum(axis=1)
    return percentiles(drawn, level)


def resample_weights(items: int, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw how often each item is in each resample: float64 blocks [replicate, item].

    Each row is multinomial: ``items`` draws with equal chances.
    """
    generator = np.random.default_rng(seed)
    block = max(1, WEIGHTS // items)
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = generator.multinomial(items, np.full(items, 1 / items), size=size)
        yield drawn.astype(np.float64)


def fold_weights(folds: int, replicates: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw how often each fold is in each resample, [replicate, fold]; see ``resample_weights``."""
    return np.concatenate([*resample_weights(folds, replicates, seed)])


def _means(rows: NDArray[np.float64], replicates: int, seed: int) -> NDArray[np.float64]:
    """Average [variable, item] in each resample, [variable, replicate]; NaN without values."""
    known = ~np.isnan(rows)
    filled, there = np.where(known, rows, 0), known.astype(np.float64)
    means = np.empty((len(rows), replicates))
    start = 0
    for weights in resample_weights(rows.shape[1], replicates, seed):
        drawn = there @ weights.T
        total = filled @ weights.T
        some = slice(start, start + len(weights))
        means[:, some] = total / np.where(drawn > 0, drawn, np.nan)
        start += len(weights)
    # Rounding may make a mean of equal numbers differ from them.
    lowest = np.where(known, rows, np.inf).min(axis=1, keepdims=True)
    highest = np.where(known, rows, -np.inf).max(axis=1, keepdims=True)
    return np.clip(means, lowest, highest, out=means)


def percentiles(values: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Bound each variable over the replicates that have a value: [bound, variable].

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has no value.
        level: share of the values between the bounds.
    """
    at = [(1 - level) / 2, (1 + level) / 2]
    bounds = np.quantile(values, at, axis=1)
    lacking = np.isnan(values)
    partly = lacking.any(axis=1) & ~lacking.all(axis=1)
    if partly.any():
        bounds[:, partly] = np.nanquantile(values[partly], at, axis=1)
    return bounds


def centred_percentiles(
    values: NDArray[np.float64], estimate: NDArray[np.float64], level: float = 0.95
) -> NDArray[np.float64]:
    """Bound statistics that are not means: [bound, variable], percentiles around the estimate.

    A resample repeats some segments and lacks others, so it is noisier than the text. Noise
    raises some statistics (a spread) and lowers others (a correlation), and it does so in every
    resample. So the percentiles are shifted until their median is the estimate. The bounds then
    say how far the statistic would vary over other texts of the same length.

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has no value.
        estimate: the statistics over all folds, ``[variable]``.
        level: share of the values between the bounds.

    Returns:
        The bounds; never both above or both below the estimate.
    """
    with np.errstate(invalid="ignore"):
        middle = percentiles(values, 0.0)[0]
    bounds: NDArray[np.float64] = percentiles(values, level) - middle + estimate
    return bounds


def with_bounds(*names: str) -> list[str]:
    """List the names of variables and their bounds, in the order of a table's columns."""
    return [name + end for name in names for end in ("", *ENDS)]


def named_bounds(name: str, bounds: Iterable[Bound]) -> dict[str, Bound]:
    """Map the names of a variable's lower and upper bound to the bounds."""
    return {name + end: bound for end, bound in zip(ENDS, bounds, strict=True)}


def bounded(
    name: str, estimate: xr.DataArray, bounds: Iterable[xr.DataArray | NDArray[np.floating]]
) -> dict[str, xr.DataArray]:
    """Map ``{name}``, ``{name}_low`` and ``{name}_high`` to an estimate and its bounds.

    Args:
        name: the estimate's name.
        estimate: the estimate.
        bounds: the lower and the upper bound, either as numpy arrays in the estimate's shape (from
            ``percentiles``) or as DataArrays (from ``interval``).

    Returns:
        The three arrays, in the order of ``with_bounds``. The bounds get the estimate's ``attrs``.
    """
    found = named_bounds(name, bounds)
    return {name: estimate} | {
        key: bound.assign_attrs({**estimate.attrs, **bound.attrs})
        if isinstance(bound, xr.DataArray)
        else estimate.copy(data=bound)
        for key, bound in found.items()
    }


def bounded_mean(name: str, values: xr.DataArray, replicates: int) -> dict[str, xr.DataArray]:
    """Average over ``item``, without NaN, and bound the mean by ``interval``; see ``bounded``."""
    return bounded(name, values.mean("item", keep_attrs=True), interval(values, replicates))


def _check(values: xr.DataArray, replicates: int, level: float) -> None:
    if not values.sizes.get("item"):
        raise NeuroglotError(
            f"a bootstrap over items needs at least one item, found {dict(values.sizes)}"
        )
    if np.isinf(values.to_numpy()).any():
        raise NeuroglotError("a value is infinite, and so is every mean with it; leave it out")
    if replicates < 1:
        raise NeuroglotError(f"bootstrap replicates: expected 1 or more, found {replicates}")
    if not 0 < level < 1:
        raise NeuroglotError(f"bootstrap level: expected a share between 0 and 1, found {level}")
