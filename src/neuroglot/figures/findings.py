"""Sentences that say what a figure shows, with its numbers, for captions."""

from typing import SupportsFloat

import numpy as np
from xarray import DataArray

from neuroglot.tables import LAYERS

FEWEST = 30
"""Units, such as segments or facts, below which no difference is claimed."""


def number(value: SupportsFloat, form: str = ".3g") -> str:
    """Write a number, with a real minus sign."""
    return format(float(value), form).replace("-", "−")


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
    low, high = (
        values.isel(place)  # type: ignore[arg-type]  # each place is a mapping, by dimension
        for place in (values.argmin(...), values.argmax(...))
    )
    lowest = f"{number(low, form)} {unit}".strip()
    return (
        f"{quantity} is lowest ({lowest}) at {where(low)} "
        f"and highest ({number(high, form)}) at {where(high)}."
    )


def where(point: DataArray) -> str:
    """Name a point by its coordinates; layers count from 1."""
    unsaid = ("stack", "stack_layer", "layer_neurons")
    labels = {str(name): point[name].item() for name in point.coords if name not in unsaid}
    labels |= {name: labels[name] + 1 for name in LAYERS if name in labels}
    return ", ".join(f"{name.replace('_', ' ')} {label}" for name, label in labels.items())


def span(values: DataArray, form: str = ".3g") -> str:
    """Write the range of some values: "0.16 to 0.53", or one number if all are equal."""
    finite = values.values[np.isfinite(values.values)]
    low, high = number(finite.min(), form), number(finite.max(), form)
    return low if low == high else f"{low} to {high}"


def settled(sentence: str, units: int, what: str) -> str:
    """Give a sentence if it rests on enough units, or else one that says that there are too few."""
    if units >= FEWEST or not sentence:
        return sentence
    return f"With {units} {what}, differences cannot be told at this size."
