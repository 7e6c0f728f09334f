"""Lines and bands by layer or state, in panels, from a tidy table."""

from typing import Any

import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from neuroglot.figures import sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.sheets import ABREAST, Facet

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
    rows: Facet | None = None,
    columns: Facet | None = None,
    dashes: Series | None = None,
    others: bool = False,
    share_y: bool | str = True,
    height: float = 1.45,
) -> Figure:
    """Draw a line, and its band, for each level of ``series``, in a grid of panels.

    A line has gaps where values are missing and between stacks of layers.

    Args:
        table: columns ``layer`` (from 1) or ``state`` (from 0); ``value``; ``low`` and ``high`` if
            there are bands; and the columns of ``series``, ``rows``, ``columns`` and ``dashes``.
        axis: the x axis.
        series: what colours are.
        label: label of the y axis, with unit.
        rows: what the rows of panels are.
        columns: what the columns of panels are; without ``rows``, more than four are wrapped.
        dashes: what line styles are.
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
    apart = ["stack", dashes.column] if dashes else ["stack"]
    placed["part"] = placed[apart].astype(str).agg(" ".join, axis=1)
    plot = so.Plot(placed, x="x", y="value", color=series.column)
    plot = faceted(plot, rows, columns, wrap)
    if others:
        grey = so.Path(color=sheets.PALE, linewidth=0.7, marker="none")
        all_panels: Any = {"group": "line", "color": None, "col": None, "row": None}
        plot = plot.add(grey, legend=False, **all_panels)
    if "low" in table:
        band = so.Band(alpha=BAND_ALPHA, edgewidth=0)
        plot = plot.add(band, group="part", ymin="low", ymax="high", legend=False)
    dashed: Any = {"linestyle": dashes.column} if dashes else {}
    path = so.Path(linewidth=1.2, **({"marker": "none"} | mark))
    plot = plot.add(path, group="part", legend=False, **dashed)
    plot = plot.scale(color=nominal(series, "color")).share(x=True, y=share_y)
    if dashes:
        plot = plot.scale(linestyle=nominal(dashes, "linestyle"))
    return drawn(plot, figure, axis.decorate, rows, columns, y=label)


def faceted(
    plot: so.Plot, rows: Facet | None, columns: Facet | None, wrap: int | None = None
) -> so.Plot:
    """Split a plot into panels."""
    return plot.facet(
        row=rows.column if rows else None,
        col=columns.column if columns else None,
        order={name: [*facet.titles] for name, facet in (("row", rows), ("col", columns)) if facet},
        wrap=wrap,
    )


def nominal(series: Series, attribute: str) -> so.Nominal:
    """The scale that gives each level of a series one attribute of its look."""
    return so.Nominal(series.values(attribute), order=[*series])


def drawn(
    plot: so.Plot,
    figure: Figure,
    decorate: Any,
    rows: Facet | None,
    columns: Facet | None,
    x: str = "",
    y: str = "",
) -> Figure:
    """Draw a plot on a figure, with one label for all x axes and one for all y axes.

    Args:
        plot: the plot.
        figure: an empty figure.
        decorate: called with each panel; it may label the x axis.
        rows: what the rows are; their titles are written beside the first column.
        columns: what the columns are; their titles are written above the panels.
        x: label of all x axes.
        y: label of all y axes.
    """
    plot = plot.label(x="", y="").theme(sheets.seaborn_theme())
    plot.layout(engine=None).on(figure).plot()
    figure.set_layout_engine("constrained")
    for ax in figure.axes:
        decorate(ax)
        if x:
            ax.set_xlabel(x)
    name_panels(figure.axes, rows, columns)
    if y:
        figure.supylabel(sheets.broken(y, figure.get_figheight() - 0.9))
    return figure


def name_panels(axes: list[Axes], rows: Facet | None, columns: Facet | None) -> None:
    """Title panels that lie row by row, and keep the x labels of the lowest ones."""
    abreast = len(columns) if columns else 1
    for place, ax in enumerate(axes):
        row, column = divmod(place, abreast)
        ax.set_title("")  # seaborn's title joins row and column
        if columns and row == 0:
            ax.set_title([*columns.titles.values()][column])
        if rows and column == 0:
            ax.set_ylabel([*rows.titles.values()][row])
        if rows and row < len(rows) - 1:
            ax.set_xlabel("")
        below = place + ABREAST
        if not rows and abreast > ABREAST and below < len(axes):
            ax.set_xlabel("")
