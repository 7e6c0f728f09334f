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

LAYER_SHARED = "layer_shared"
LAYER_EXPERTS = "layer_experts"
"""Coordinates ``[layer]`` of mixtures of experts: each layer's number of neurons that every token
passes through, which are its first, and its number of routed experts, whose neurons follow."""
UNIT = "unit"
UNITS = {
    "unit_layer": "layer of the neuron, counted from 0 over all stacks",
    "unit_expert": "routed expert that the neuron is in; -1 if every token passes through it",
    "unit_neuron": "number of the neuron within its expert, or among those that every token "
    "passes through",
}
"""Coordinates along ``unit``, and what they are."""

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


def experts_axis(shared: Sequence[int], experts: Sequence[int]) -> dict[str, Any]:
    """Give ``layer_shared(layer)`` and ``layer_experts(layer)``; nothing of a dense model."""
    if not any(experts):
        return {}
    about = "neurons of the layer that every token passes through; they are its first"
    of_experts = "routed experts of the layer, whose neurons follow, expert by expert"
    return {
        LAYER_SHARED: ("layer", list(shared), {"units": "neurons", "long_name": about}),
        LAYER_EXPERTS: ("layer", list(experts), {"units": "experts", "long_name": of_experts}),
    }


def model_axis(
    neurons: Sequence[int], experts: Sequence[int], expert_neurons: int
) -> dict[str, Any]:
    """Give the coordinates of ``width_axis`` and ``experts_axis``, from a model's card."""
    counts = list(experts) or [0] * len(neurons)
    shared = [n - count * expert_neurons for n, count in zip(neurons, counts, strict=True)]
    return width_axis(neurons) | experts_axis(shared, counts)


def neuron_names(
    data: xr.Dataset, layer: NDArray[np.intp], neuron: NDArray[np.intp]
) -> dict[str, NDArray[np.intp]]:
    """Name neurons as tables do: by their number in the layer or, of mixtures, by their expert.

    Args:
        data: of a mixture it has the coordinates of ``experts_axis``.
        layer: index of each neuron's layer.
        neuron: its number in the layer.

    Returns:
        ``neuron``; of mixtures ``expert``, -1 for neurons that every token passes through, and
        ``neuron``, the number within the expert or among these.
    """
    if LAYER_EXPERTS not in data.coords:
        return {"neuron": neuron}
    shared, experts = data[LAYER_SHARED].values[layer], data[LAYER_EXPERTS].values[layer]
    of_experts = np.array(_widths(data))[layer] - shared
    each = np.where(experts > 0, of_experts // np.maximum(experts, 1), 1)
    return dict(zip(("expert", "neuron"), in_experts(neuron, shared, each), strict=True))


def in_experts(
    neuron: NDArray[np.intp], shared: NDArray[np.intp] | int, each: NDArray[np.intp] | int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give the expert of neurons and their number in it, from their number in the layer.

    Args:
        neuron: numbers in the layer.
        shared: how many neurons every token passes through; they are the layer's first, and have
            expert -1.
        each: neurons of an expert.
    """
    place = neuron - shared
    within = np.where(place < 0, neuron, place % each)
    return np.where(place < 0, -1, place // each), within


def _widths(data: xr.Dataset) -> list[int]:
    if LAYER_NEURONS in data.coords:
        return [int(neurons) for neurons in data[LAYER_NEURONS].values]
    return [data.sizes["neuron"]] * data.sizes["layer"]


def as_units(data: xr.Dataset) -> xr.Dataset:
    """Put the neurons of a mixture of experts one after another, as its results are stored.

    Args:
        data: of a mixture it has the coordinates of ``experts_axis``; others are not changed.

    Returns:
        Variables ``[…, layer, neuron]`` become ``[…, unit]``, without what lies beyond a layer's
        neurons. The coordinates along ``unit`` are ``UNITS``.
    """
    both = [name for name in data if {"layer", "neuron"} <= set(data[name].dims)]
    if LAYER_EXPERTS not in data.coords or not both:
        return data
    widths = _widths(data)
    layer = np.repeat(np.arange(len(widths)), widths)
    neuron = np.concatenate([np.arange(width) for width in widths])
    at = {"layer": xr.DataArray(layer, dims=UNIT), "neuron": xr.DataArray(neuron, dims=UNIT)}
    units = data[both].isel(at).drop_vars([LAYER_SHARED, LAYER_EXPERTS]).reset_coords(drop=True)
    names = neuron_names(data, layer, neuron)
    values = data["layer"].values[layer], names["expert"], names["neuron"]
    types = (np.int32, np.int16, np.int32)
    axis = {
        name: (UNIT, of_unit.astype(dtype), {"units": "1", "long_name": about})
        for (name, about), of_unit, dtype in zip(UNITS.items(), values, types, strict=True)
    }
    return data.drop_vars(both).assign(units.data_vars).assign_coords(axis)


def by_layer(data: xr.Dataset) -> xr.Dataset:
    """Undo ``as_units``; data without units are not changed."""
    if UNIT not in data.dims:
        return data
    layers = np.searchsorted(data["layer"].values, data["unit_layer"].values)
    ends = np.cumsum(np.bincount(layers, minlength=data.sizes["layer"]))[:-1]
    of_units = {name: data[name] for name in data if UNIT in data[name].dims}
    restored = {}
    for name, variable in of_units.items():
        parts = np.split(variable.transpose(..., UNIT).values, ends, axis=-1)
        stacked = stack_layers(parts)
        if variable.dtype == bool and stacked.dtype != bool:
            stacked = np.nan_to_num(stacked).astype(bool)
        dims = [dim for dim in variable.dims if dim != UNIT]
        ordered = [
            n for dim in variable.dims for n in (("layer", "neuron") if dim == UNIT else (dim,))
        ]
        whole = xr.DataArray(stacked, dims=("layer", *dims, "neuron"), attrs=variable.attrs)
        restored[name] = whole.transpose(*ordered)
    return data.drop_vars([*of_units, *UNITS]).assign(restored)


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
