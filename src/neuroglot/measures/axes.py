"""Helpers for named dimensions: layers, rows and the width of a site."""

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
"""Descriptions of the coordinates along ``layer``, in recordings and in results."""
LAYER_NEURONS = "layer_neurons"
"""The coordinate ``[layer]`` with each layer's number of neurons, if layers differ in width."""

Measured = TypeVar("Measured", xr.DataArray, xr.Dataset)


def width_dimension(array: xr.DataArray) -> str:
    """Find the width dimension of a site: ``neuron`` (act, gate) or ``hidden`` (out).

    Raises:
        NeuroglotError: ``array`` has neither dimension, or both.
    """
    present = [width for width in WIDTHS if width in array.dims]
    if len(present) != 1:
        raise NeuroglotError(
            f"expected one of the dimensions {' and '.join(WIDTHS)}, found {array.dims}"
        )
    return present[0]


def layer_widths(array: xr.DataArray) -> list[int]:
    """List a site's width in each layer, ``[layer]``; beyond it ``array`` has no values.

    Args:
        array: has ``layer`` and a width among its dimensions, and the coordinate
            ``layer_neurons(layer)`` if the width is ``neuron`` and layers differ in width.
    """
    width = width_dimension(array)
    if width == "neuron" and LAYER_NEURONS in array.coords:
        return [int(neurons) for neurons in array[LAYER_NEURONS].values]
    return [array.sizes[width]] * array.sizes["layer"]


def width_axis(widths: Sequence[int]) -> dict[str, Any]:
    """Give the coordinate ``layer_neurons(layer)``; none if all layers are equally wide."""
    if len(set(widths)) == 1:
        return {}
    about = "neurons of the layer; what lies beyond them is NaN"
    return {LAYER_NEURONS: ("layer", list(widths), {"units": "1", "long_name": about})}


def within(widths: Sequence[int]) -> NDArray[np.bool_]:
    """Mark the neurons that exist, bool ``[layer, neuron]``, as wide as the widest layer."""
    return np.arange(max(widths)) < np.array(widths)[:, None]


def over_own_width(measured: Callable[..., Measured], *arrays: xr.DataArray) -> Measured:
    """Measure each layer over the neurons that it has.

    If layers differ in width, they are measured one by one and concatenated.

    Args:
        measured: takes ``arrays``; all of its results have the dimension ``layer``.
        arrays: arrays of the same layers and width; see ``layer_widths``.
    """
    widths = layer_widths(arrays[0])
    if len(set(widths)) == 1:
        return measured(*arrays)
    by_layer = []
    for layer, width in enumerate(widths):
        cut = [a.isel({"layer": [layer], width_dimension(a): slice(width)}) for a in arrays]
        by_layer.append(measured(*cut))
    return xr.concat(by_layer, "layer", coords="minimal", compat="override")


def prefix_rows(rows: xr.DataArray) -> xr.DataArray:
    """Put recorded rows into the order [layer, row, width].

    Raises:
        NeuroglotError: ``rows`` has other dimensions than these three.
    """
    width = width_dimension(rows)
    if set(rows.dims) != {"layer", "row", width}:
        raise NeuroglotError(f"expected the dimensions layer, row and {width}, found {rows.dims}")
    return rows.transpose("layer", "row", width)


def coordinates_of(array: xr.DataArray, dimension: str) -> dict[Hashable, xr.DataArray]:
    """Select the coordinates whose only dimension is ``dimension``, such as ``stack(layer)``."""
    return {
        name: coordinate
        for name, coordinate in array.coords.items()
        if coordinate.dims == (dimension,)
    }


def along(dimension: str, datasets: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Concatenate datasets along a new dimension, labelled by their names.

    Their labels along other dimensions may differ; missing values are NaN.
    """
    axis = xr.Variable(dimension, np.array(list(datasets), str))
    return xr.concat(list(datasets.values()), axis, join="outer", combine_attrs="override")


def segment_labels(rows: xr.DataArray) -> xr.DataArray:
    """Get the coordinate ``segment(row)`` of recorded rows.

    Raises:
        NeuroglotError: there is no such coordinate.
    """
    if "segment" not in rows.coords or rows["segment"].dims != ("row",):
        raise NeuroglotError(
            f"recorded rows need a coordinate segment(row), found {list(rows.coords)}"
        )
    return rows["segment"]


def stack_layers(layers: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack the layers of a site, which may differ in width.

    Args:
        layers: ``[..., width]`` each; they differ only in width.

    Returns:
        ``[layer, ..., width]``. If widths differ, narrower layers are padded with NaN, and whole
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
