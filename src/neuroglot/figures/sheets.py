"""Sheets of paper: figures at their printed size, with title, panels, legend and guides."""

import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
    StrMethodFormatter,
)
from xarray import Dataset

from neuroglot.figures.series import Series

COLUMN, WIDTH, HEIGHT = 3.5, 7.2, 9.0
"""Inches: width of a printed column, of a page, and height of a page."""
ABREAST = 4
"""Panels that fit side by side on a page."""
CHARACTER = 0.065
"""Inches of a character of 8 points."""
LEGEND_LINE = 0.16
"""Inches of a line of a legend."""
GUIDE, PALE, STRIPE = "#888888", "#CCCCCC", "#F3F3F3"
THEMED = ("axes", "font", "grid", "lines", "patch", "xtick", "ytick", "legend", "figure", "text")

Side = Literal["x", "y"]


def sheet(height: float, columns: int = ABREAST) -> Figure:
    """Make an empty figure, as wide as a printed column for one panel, or else as a page.

    A figure that would be higher than a page is as high as a page.
    """
    width = COLUMN if columns == 1 else WIDTH
    return Figure(figsize=(width, min(HEIGHT, max(1.6, height))), layout="constrained")


def grid(count: int, across: int, height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure with panels row by row.

    Args:
        count: number of panels.
        across: panels in a row, at most; of a single row, no more than there are panels.
        height: inches of a panel with its title and numbers.
    """
    across = min(across, count)
    down = -(-count // across)
    figure = sheet(1 + down * height, across)
    axes = [*figure.subplots(down, across, squeeze=False).flat]
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]


def arranged(rows: Series | None, columns: Series | None) -> tuple[int, int, int | None]:
    """How panels lie: number of rows, number of columns, and where columns without rows wrap."""
    across = len(columns) if columns else 1
    if rows:
        return len(rows), across, None
    return -(-across // ABREAST), across, ABREAST if across > ABREAST else None


def broken(label: str, height: float) -> str:
    """Break an upright label into lines that fit a height in inches."""
    return textwrap.fill(label, max(16, int(height / CHARACTER)))


def title(figure: Figure, ds: Dataset, subject: str, note: str = "") -> Figure:
    """Write the title at the left: the model, the subject and, below, a note in small print.

    Args:
        figure: the figure.
        ds: the figure's dataset; ``attrs["model"]`` if it is of one model.
        subject: what is drawn, in a few words.
        note: corpus, number of items, and what bands and whiskers are.

    Returns:
        The same figure.
    """
    head = ": ".join(filter(None, [str(ds.attrs.get("model", "")), subject]))
    figure.suptitle(f"{head}\n{note}".strip(), x=0.01, ha="left", wrap=True)
    return figure


def legend(figure: Figure, *series: Series, points: bool = True, lines: bool = False) -> None:
    """Put a legend below all panels, in as many columns as fit; more lines make a higher figure."""
    looks = [look for part in series for look in part.looks.values()]
    styles = [(look.point if points else {}) | (look.line if lines else {}) for look in looks]
    labels = [look.label for look in looks]
    handles = [Line2D([], [], **style) for style in styles]
    columns = int(figure.get_figwidth() / (0.45 + 0.055 * max(map(len, labels))))
    columns = max(1, min(columns, len(handles)))
    more = LEGEND_LINE * (-(-len(handles) // columns) - 1)
    figure.set_figheight(min(HEIGHT, figure.get_figheight() + more))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def as_shares(axes: Sequence[Axes], which: Side = "y", whole: bool = True) -> None:
    """Write an axis in per cent; with ``whole`` from 0 to 100 %."""
    for ax in axes:
        (ax.yaxis if which == "y" else ax.xaxis).set_major_formatter(PercentFormatter(1, None))
        if whole:
            (ax.set_ylim if which == "y" else ax.set_xlim)(-0.02, 1.02)


def guide(axes: Sequence[Axes], value: float, which: Side = "y", **line: Any) -> None:
    """Draw a thin line across panels, for example at zero or at chance."""
    for ax in axes:
        draw = ax.axhline if which == "y" else ax.axvline
        draw(value, **{"color": GUIDE, "linewidth": 0.8, "zorder": 0.5, **line})


def name_rows(ax: Axes, names: Sequence[str], first: float = 0) -> None:
    """Name rows that lie one unit apart, the first at a height, downwards."""
    ax.set_yticks([first + place for place in range(len(names))], names, rotation=0)
    ax.tick_params(axis="y", length=0)


def whole_numbers(most: int) -> MaxNLocator:
    """Ticks for counts: at most about ``most``, at round whole numbers."""
    return MaxNLocator(most, integer=True, steps=(1, 2, 5, 10))


def plain_log(axis: Axis) -> None:
    """Number a logarithmic axis 1, 2, 5, 10, … or, if its ends are less than 10-fold, evenly."""
    low, high = axis.get_view_interval()
    wide = high >= 10 * low
    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8) if wide else MaxNLocator(4))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def seaborn_theme() -> dict[str, Any]:
    """The current settings of matplotlib, because ``seaborn.objects`` has a theme of its own."""
    return {key: mpl.rcParams[key] for key in mpl.rcParams if key.partition(".")[0] in THEMED}
