"""The four kinds of neurons by layer, alike in all figures."""

from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import lines, sheets
from neuroglot.figures.findings import FEWEST, span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import require
from neuroglot.figures.texts import counted, held, panels_of
from neuroglot.measures.proportions import FEW
from neuroglot.tables import valued

BANDS = f"bands: 95 % intervals over {FEW} facts or more"
SHARE = "share of a layer's neurons"

# Any two colours are 24 CIELAB units apart under protanopia, deuteranopia and tritanopia, and 35
# from the colours of the first six languages.
KINDS = Series(
    "kind",
    {
        "all_shared": Look("all-shared", "#D55E00", "-", "o"),
        "partial_shared": Look("partial-shared", "#E6B800", (0, (5, 1.5)), "s"),
        "specific": Look("specific", "#0072B2", (0, (1, 1)), "^"),
        "non_activated": Look("non-activated", "#5F5F5F", (0, (5, 1, 1, 1)), "D"),
    },
)


def kinds(
    ds: Dataset,
    columns: dict[str, str],
    subject: str,
    drawn: Series = KINDS,
    log: str = "",
    note: str = BANDS,
    **more: Any,
) -> Figure:
    """Draw variables (columns) of each task (rows) as lines by layer, one per kind.

    Args:
        ds: the variables, ``(task, layer, kind)`` or, of one line that is named as the variable,
            ``(task, layer)``, with ``_low`` and ``_high``; ``items(task)`` and ``facts(task)`` if
            known.
        columns: titles by variable; the last one's tasks are drawn.
        subject: what is drawn, for the title.
        drawn: what the lines are.
        log: a variable on a logarithmic axis, which has no zeros; the others are shares.
        note: what bands are.
        **more: arguments of ``grid``.
    """
    if log:
        ds = ds.assign({log: ds[log].where(ds[log] > 0)})
    tasks = panels_of(ds, [*columns][-1], "task", f"no {subject}")
    parts = []
    for name in columns:
        part = valued(ds.sel(task=[*tasks]), name)
        part = part if "kind" in part else part.assign(kind=name)
        parts.append(part.assign(panel=name))
    table, panels = pd.concat(parts, ignore_index=True), Series.of("panel", columns)
    figure = grid(table, LayerAxis.of(ds), drawn, tasks, panels, **more)
    for place, ax in enumerate(figure.axes):
        if [*columns][place % len(columns)] == log:
            ax.set_yscale("log")
        else:
            sheets.as_shares([ax])
    return sheets.title(figure, ds, subject, note)


def trusted(ds: Dataset) -> Dataset:
    """Leave out intervals over few facts: ``…_low`` and ``…_high``; ``facts(task)``."""
    ends = [name for name in ds if str(name).endswith(("_low", "_high"))]
    return ds.assign({name: ds[name].where(ds["facts"] >= FEW) for name in ends})


def grid(
    table: pd.DataFrame,
    axis: LayerAxis,
    drawn: Series,
    rows: Series,
    columns: Series,
    label: str = SHARE,
    **more: Any,
) -> Figure:
    """Draw lines by layer in rows and columns of panels that fit on a page."""

    def narrow(_: str, title: str) -> str:
        name, _, size = title.partition("\n")
        return f"{fill(name, 18)}\n{size}".strip()

    rows, height = rows.labelled(narrow), min(1.45, (sheets.HEIGHT - 1.2) / len(rows))
    return lines.by_layer(table, axis, drawn, label, rows, columns, height=height, **more)


def steps(column: str, names: list[str], words: str) -> Series:
    """Looks of a sweep's steps, from dark to light; ``words`` with the name is the label."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(names)))
    looks = zip(names, shades, strict=True)
    return Series(column, {name: Look(f"{words} {name}", to_hex(shade)) for name, shade in looks})


def told(ds: Dataset, name: str, words: str, along: str = "", most: int | None = None) -> str:
    """Say how large a share is, mean over layers, as a range over tasks with enough facts.

    Args:
        ds: ``name(task, layer, …)`` and, if known, ``facts(task)``.
        name: the variable that the figure draws, perhaps by kind.
        words: what it is, to begin the sentence.
        along: dimension along which the change from first to last is told.
        most: number of tasks, from the first.
    """
    require(ds[name], f"no {name}")
    ds = ds.sel(task=held(ds, name, "task")[:most])
    if "facts" in ds:
        enough = (ds["facts"] >= FEWEST).values
        if not enough.any():
            return f"Of {counted(ds['facts'].values, 'facts')}, it cannot be told at this size."
        ds = ds.isel(task=enough)
    means = ds[name].mean("layer")
    if along:
        first, last = [f"{float(step):g}" for step in ds[along].values[[0, -1]]]
        means = means.isel({along: -1}) - means.isel({along: 0})
        words = f"{words} from {first} to {last}"
    parts = [span(means, ".1%")]
    if "kind" in means.dims:
        parts = [f"{KINDS.label(kind)} {span(means.sel(kind=kind), '.1%')}" for kind in KINDS]
    return f"{words}, mean over layers: {', '.join(parts)}."
