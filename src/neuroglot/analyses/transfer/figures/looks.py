"""What the figures of the transfer analysis share: looks, words, and quantities by state."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.findings import FEWEST, number, span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw

TYPES = Series(
    "type", {"type1": Look("Type 1", "#0077BB"), "type2": Look("Type 2", "#EE7733", marker="s")}
)
CONTROLS = Series.of(
    "control", {"activity": "minus others as active", "contribution": "minus like contribution"}
)
PARTNERS = Look("with partners, minus partners", "#777777", filled=False)
ENDS = ("", "_low", "_high")

Measure = Callable[[Dataset], tuple[Dataset, Series]]
"""Gives ``value(language, state, …)``, perhaps with ends, and what its panels are, if any."""


def segments(ds: Dataset) -> int:
    """Number of parallel segments, from the dimension or the attribute."""
    return ds.sizes["segment"] if "segment" in ds.dims else int(ds.attrs["segments"])


def note(ds: Dataset, more: str = "") -> str:
    """Name the corpus and its number of segments, and say more, such as what bands are."""
    texts = ", ".join(np.atleast_1d(ds.attrs["corpora"]))
    return f"{texts}, {segments(ds):,} parallel segments" + (f"; {more}" if more else "")


def bounded_value(ds: Dataset, name: str) -> Dataset:
    """A variable and its interval as ``value``, ``value_low`` and ``value_high``."""
    return Dataset({f"value{end}": ds[f"{name}{end}"] for end in ENDS})


def numbers(values: Dataset, dimension: str, form: str, name: str = "value") -> Series:
    """One panel for each number along a dimension of a variable that has any value."""
    kept = values[name].dropna(dimension, how="all")[dimension].values.tolist()
    return Series.of(dimension, {level: form.format(level) for level in kept})


def by_state(measure: Measure, subject: str, label: str, bands: str = "") -> Drawing:
    """Figure and finding of a quantity by language and state; it is signed if it has bands."""

    def draw(ds: Dataset) -> Figure:
        values, panels = measure(ds)
        if not panels:
            raise NothingToDraw(f"{segments(ds):,} segments do not tell {subject}")
        values, signed = values.assign_attrs(ds.attrs), bool(bands)
        figure = languages.by_layer(values, "value", label, panels, signed=signed, word="state")
        return sheets.title(figure, ds, subject, note(ds, bands if figure.legends else ""))

    return Drawing(draw, lambda ds: finding(ds, measure))


def finding(ds: Dataset, measure: Measure) -> str:
    """Say where a quantity's mean over languages is largest in size, panel by panel."""
    values, panels = measure(ds)
    if panels and segments(ds) < FEWEST:
        return f"Cannot be told at this size, of {segments(ds):,} segments."
    axis = LayerAxis.of(ds, "state")
    parts = {panels.label(level): values.sel({panels.column: level}) for level in panels}
    names = {title: title.replace("\n", ", ") for title in parts}  # titles may have two lines
    return " ".join(peak(part, axis, names[title]) for title, part in parts.items())


def peak(ds: Dataset, axis: LayerAxis, name: str) -> str:
    """Say where the mean over languages of ``value(language, layer or state)`` is largest."""
    means = abs(ds["value"].mean("language"))
    there = ds.isel({axis.word: int(means.argmax(axis.word))}).dropna("language", subset=["value"])
    mean, place = number(there["value"].mean()), axis.name(int(there[axis.word]))
    told = f"{name}: peak in {place}, {mean} on average over "
    told += f"{there.sizes['language']} languages ({span(there['value'])})"
    if "value_low" in ds:
        clear = int(((there["value_low"] > 0) | (there["value_high"] < 0)).sum())
        told += f", {clear} of them apart from zero"
    return f"{told}."
