"""What the figures of the transfer analysis share: looks, words, and quantities by state."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets, style
from neuroglot.figures.findings import span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import Facet

TYPES = Series(
    "type", {"type1": Look("Type 1", "#0077BB"), "type2": Look("Type 2", "#EE7733", marker="s")}
)
ENDS = ("", "_low", "_high")
FEWEST = 30
"""Segments below which a finding names no trend."""

Measure = Callable[[Dataset], tuple[Dataset, Facet]]
"""Gives ``value(language, state, …)``, perhaps with ends, and what its panels are, if any."""


def segments(ds: Dataset) -> int:
    """Number of parallel segments, from the dimension or the attribute."""
    return ds.sizes["segment"] if "segment" in ds.dims else int(ds.attrs["segments"])


def note(ds: Dataset, more: str = "") -> str:
    """Name the corpus and its number of segments, and say more, such as what bands are."""
    texts = ", ".join(np.atleast_1d(ds.attrs["corpora"]))
    return f"{texts}, {segments(ds):,} parallel segments" + (f"; {more}" if more else "")


def valued(ds: Dataset, name: str) -> Dataset:
    """A variable and its interval as ``value``, ``value_low`` and ``value_high``."""
    return Dataset({f"value{end}": ds[f"{name}{end}"] for end in ENDS})


def numbers(values: Dataset, dimension: str, form: str) -> Facet:
    """One panel for each number along a dimension of ``value`` that has any value."""
    kept = values["value"].dropna(dimension, how="all")[dimension].values.tolist()
    return Facet(dimension, {number: form.format(number) for number in kept})


def by_state(measure: Measure, subject: str, label: str, bands: str = "") -> style.Drawing:
    """Figure and finding of a quantity by language and state; it is signed if it has bands."""

    @style.styled
    def draw(ds: Dataset) -> Figure:
        values, panels = measure(ds)
        if not panels.titles:
            return style.empty(f"{segments(ds):,} segments do not tell {subject}")
        data, signed = values.assign_attrs(ds.attrs), bool(bands)
        figure = languages.by_layer(data, "value", label, panels, signed=signed, word="state")
        sheets.title(figure, ds, subject, note(ds, bands if figure.legends else ""))
        return figure

    return style.Drawing(draw, lambda ds: finding(ds, measure))


def finding(ds: Dataset, measure: Measure) -> str:
    """Say where a quantity's mean over languages is largest in size, panel by panel."""
    values, panels = measure(ds)
    if panels.titles and segments(ds) < FEWEST:
        return f"Cannot be told at this size, of {segments(ds):,} segments."
    axis = LayerAxis.of(ds, "state")
    parts = {title: values.sel({panels.column: one}) for one, title in panels.titles.items()}
    return " ".join(peak(part, axis, title) for title, part in parts.items())


def peak(ds: Dataset, axis: LayerAxis, name: str) -> str:
    """Say where the mean over languages of ``value(language, layer or state)`` is largest."""
    means = abs(ds["value"].mean("language"))
    there = ds.isel({axis.word: int(means.argmax(axis.word))}).dropna("language", subset=["value"])
    mean = format(float(there["value"].mean()), ".3g").replace("-", "−")
    said = f"{name}: peak in {axis.name(int(there[axis.word]))}, {mean} on average over "
    said += f"{there.sizes['language']} languages ({span(there['value'])})"
    if "value_low" in ds:
        clear = int(((there["value_low"] > 0) | (there["value_high"] < 0)).sum())
        said += f", {clear} of them apart from zero"
    return f"{said}."
