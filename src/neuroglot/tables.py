"""Turns datasets into tidy tables."""

import pandas as pd
import xarray as xr

LAYERS = ["layer", "layer_a", "layer_b"]


def tidy(data: xr.Dataset) -> pd.DataFrame:
    """Make a table with one row per combination of coordinates; leave out rows that are all NaN."""
    index = {str(name) for name in data.dims}
    table = data.reset_coords(drop=True).to_dataframe().dropna(how="all").reset_index()
    table = table[[column for column in table.columns if column in index or column in data]]
    for layer in table.columns.intersection(LAYERS):
        table[layer] += 1  # tables, like figures, count layers from 1
    return table


def valued(data: xr.Dataset, name: str, **chosen: str) -> pd.DataFrame:
    """Make a tidy table of one variable, for figures.

    Args:
        data: has ``name`` and perhaps its interval's ends, ``{name}_low`` and ``{name}_high``.
        name: name of the variable.
        chosen: labels to select, by dimension, for example ``site="act"``.

    Returns:
        The variable's dimensions, and the columns ``value`` and, if there is an interval, ``low``
        and ``high``. Layers count from 1. Rows without a value are left out.
    """
    columns = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    present = {variable: column for variable, column in columns.items() if variable in data}
    selected = data[[*present]].sel(chosen).reset_coords(drop=True).rename(present)
    return tidy(selected).dropna(subset="value").reset_index(drop=True)
