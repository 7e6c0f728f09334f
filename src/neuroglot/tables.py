"""Datasets as tidy tables: one line per combination of coordinates."""

import pandas as pd
import xarray as xr

LAYERS = ["layer", "layer_a", "layer_b"]


def tidy(data: xr.Dataset) -> pd.DataFrame:
    """One line per combination of coordinates; those that were not computed are left out."""
    index = {str(name) for name in data.dims}
    table = data.reset_coords(drop=True).to_dataframe().dropna(how="all").reset_index()
    table = table[[column for column in table.columns if column in index or column in data]]
    for layer in table.columns.intersection(LAYERS):
        table[layer] += 1  # tables, like figures, count layers from 1
    return table
