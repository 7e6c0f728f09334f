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
