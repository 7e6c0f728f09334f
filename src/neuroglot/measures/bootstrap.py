"""Percentile bootstrap over items: intervals of means, from the same resamples for all of them."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

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
        bounds[:, some] = _quantiles(_means(rows[some], replicates, seed), level)
    template = ordered.isel(item=0, drop=True)
    template.attrs = {**values.attrs, "replicates": replicates, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


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


def _quantiles(means: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Bound each variable, [bound, variable], over the replicates that have a mean."""
    at = [(1 - level) / 2, (1 + level) / 2]
    bounds = np.quantile(means, at, axis=1)
    lacking = np.isnan(means)
    partly = lacking.any(axis=1) & ~lacking.all(axis=1)
    if partly.any():
        bounds[:, partly] = np.nanquantile(means[partly], at, axis=1)
    return bounds


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
