"""How the measures find their way around named dimensions: layers, rows and the width of a site."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

WIDTHS = ("neuron", "hidden")

LAYERS = {
    "layer": "layer, counted from 0 over all stacks; tables and figures count from 1",
    "stack": "encoder or decoder",
    "stack_layer": "layer within its stack, counted from 0",
    "neurons": "neurons of the layer; what lies beyond them is NaN",
}
"""What the coordinates along ``layer`` are, in a recording and in what is made of it."""


def width_dimension(array: xr.DataArray) -> str:
    """Name the width of a site: ``neuron`` (of ``act`` and ``gate``) or ``hidden`` (of ``out``).

    Raises:
        NeuroglotError: ``array`` has neither dimension, or both.
    """
    found = [width for width in WIDTHS if width in array.dims]
    if len(found) != 1:
        raise NeuroglotError(
            f"expected one of the dimensions {' and '.join(WIDTHS)}, found {array.dims}"
        )
    return found[0]


def snapshots(rows: xr.DataArray) -> xr.DataArray:
    """Put recorded rows into the order [layer, row, width].

    Raises:
        NeuroglotError: ``rows`` has other dimensions than these three.
    """
    width = width_dimension(rows)
    if set(rows.dims) != {"layer", "row", width}:
        raise NeuroglotError(f"expected the dimensions layer, row and {width}, found {rows.dims}")
    return rows.transpose("layer", "row", width)


def coordinates_of(array: xr.DataArray, dimension: str) -> dict[Hashable, xr.DataArray]:
    """Pick the coordinates that lie along ``dimension`` alone, such as ``stack(layer)``."""
    return {
        name: coordinate
        for name, coordinate in array.coords.items()
        if coordinate.dims == (dimension,)
    }


def along(dimension: str, found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Put datasets one behind the other along a new dimension, labelled by their names.

    Along others they need not have the same labels: values are NaN where one lacks some.
    """
    axis = xr.Variable(dimension, np.array(list(found), str))
    return xr.concat(list(found.values()), axis, join="outer", combine_attrs="override")


def segment_labels(rows: xr.DataArray) -> xr.DataArray:
    """Get the coordinate ``segment(row)`` of recorded rows.

    Raises:
        NeuroglotError: there is none.
    """
    if "segment" not in rows.coords or rows["segment"].dims != ("row",):
        raise NeuroglotError(
            f"recorded rows need a coordinate segment(row), found {list(rows.coords)}"
        )
    return rows["segment"]


def stack_layers(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack the layers of a site, ``[layer, ..., width]``, which may differ in width.

    Args:
        layers: ``[..., width]`` each; they differ in nothing but their width.

    Returns:
        Where all are equally wide, they as they are. Otherwise narrower ones end in NaN, and whole
        numbers become float64, which is exact up to 2 ** 53.
    """
    if len({layer.shape for layer in layers}) == 1:
        return np.stack(layers)
    width = max(layer.shape[-1] for layer in layers)
    floating = np.result_type(*layers, np.float16 if layers[0].dtype.kind == "f" else np.float64)
    stacked = np.full((len(layers), *layers[0].shape[:-1], width), np.nan, floating)
    for place, layer in enumerate(layers):
        stacked[place, ..., : layer.shape[-1]] = layer
    return stacked
