"""Sentences that say what a figure shows, with its numbers, for captions."""

from typing import Any

import numpy as np
from xarray import DataArray

from neuroglot.tables import LAYERS


def extremes(values: DataArray, quantity: str, unit: str, form: str = ".3g") -> str:
    """Say where a quantity is lowest and highest.

    Args:
        values: named dimensions with coordinates; NaN where missing.
        quantity: what is said of, to begin the sentence.
        unit: unit of the numbers, or "".
        form: format of the numbers.

    Returns:
        A sentence such as "Flatness is lowest (0.160 bits per neuron) at layer 7, language de, and
        highest (0.530) at …"; empty without a number.
    """
    if not bool(values.notnull().any()):
        return ""
    low, high = values.argmin(...), values.argmax(...)  # by dimension: each gives a mapping
    parts = [values.isel(place) for place in (low, high)]  # type: ignore[arg-type]
    numbers = [format(float(part), form).replace("-", "−") for part in parts]
    first = f"{numbers[0]} {unit}".strip()
    return (
        f"{quantity} is lowest ({first}) at {where(parts[0])} "
        f"and highest ({numbers[1]}) at {where(parts[1])}."
    )


def where(point: DataArray) -> str:
    """Name a point by its coordinates; layers count from 1."""
    named = [name for name in point.coords if name not in ("stack", "stack_layer", "layer_neurons")]
    return ", ".join(f"{str(name).replace('_', ' ')} {_label(str(name), point)}" for name in named)


def _label(name: str, point: DataArray) -> str:
    value: Any = point[name].item()
    return str(value + 1) if name in LAYERS else str(value)


def span(values: DataArray, form: str = ".3g") -> str:
    """Write the range of some values: "0.16 to 0.53", or one number if all are equal."""
    finite = values.values[np.isfinite(values.values)]
    ends = [format(float(end), form).replace("-", "−") for end in (finite.min(), finite.max())]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


FLOOR = 30
"""Units, such as segments or prefixes, below which no difference is claimed."""


def settled(sentence: str, units: int, what: str) -> str:
    """Give a sentence if it rests on enough units, or else one that says that there are too few."""
    if units >= FLOOR or not sentence:
        return sentence
    return f"With {units} {what}, differences cannot be told at this size."
