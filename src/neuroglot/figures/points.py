"""Points and ranges by language, in panels, from a tidy table."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn.objects as so
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from neuroglot.figures import sheets
from neuroglot.figures.lines import drawn, faceted, nominal
from neuroglot.figures.series import Series

LINE = 0.135
"""Inches of a line of text; a level with several points takes more, if there is room."""
HEAD = 0.4
"""Inches above a panel."""
STAR = "star"
"""Column with the places of stars, NaN where there is none."""
MEAN = "mean of languages"


def by_level(
    table: DataFrame,
    levels: Series,
    series: Series,
    label: str,
    rows: Series | None = None,
    columns: Series | None = None,
    mean: bool = False,
    share_x: bool | str = True,
    hollow: str | None = None,
    margin: float = 0.9,
    apart: float = 0.07,
    wide: bool = False,
    legend: Series | None = None,
) -> Figure:
    """Draw a point, and its range, for each language (down) and each level of ``series``.

    Args:
        table: columns ``value``; ``low`` and ``high`` if there are ranges; ``star``, the x of a
            star, if there are stars; and the columns of ``levels``, ``series``, ``rows``,
            ``columns`` and ``hollow``.
        levels: what the lines of each panel are, in most figures languages.
        series: what colours and markers are.
        label: label of the x axis, with unit.
        rows: what the rows of panels are.
        columns: what the columns of panels are; without ``rows``, more than four are wrapped.
        mean: draw below the last level the mean over the levels that have every point of a panel.
        share_x: which panels have a common x axis: all (true), ``row``, ``col``, or none (false).
        hollow: column that says which points are hollow, on the line of the filled ones; without
            it, the looks say so.
        margin: inches for the title, the x label and the legend.
        apart: inches between the points of a level, if there is room.
        wide: make the figure as wide as a page, also with a single panel.
        legend: what the legend has, if not ``series``.

    Returns:
        The figure. Its axes are the panels, row by row; level ``i`` is at height ``i``.
    """
    ids, names = [*levels], levels.labels
    panel = [facet.column for facet in (rows, columns) if facet]
    if mean and len(levels) > 1:
        table = with_means(table, levels, [series.column, *([hollow] if hollow else [])], panel)
        ids, names = [*ids, MEAN], [*names, MEAN]
    down, across, wrap = sheets.arranged(rows, columns)
    room = (sheets.HEIGHT - margin - down * HEAD) / (down * len(names))
    line = min(room, max(LINE, apart * len(series)))
    figure = sheets.sheet(margin + down * (HEAD + line * len(names)), 2 if wide else across)
    plot = so.Plot(table, x="value", y=levels.column, color=series.column, marker=series.column)
    plot = faceted(plot, rows, columns, wrap)
    dodge = so.Dodge(empty="keep", gap=0.1, by=["color"])
    if "low" in table:
        ends = so.Range(linewidth=0.9)
        plot = plot.add(ends, dodge, xmin="low", xmax="high", marker=None, legend=False)
    dot = so.Dot(pointsize=3.5, edgewidth=0.8)
    plot = plot.add(dot, dodge, fill=hollow or series.column, legend=False)
    if STAR in table:
        star = so.Dot(marker="*", pointsize=5, edgewidth=0)
        plot = plot.add(star, dodge, x=STAR, marker=None, legend=False)
    filled: Any = so.Nominal({True: False, False: True}) if hollow else nominal(series, "filled")
    scales = {name: nominal(series, name) for name in ("color", "marker")}
    plot = plot.scale(y=so.Nominal(order=ids), fill=filled, **scales).share(x=share_x, y=True)

    def decorate(ax: Axes) -> None:
        sheets.name_rows(ax, names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", visible=True)
        for level in range(0, len(names), 2):
            ax.axhspan(level - 0.5, level + 0.5, color=sheets.STRIPE, linewidth=0, zorder=0)
        if MEAN in ids:
            ax.axhline(len(names) - 1.5, color=sheets.GUIDE, linewidth=0.6)

    figure = drawn(plot, figure, decorate, rows, columns, x=label)
    sheets.legend(figure, legend or series)
    return figure


def with_means(table: DataFrame, levels: Series, series: list[str], panel: list[str]) -> DataFrame:
    """Add the means over the levels of each panel that have a value of every series there."""
    present = table[np.isfinite(table["value"])]
    complete: list[Any] = []
    for _, points in present.groupby(panel, observed=True) if panel else [((), present)]:
        wide = points.pivot_table(index=levels.column, columns=series, values="value").dropna()
        kept = points[points[levels.column].isin(wide.index)]
        complete.append(kept.groupby([*panel, *series], observed=True)["value"].mean())
    if not complete:
        return table
    means = pd.concat(complete).reset_index().assign(**{levels.column: MEAN})
    both: DataFrame = pd.concat([table, means], ignore_index=True)
    return both
