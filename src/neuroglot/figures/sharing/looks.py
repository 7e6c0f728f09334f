"""How the four kinds of neurons look in every figure, and pages with one row of panels per task."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis

# Any two stay 20 CIELAB units apart under protanopia, deuteranopia and tritanopia.
KINDS: dict[str, dict[str, Any]] = {
    "all_shared": {"label": "all-shared", "color": "#117733", "marker": "o"},
    "partial_shared": {
        "label": "partial-shared",
        "color": "#DDAA33",
        "marker": "s",
        "linestyle": (0, (5, 1.5)),
    },
    "specific": {
        "label": "specific",
        "color": "#AA3377",
        "marker": "^",
        "linestyle": (0, (1, 1)),
    },
    "non_activated": {
        "label": "non-activated",
        "color": "#77AADD",
        "marker": "D",
        "linestyle": (0, (5, 1, 1, 1)),
    },
}
ROW_HEIGHT = 2.0
ROW_WIDTH = 10.4
LABEL_CHARACTERS = 22
LARGEST_LINEAR_RATIO = 30.0

Panels: TypeAlias = list[list[Axes]]  # [row][column]


def title(figure: Figure, ds: Dataset, subject: str) -> None:
    """Head the figure with the model, where it is of one, and what is drawn."""
    figure.suptitle(": ".join(filter(None, [ds.attrs.get("model"), subject])), wrap=True)


def heading(text: str) -> Line2D:
    """A line of the legend that says what the entries below it are."""
    return Line2D([], [], linestyle="none", label=text)


def kind_handles(**changed: Any) -> list[Line2D]:
    """Legend entries of the four kinds, with some of their look ``changed``."""
    entries = [Line2D([], [], **(look | changed)) for look in KINDS.values()]
    return [heading("kind of neurons"), *entries]


def language_handles(languages: style.Languages, drawn: Sequence[str]) -> list[Line2D]:
    """Legend entries of the languages in ``drawn``."""
    return [heading("language"), *style.language_handles(languages, drawn)]


def steps(word: str, values: Sequence[float]) -> list[Line2D]:
    """Legend entries of the steps of a sweep, from dark to light; ``word`` says what they are."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(values)))
    markers = [style.MARKERS[i % len(style.MARKERS)] for i in range(len(values))]
    return [
        heading(word),
        *(
            Line2D([], [], label=f"{value:g}", color=to_hex(shade), marker=marker)
            for value, shade, marker in zip(values, shades, markers, strict=True)
        ),
    ]


def line_of(handle: Line2D) -> dict[str, Any]:
    """Keyword arguments that draw a line like a legend entry."""
    return {
        "label": handle.get_label(),
        "color": handle.get_color(),
        "marker": handle.get_marker(),
        "linestyle": handle.get_linestyle(),
    }


def row_label(name: str, note: str = "") -> str:
    """``name`` in lines that fit the height of a row, and ``note`` below it."""
    lines = [""]
    for part in re.split(r"(?<=[_-])", name):
        if lines[-1] and len(lines[-1] + part) > LABEL_CHARACTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(filter(None, [*lines, note]))


def counted(ds: Dataset, tasks: Sequence[str]) -> list[str]:
    """Labels of the rows of ``tasks`` with their ``items(task)``."""
    counts = [int(ds["items"].sel(task=task)) for task in tasks]
    return [row_label(task, f"{n:,} items") for task, n in zip(tasks, counts, strict=True)]


def rows(
    labels: Sequence[str], columns: Sequence[str], handles: Sequence[Artist], **shared: Any
) -> tuple[Figure, Panels]:
    """A figure with a row of panels for each of ``labels`` and a heading over each column.

    The panels of a column share their x axis, if ``shared`` does not say otherwise.

    Returns:
        The figure and its axes, row by row.
    """
    width = min(panels.PANEL_WIDTH, ROW_WIDTH / len(columns))
    size = (0.4 + width * len(columns), 0.5 + ROW_HEIGHT * len(labels))
    figure, body = panels.sheet(*size, handles)
    sharing = {"sharex": "col"} | shared
    axes: Panels = body.subplots(len(labels), len(columns), squeeze=False, **sharing).tolist()
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column)
    return figure, axes


def finish(axes: Panels) -> None:
    """Keep the label below the lowest panel of each column only."""
    for ax in flat(axes[:-1]):
        ax.set_xlabel("")


def flat(axes: Panels) -> list[Axes]:
    """All axes of all rows."""
    return [ax for row in axes for ax in row]


def kind_lines(ax: Axes, axis: LayerAxis, values: DataArray) -> None:
    """Draw ``values(layer, kind)`` as one line per kind that holds any number."""
    for kind in panels.held(values, "kind"):
        axis.plot(ax, values.sel(kind=kind).values.astype(np.float64), **KINDS[kind])
    axis.decorate(ax)


def kind_ranges(ax: Axes, axis: LayerAxis, values: DataArray) -> None:
    """Draw ``values(language, layer, kind)``: the mean over languages in a band of their range."""
    for kind in panels.held(values, "kind"):
        lines = values.sel(kind=kind)
        low, high = (one.values.astype(np.float64) for one in extremes(lines))
        look = {"color": KINDS[kind]["color"], "alpha": 0.25, "linewidth": 0}
        axis.fill(ax, low, high, **look)
    kind_lines(ax, axis, values.mean("language"))


def extremes(values: DataArray) -> tuple[DataArray, DataArray]:
    """Smallest and largest of ``values`` over languages."""
    return values.min("language"), values.max("language")


def as_shares(axes: Sequence[Axes]) -> None:
    """Write the y axes, whose lines are all drawn, as per cent from zero up."""
    for ax in axes:
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
        ax.yaxis.set_major_formatter(per_cent())
        ax.set_ylim(bottom=0)


def per_cent() -> FuncFormatter:
    """Writes shares as per cent, with no more decimals than they need."""
    return FuncFormatter(lambda share, _: f"{100 * share:.4g}%")


def far_apart(values: DataArray) -> bool:
    """Whether the positive ``values`` differ too much for a linear axis."""
    positive = values.where(values > 0)
    return float(positive.max()) > LARGEST_LINEAR_RATIO * float(positive.min())
