"""Percentile bootstrap over items: intervals of means, from the same resamples for all of them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

FOLDS = 32
"""Parts that a text's segments are dealt to in turn: segment ``i`` lies in fold ``i % FOLDS``."""

ENDS = ("_low", "_high")
"""What the names of a variable's lower and upper bound have behind the variable's own."""

Bound = TypeVar("Bound")
VARIABLES = 1 << 12  # means at a time: 4,096 x 1,000 replicates are 32 MB
WEIGHTS = 1 << 22  # weights at a time: 32 MB


def interval(
    values: xr.DataArray, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound the mean over items by the percentile bootstrap (Efron 1979; Efron 1981).

    In each replicate as many items are drawn with replacement as there are, and the mean is taken
    of those that have a value; the bounds are the (1 ± level) / 2 quantiles of these means. How
    often an item is drawn is its weight, so that all means are one matrix product. Every variable
    is averaged with the same weights: languages and variants are compared on the same items.

    Args:
        values: one value per item, [..., item]; NaN where an item has none.
        replicates: resamples of the items.
        level: share of the means between the bounds, above 0 and below 1.
        seed: of the resamples.

    Returns:
        low and high, float64 without the dimension ``item``; equal where all values are, NaN
        where no item has a value. ``attrs``: ``values``'s and the three settings.

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

    In each replicate as many folds are drawn with replacement as there are, and both sums are
    taken over those drawn; see ``interval``, of whose draws these are for as many items.

    Args:
        part: what is summed above, [..., fold].
        whole: what is summed below, of ``part``'s dimensions or some of them; 0 where a fold is
            empty.
        replicates: resamples of the folds.
        level: share of the ratios between the bounds, above 0 and below 1.
        seed: of the resamples.

    Returns:
        low and high, float64 with ``part``'s dimensions without ``fold``; NaN where ``whole`` is 0
        in every fold.

    Raises:
        NeuroglotError: as ``interval``, of folds.
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
    """Bound perplexities by the percentile bootstrap over windows, the same draws for all of them.

    Args:
        nll: negative log-likelihood in nats, [variant, draw, window]; NaN where a variant has no
            such draw. A variant's perplexity is the mean of its draws'.
        tokens: predicted in each window.
        replicates: resamples of the windows.
        level: share of the perplexities between the bounds.
        seed: of the resamples.

    Returns:
        low and high, [bound, variant]; NaN where there is one window, which has no spread.
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
    """Draw how often each item is in each resample, in blocks [replicate, item] of float64.

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
    """Average [variable, item] in each resample, [variable, replicate]; NaN where none is there."""
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
    # A mean of equal numbers need not be equal to them once it is rounded.
    lowest = np.where(known, rows, np.inf).min(axis=1, keepdims=True)
    highest = np.where(known, rows, -np.inf).max(axis=1, keepdims=True)
    return np.clip(means, lowest, highest, out=means)


def percentiles(values: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Bound each variable, [bound, variable], over the replicates that have a value.

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has none.
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
    """Bound statistics that are not means, [bound, variable], by percentiles around the estimate.

    A resample repeats some segments and lacks others, so it is noisier than the text. Noise
    raises some statistics (a spread) and lowers others (a correlation), and it does so in every
    resample. So the percentiles are shifted until their median is the estimate. The bounds then
    say how far the statistic would vary over other texts of the same length.

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has none.
        estimate: ``[variable]``, of all folds.
        level: share of the values between the bounds.

    Returns:
        The bounds; never both above or both below the estimate.
    """
    with np.errstate(invalid="ignore"):
        middle = percentiles(values, 0.0)[0]
    bounds: NDArray[np.float64] = percentiles(values, level) - middle + estimate
    return bounds


def with_bounds(*names: str) -> list[str]:
    """Name variables and their bounds, as a table has them beside each other."""
    return [name + end for name in names for end in ("", *ENDS)]


def named_bounds(name: str, bounds: Iterable[Bound]) -> dict[str, Bound]:
    """Name the lower and the upper bound of a variable."""
    return {name + end: bound for end, bound in zip(ENDS, bounds, strict=True)}


def bounded(
    name: str, estimate: xr.DataArray, bounds: Iterable[xr.DataArray | NDArray[np.floating]]
) -> dict[str, xr.DataArray]:
    """Name an estimate and its bounds, ``{name}``, ``{name}_low`` and ``{name}_high``.

    Args:
        name: of the estimate.
        estimate: what is bounded.
        bounds: the lower and the upper one: values in the order of the estimate's dimensions, such
            as [bound, ...] of ``percentiles`` in its shape, or arrays with dimensions of their own,
            such as ``interval`` gives.

    Returns:
        The three, in the order of ``with_bounds``; the estimate's ``attrs`` are the bounds' too.
    """
    found = named_bounds(name, bounds)
    return {name: estimate} | {
        key: bound.assign_attrs({**estimate.attrs, **bound.attrs})
        if isinstance(bound, xr.DataArray)
        else estimate.copy(data=bound)
        for key, bound in found.items()
    }


def bounded_mean(name: str, values: xr.DataArray, replicates: int) -> dict[str, xr.DataArray]:
    """Average over ``item`` what there is, and bound the mean by ``interval``: see ``bounded``."""
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
