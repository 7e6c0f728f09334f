"""Activation frequency: the share of rows in which each neuron fires (roles, section 4.1)."""

import xarray as xr

from neuroglot.measures.axes import width_dimension


def activation_frequency(count: xr.DataArray, rows: xr.DataArray | int) -> xr.DataArray:
    """Divide the rows in which a neuron fires by all rows (roles, section 4.1).

    Args:
        count: rows in which the neuron fires, [..., neuron] or [..., hidden].
        rows: recorded rows, with any of the other dimensions of ``count``.

    Returns:
        float64 in [0, 1], of the shape of ``count``; NaN where there are no rows.
    """
    frequency = (count / rows).rename("activation_frequency")  # xarray's 0 / 0 is a silent NaN
    frequency.attrs = {"units": "share of rows", "source": "figures 2 and 3, section 4.1"}
    return frequency


def layer_spread(frequency: xr.DataArray) -> xr.Dataset:
    """Summarise a layer's activation frequencies over its neurons (roles, figures 2 and 3).

    A large standard deviation means that some neurons matter much and others little.

    Args:
        frequency: what ``activation_frequency`` gives.

    Returns:
        ``mean`` and ``std`` (the population's, dividing by the number of neurons), without the
        width's dimension.
    """
    width = width_dimension(frequency)
    spread = xr.Dataset(
        {"mean": frequency.mean(width, skipna=False), "std": frequency.std(width, skipna=False)}
    )
    for variable in spread.values():
        variable.attrs = {"units": "share of rows", "source": "figures 2 and 3, section 4.1"}
    return spread
