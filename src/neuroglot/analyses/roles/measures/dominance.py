"""Dominant neurons: most often a row's maximum, and most variable (roles, section 4.2)."""

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
    """Find each layer's dominant neurons; the paper finds them by eye in figure 8 (section 4.2).

    The first three arguments are sums of ``kernels.row_statistics``, [..., neuron] or
    [..., hidden]. The standard deviation over rows is √(Σx²/n - (Σx/n)²). In float64 it resolves
    deviations down to about 1e-8 of a neuron's magnitude.

    Args:
        argmax_count: number of rows in which the neuron is the maximum.
        total: Σ_rows x.
        sum_of_squares: Σ_rows x².
        rows: number n of recorded rows, with any of the other dimensions.

    Returns:
        ``most_often_maximum`` and ``most_variable``: int32 index along the width, the lowest index
        in a tie, -1 where there are no rows. ``maximum_share``: share of rows in which
        ``most_often_maximum`` is the maximum. ``largest_std``: standard deviation of
        ``most_variable``, in units of activation. Both are NaN where there are no rows.
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
