"""Percentile bootstrap over items of the highest value of all items."""

import numpy as np
import xarray as xr

from neuroglot.measures.bootstrap import percentiles, resample_weights

# That none of so many items is among as many draws as there are items is less likely than e^-40.
CANDIDATES = 40


def resampled_maxima(by_item: xr.DataArray, replicates: int = 1000, seed: int = 0) -> xr.DataArray:
    """Take the highest value of all items in each resample of them.

    Args:
        by_item: the highest value of each item, [..., item]; NaN where an item has none.
        replicates: resamples of the items, those of ``bootstrap.interval`` for as many items.
        seed: of the resamples.

    Returns:
        float64 [..., replicate]; NaN where no item that was drawn has a value.
    """
    ordered = by_item.transpose(..., "item")
    items = ordered.sizes["item"]
    drawn = np.concatenate([w > 0 for w in resample_weights(items, replicates, seed)])
    rows = ordered.fillna(-np.inf).to_numpy().reshape(-1, items)
    candidates = np.argsort(-rows, axis=1, kind="stable")[:, :CANDIDATES]
    maxima = np.empty((len(rows), replicates))
    for row, first, found in zip(rows, candidates, maxima, strict=True):
        there = drawn[:, first]  # from the highest down
        there[:, -1] |= ~there.any(axis=1)
        found[:] = row[first[there.argmax(axis=1)]]
    maxima[np.isneginf(maxima)] = np.nan
    template = ordered.isel(item=0, drop=True)
    return template.expand_dims(replicate=replicates, axis=-1).copy(
        data=maxima.reshape(*template.shape, replicates)
    )


def maximum_interval(
    maximum: xr.DataArray, resampled: xr.DataArray, level: float = 0.95
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound a maximum, or a mean of maxima, from below by what is found in resamples.

    No resample has a higher item than there is, so that the upper bound is the maximum itself: the
    interval says how much a maximum hangs on single items, not how high it may be elsewhere.

    Args:
        maximum: [...].
        resampled: the same of each resample, as from ``resampled_maxima``, [..., replicate].
        level: 1 less twice the share of resamples that are below the lower bound, as of intervals
            with two sides.

    Returns:
        low and high, [...]; NaN where ``maximum`` is.
    """
    values = resampled.transpose(*maximum.dims, "replicate").to_numpy()
    low, _ = percentiles(values.reshape(-1, values.shape[-1]), level)
    return maximum.copy(data=low.reshape(maximum.shape)), maximum
