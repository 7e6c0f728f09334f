"""Dominant neurons: which one is most often the maximum, which one varies most (roles, 4.2)."""

import numpy as np
import xarray as xr

from neuroglot.measures.axes import width_dimension

ABSENT = -1


def dominant_neurons(
    argmax_count: xr.DataArray,
    total: xr.DataArray,
    sum_of_squares: xr.DataArray,
    rows: xr.DataArray | int,
) -> xr.Dataset:
    """Find each layer's peak neurons, as the paper does by eye for figure 8 (roles, section 4.2).

    The first three arguments are what ``kernels.row_statistics`` sums, [..., neuron] or
    [..., hidden]. The standard deviation over rows is √(Σx²/n - (Σx/n)²); in float64 it resolves
    deviations down to about 1e-8 of a neuron's own magnitude.

    Args:
        argmax_count: rows whose maximum the neuron is.
        total: Σ_rows x.
        sum_of_squares: Σ_rows x².
        rows: recorded rows n, with any of the other dimensions.

    Returns:
        ``most_often_maximum`` and ``most_variable`` (int32 index along the width; the lowest of
        equals; -1 where there are no rows), ``maximum_share`` (share of rows whose maximum the
        former is) and ``largest_std`` (the latter's, units of activation), both NaN where there
        are no rows.
    """
    width = width_dimension(argmax_count)
    rows = xr.DataArray(rows)
    count = argmax_count.fillna(0)
    std = _standard_deviation(total, sum_of_squares, rows).fillna(0)
    table = xr.Dataset(
        {
            "most_often_maximum": count.argmax(width).where(rows > 0, ABSENT).astype(np.int32),
            "maximum_share": count.max(width) / rows,
            "most_variable": std.argmax(width).where(rows > 0, ABSENT).astype(np.int32),
            "largest_std": std.max(width).where(rows > 0),
        }
    ).transpose(*(dimension for dimension in argmax_count.dims if dimension != width))
    for name, units in {
        "most_often_maximum": f"index of {width}",
        "maximum_share": "share of rows",
        "most_variable": f"index of {width}",
        "largest_std": "activation",
    }.items():
        table[name].attrs = {"units": units, "source": "section 4.2, figure 8"}
    return table


def _standard_deviation(
    total: xr.DataArray, sum_of_squares: xr.DataArray, rows: xr.DataArray
) -> xr.DataArray:
    n = rows.where(rows > 0)
    variance = sum_of_squares.astype(np.float64) / n - (total.astype(np.float64) / n) ** 2
    return variance.clip(min=0) ** 0.5  # rounding can leave a constant neuron just below zero
