"""How the measures find their way around named dimensions: layers, rows and the width of a site."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

WIDTHS = ("neuron", "hidden")

LAYERS = {
    "layer": "layer, counted from 0 over all stacks; tables and figures count from 1",
    "stack": "encoder or decoder",
    "stack_layer": "layer within its stack, counted from 0",
}
"""What the coordinates along ``layer`` are, in a recording and in what is made of it."""
LAYER_NEURONS = "layer_neurons"
"""The coordinate ``[layer]`` that says how many neurons each layer has, where they differ."""

Measured = TypeVar("Measured", xr.DataArray, xr.Dataset)


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


def layer_widths(array: xr.DataArray) -> list[int]:
    """Say how wide a site is in each layer, ``[layer]``; beyond, ``array`` has no value.

    Args:
        array: of any dimensions, ``layer`` and a width among them; with the coordinate
            ``layer_neurons(layer)`` if it is of neurons and layers differ in width.
    """
    width = width_dimension(array)
    if width == "neuron" and LAYER_NEURONS in array.coords:
        return [int(one) for one in array[LAYER_NEURONS].values]
    return [array.sizes[width]] * array.sizes["layer"]


def width_axis(widths: Sequence[int]) -> dict[str, Any]:
    """The coordinate ``layer_neurons(layer)``; none where all layers are equally wide."""
    if len(set(widths)) == 1:
        return {}
    about = "neurons of the layer; what lies beyond them is NaN"
    return {LAYER_NEURONS: ("layer", list(widths), {"units": "1", "long_name": about})}


def within(widths: Sequence[int]) -> NDArray[np.bool_]:
    """Say where layers as wide as this have neurons: bool ``[layer, neuron]``, of the widest."""
    return np.arange(max(widths)) < np.array(widths)[:, None]


def over_own_width(measured: Callable[..., Measured], *arrays: xr.DataArray) -> Measured:
    """Measure layers over their own neurons alone, where they differ in width one by one.

    Args:
        measured: from ``arrays`` to something all of which has the dimension ``layer``.
        arrays: of the same layers and width: see ``layer_widths``.
    """
    widths = layer_widths(arrays[0])
    if len(set(widths)) == 1:
        return measured(*arrays)
    found = [
        measured(*(one.isel({"layer": [i], width_dimension(one): slice(own)}) for one in arrays))
        for i, own in enumerate(widths)
    ]
    return xr.concat(found, "layer", coords="minimal", compat="override")


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
