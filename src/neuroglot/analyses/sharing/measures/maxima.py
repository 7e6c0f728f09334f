"""Percentile bootstrap over items, or facts, for the maximum over them."""

import numpy as np
import xarray as xr

from neuroglot.measures.bootstrap import percentiles, resample_weights

# The probability that a resample lacks all of the 40 highest items is below e^-40.
CANDIDATES = 40


def resampled_maxima(by_item: xr.DataArray, replicates: int) -> xr.DataArray:
    """Take the maximum over items in each resample of the items.

    Args:
        by_item: the highest value of each item, [..., item]; NaN where an item has no value.
        replicates: resamples of the items; ``bootstrap.interval`` draws the same resamples of
            equally many items.

    Returns:
        float64 [..., replicate]; NaN where no drawn item has a value.
    """
    ordered = by_item.transpose(..., "item")
    items = ordered.sizes["item"]
    drawn = np.concatenate([weights > 0 for weights in resample_weights(items, replicates, 0)])
    rows = ordered.fillna(-np.inf).to_numpy().reshape(-1, items)
    candidates = np.argsort(-rows, axis=1, kind="stable")[:, :CANDIDATES]
    maxima = np.empty((len(rows), replicates))
    for row, highest, of_row in zip(rows, candidates, maxima, strict=True):
        there = drawn[:, highest]  # highest item first
        there[:, -1] |= ~there.any(axis=1)
        of_row[:] = row[highest[there.argmax(axis=1)]]
    maxima[np.isneginf(maxima)] = np.nan
    template = ordered.isel(item=0, drop=True)
    return template.expand_dims(replicate=replicates, axis=-1).copy(
        data=maxima.reshape(*template.shape, replicates)
    )


def maximum_interval(
    maximum: xr.DataArray, resampled: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound a maximum, or a mean of maxima, from below by its values in resamples.

    The maximum of a resample never exceeds the maximum of all items, so the upper bound is the
    maximum itself. The interval shows how much the maximum depends on single items; it does not
    show how high the maximum may be on other items.

    Args:
        maximum: the maximum or mean of maxima, [...].
        resampled: the same value in each resample, as from ``resampled_maxima``, [..., replicate].

    Returns:
        Lower and upper bound, [...]; NaN where ``maximum`` is NaN. As in a two-sided 95 % interval,
        2.5 % of the resamples are below the lower bound.
    """
    values = resampled.transpose(*maximum.dims, "replicate").to_numpy()
    low, _ = percentiles(values.reshape(-1, values.shape[-1]))
    return maximum.copy(data=low.reshape(maximum.shape)), maximum
