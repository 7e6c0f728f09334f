"""Lines and bands by layer or state, in panels, from a tidy table."""

from collections.abc import Callable
from typing import Any

import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from neuroglot.figures import sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.sheets import ABREAST

MOST_COLOURED = 4
"""Coloured lines that can be told apart in one panel."""
MOST_MARKED = 12
"""Layers up to which a line has a mark at every layer; beyond, it has none."""
BAND_ALPHA = 0.18


def by_layer(
    table: DataFrame,
    axis: LayerAxis,
    series: Series,
    label: str,
    rows: Series | None = None,
    columns: Series | None = None,
    others: bool = False,
    share_y: bool | str = True,
    height: float = 1.45,
) -> Figure:
    """Draw a line, and its band, for each level of ``series``, in a grid of panels; with a legend.

    A line has gaps where values are missing and between stacks of layers.

    Args:
        table: columns ``layer`` (from 1) or ``state`` (from 0); ``value``; ``low`` and ``high`` if
            there are bands; and the columns of ``series``, ``rows`` and ``columns``.
        axis: the x axis.
        series: what colours and line styles are.
        label: label of the y axis, with unit.
        rows: what the rows of panels are.
        columns: what the columns of panels are; without ``rows``, more than four are wrapped.
        others: draw the lines of all panels in grey behind each panel's own.
        share_y: which panels have a common y axis: all (true), ``row``, ``col``, or none (false).
        height: height of a panel in inches.

    Returns:
        The figure. Its axes are the panels, row by row.
    """
    down, across, wrap = sheets.arranged(rows, columns)
    figure = sheets.sheet(down * height + 0.9, across)
    mark: dict[str, Any] = {"marker": "o", "pointsize": 3} if axis.size <= MOST_MARKED else {}
    placed = axis.placed(table)
    panel = [facet.column for facet in (rows, columns) if facet]
    placed["line"] = placed[[series.column, *panel, "stack"]].astype(str).agg(" ".join, axis=1)
    plot = so.Plot(placed, x="x", y="value", color=series.column, linestyle=series.column)
    plot = faceted(plot, rows, columns, wrap)
    if others:
        grey = so.Path(color=sheets.PALE, linewidth=0.7, marker="none", linestyle="-")
        unmapped: Any = dict.fromkeys(("color", "linestyle", "col", "row"))
        plot = plot.add(grey, legend=False, group="line", **unmapped)
    if "low" in table:
        band: Any = {"ymin": "low", "ymax": "high", "linestyle": None}
        plot = plot.add(so.Band(alpha=BAND_ALPHA, edgewidth=0), group="stack", legend=False, **band)
    path = so.Path(linewidth=1.2, **({"marker": "none"} | mark))
    plot = plot.add(path, group="stack", legend=False)
    scales = {name: nominal(series, name) for name in ("color", "linestyle")}
    plot = plot.scale(**scales).share(x=True, y=share_y)
    figure = drawn(plot, figure, axis.decorate, rows, columns, y=label)
    sheets.legend(figure, series, points=False, lines=True)
    return figure


def faceted(
    plot: so.Plot, rows: Series | None, columns: Series | None, wrap: int | None = None
) -> so.Plot:
    """Split a plot into panels."""
    return plot.facet(
        row=rows.column if rows else None,
        col=columns.column if columns else None,
        order={name: [*facet] for name, facet in (("row", rows), ("col", columns)) if facet},
        wrap=wrap,
    )


def nominal(series: Series, attribute: str) -> so.Nominal:
    """The scale that gives each level of a series one attribute of its look."""
    return so.Nominal(series.values(attribute), order=[*series])


def drawn(
    plot: so.Plot,
    figure: Figure,
    decorate: Callable[[Axes], None],
    rows: Series | None,
    columns: Series | None,
    x: str = "",
    y: str = "",
) -> Figure:
    """Draw a plot on an empty figure, with one label for all x axes and one for all y axes.

    ``decorate`` is called with each panel, and may label the x axis. The labels of ``rows`` are
    written beside the first column, those of ``columns`` above the panels.
    """
    plot = plot.label(x="", y="").theme(sheets.seaborn_theme())
    plot.layout(engine=None).on(figure).plot()
    figure.set_layout_engine("constrained")
    abreast = len(columns) if columns else 1
    for place, ax in enumerate(figure.axes):
        decorate(ax)
        if x:
            ax.set_xlabel(x)
        row, column = divmod(place, abreast)
        ax.set_title(columns.labels[column] if columns and row == 0 else "")
        if rows and column == 0:
            ax.set_ylabel(rows.labels[row])
        below = place + (abreast if rows else ABREAST)
        if (rows or abreast > ABREAST) and below < len(figure.axes):
            ax.set_xlabel("")
    if y:
        figure.supylabel(sheets.broken(y, figure.get_figheight() - 0.9))
    return figure
