"""How far languages' routing lies from the pivot's, layer by layer."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import languages, lines, series, sheets
from neuroglot.figures.findings import number, settled
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held

BITS = "Jensen–Shannon divergence (bits)"
LINES = Series(
    "of",
    {
        "divergence": Look("from the pivot", "#332288"),
        "floor": Look("of two halves of one language", "#777777", (0, (5, 1.5))),
    },
)
PARTS = ("first", "middle", "last")
"""Thirds of the layers, whose means are told."""


def from_pivot(ds: Dataset) -> Figure:
    """Divergence from the pivot beyond that of two halves of one language, by layer.

    Args:
        ds: ``excess(language, layer)`` with ``_low`` and ``_high``; ``compared_tokens(language)``;
            ``attrs["folds"]`` and ``attrs["pivot"]``.
    """
    others = compared(ds)
    figure = languages.by_layer(others, "excess", f"{BITS}\nbeyond halves of one language")
    if figure.legends:
        sheets.guide(figure.axes, 0)
    bands = "; bands: 95 % intervals" if figure.legends else ""
    names = series.languages(ds)
    subject = f"routing's divergence from {names.label(series.pivot(ds, names))}"
    return sheets.title(figure, ds, subject, compared_on(ds) + bands)


def compared(ds: Dataset) -> Dataset:
    """The languages that are compared with the pivot; raise ``NothingToDraw`` if there is none."""
    require(ds["excess"], "no language is compared with the pivot")
    return ds.sel(language=held(ds, "excess", "language"))


def compared_on(ds: Dataset) -> str:
    """Say over how many tokens and folds languages are compared."""
    return (
        f"{', '.join(ds.attrs['corpora'])}: {counted(ds['compared_tokens'].values, 'tokens')} a "
        f"language in {ds.attrs['folds']} folds of segments"
    )


def beside_floor(ds: Dataset) -> Figure:
    """Divergence from the pivot and of two halves of one language: mean over languages, and range.

    Args:
        ds: ``divergence(language, layer)`` and ``floor``; else as ``from_pivot``.
    """
    others = compared(ds)
    tables = []
    for name in LINES:
        values = others[name]
        spread = {"value": values.mean("language")}
        spread |= {"low": values.min("language"), "high": values.max("language")}
        table = Dataset(spread).reset_coords(drop=True).to_dataframe().reset_index()
        tables.append(table.assign(of=name))
    table = pd.concat(tables, ignore_index=True)
    table["layer"] += 1
    figure = lines.by_layer(table, LayerAxis.of(ds), LINES, BITS)
    note = f"{compared_on(ds)}; mean and range of {others.sizes['language']} languages"
    return sheets.title(figure, ds, "divergence of routing, and what halves give", note)


def by_depth(ds: Dataset) -> str:
    """Say the mean excess of the first, the middle and the last third of layers, and its peak."""
    others = compared(ds)
    mean = others["excess"].mean("language")
    thirds = np.array_split(mean.values, 3)
    told = [f"{number(part.mean())} in the {name} third of layers" for name, part in parts(thirds)]
    above = int((others["mean_excess_low"] > 0).sum())
    sentence = (
        f"Beyond what two halves of one language give, languages diverge from the pivot by "
        f"{', '.join(told)} (bits, mean over languages; {extent(mean)}). In the mean over layers "
        f"the 95 % interval is above zero in {above} of {others.sizes['language']} languages."
    )
    return settled(sentence, int(ds.attrs["folds"]), "folds of segments")


def parts(thirds: list[np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Name the thirds that have layers: with fewer than three layers, some have none."""
    return [(name, part) for name, part in zip(PARTS, thirds, strict=True) if part.size]


def extent(mean: DataArray) -> str:
    """Say in which layers a mean is highest and lowest."""
    ends = int(mean.values.argmax()), int(mean.values.argmin())
    most, least = (int(mean["layer"][place]) + 1 for place in ends)
    return f"highest in layer {most}, lowest in layer {least}"


def floors(ds: Dataset) -> str:
    """Say how large divergence and floor are, and in how many languages and layers it is above."""
    others = compared(ds)
    above, among = int((others["excess_low"] > 0).sum()), int(others["excess"].notnull().sum())
    divergence, floor = (number(others[name].mean()) for name in LINES)
    return (
        f"The divergence is {divergence} bits, mean over languages and layers, and that of two "
        f"halves of one language {floor}. In {above} of {among} languages and layers the 95 % "
        "interval of their difference is above zero."
    )


FIGURES = {
    "divergence_from_pivot": Drawing(from_pivot, by_depth),
    "divergence_and_floor": Drawing(beside_floor, floors),
}
