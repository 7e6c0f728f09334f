"""Activation flatness of a layer, summed and averaged over rows (roles, section 4.2)."""

import xarray as xr


def activation_flatness(flatness_sum: xr.DataArray, rows: xr.DataArray | int) -> xr.Dataset:
    """Give the published sum of the rows' flatness and its mean (roles, equations 1 to 3).

    A = Σ_rows flatness(X), with ``kernels.flatness`` for one row (equation 2). The published sum
    grows with the number of rows, which differs between languages: compare languages by the mean.

    Args:
        flatness_sum: Σ_rows flatness, [..., layer], from ``kernels.row_statistics``.
        rows: number of recorded rows, with any of the dimensions of ``flatness_sum``.

    Returns:
        ``flatness_sum`` and ``flatness_mean``, in bits per neuron; NaN where there are no rows.
    """
    rows = xr.DataArray(rows)
    total = flatness_sum.where(rows > 0)
    total.attrs = {
        "units": "bits per neuron, summed over rows",
        "source": "figures 4 and 6, equations 1 to 3",
    }
    mean = total / rows
    mean.attrs = {"units": "bits per neuron and row", "source": "equations 1 to 3, per row"}
    return xr.Dataset({"flatness_sum": total, "flatness_mean": mean})
