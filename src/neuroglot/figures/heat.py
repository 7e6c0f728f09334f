"""Heat maps: levels by layer, and levels by levels, on one scale of colours a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage, optimal_leaf_ordering
from xarray import DataArray

from neuroglot.figures import sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series

MISSING = "#BBBBBB"
CELL = 0.13
"""Inches of a row with a name of 7 points."""
HEAD = 0.55
"""Inches of a panel's title, numbers of layers, and label."""
WRITTEN_CELL = 0.36
TREE = 0.35
"""Inches of a tree above a matrix."""
MOST_WRITTEN = 12
"""Levels of a matrix up to which numbers are written into its cells."""
MOST_VECTOR = 4000
"""Cells up to which a heat map is drawn as vectors; beyond, as a bitmap within the SVG."""
FAR = 1.6
"""So many times the middle 98 % of values reach from end to end before colours are clipped."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """One scale of colours for all heat maps of a figure.

    Attributes:
        norm: from values to [0, 1].
        cmap: from [0, 1] to colours; missing values are grey.
        extend: ends beyond which there are values, for the colour bar's arrows.
        label: what the colours are, with unit.
    """

    norm: Normalize
    cmap: Colormap
    extend: Literal["neither", "min", "max", "both"]
    label: str

    @classmethod
    def of(
        cls,
        values: Values,
        label: str,
        signed: bool = False,
        log: bool = False,
        dark_is_low: bool = True,
        limits: tuple[float, float] | None = None,
    ) -> "Scale":
        """The scale of some values.

        Limits are those of the values or, where single values are far off, of their middle 98 %.

        Args:
            values: all values of the figure, with NaN where missing.
            label: what they are, with unit.
            signed: values have a sign: two hues that meet in white at zero.
            log: logarithmic colours; values of zero or less are drawn as the smallest.
            dark_is_low: dark colours are low values.
            limits: ends of the scale.
        """
        drawn = values[np.isfinite(values) & ((values > 0) | (not log))]
        drawn = drawn if drawn.size else np.array([1.0])
        low, high = limits or robust(drawn)
        if signed:
            high = max(abs(low), abs(high)) or 1.0
            low = -high
        if low == high:
            low, high = (low * 0.95, high * 1.05) if low > 0 else (low - 0.5, high + 0.5)
        name = "RdBu_r" if signed else "viridis" if dark_is_low else "viridis_r"
        norm = LogNorm(low, high, clip=True) if log else Normalize(low, high)
        below, above = drawn.min() < low, drawn.max() > high
        extend = "both" if below and above else "min" if below else "max" if above else "neither"
        cmap = mpl.colormaps[name].with_extremes(bad=MISSING)
        return cls(norm, cmap, extend, label)  # type: ignore[arg-type]

    def bar(self, figure: Figure, axes: Sequence[Axes], **more: Any) -> None:
        """Draw the colour bar right of some axes."""
        size = {"fraction": 0.04, "aspect": 25, "pad": 0.02}
        shown = ScalarMappable(self.norm, self.cmap)
        bar = figure.colorbar(shown, ax=list(axes), extend=self.extend, **(size | more))
        bar.set_label(sheets.broken(self.label, figure.get_figheight() - 0.7))
        bar.outline.set_visible(False)


def robust(finite: Values) -> tuple[float, float]:
    """The ends of some values or, if single values are far off, of their middle 98 %."""
    least, low, high, most = (float(end) for end in np.quantile(finite, (0, 0.01, 0.99, 1)))
    return (low, high) if high > low and most - least > FAR * (high - low) else (least, most)


def cells(ax: Axes, values: Values, scale: Scale, blank: bool = False, **more: Any) -> None:
    """Draw ``values[row, column]``, row 0 on top; cell ``i`` is centred at ``i + 0.5``.

    Missing cells are grey or, with ``blank``, not drawn, as those of a matrix that do not exist.
    """
    sns.heatmap(
        values,
        ax=ax,
        norm=scale.norm,
        cmap=scale.cmap.with_extremes(bad="none") if blank else scale.cmap,
        cbar=False,
        rasterized=values.size > MOST_VECTOR,
        **({"xticklabels": False, "yticklabels": False} | more),
    )
    ax.set_facecolor("none" if blank else MISSING)
    ax.grid(visible=False)
    ax.tick_params(length=0)


def by_layer(
    values: DataArray,
    axis: LayerAxis,
    levels: Series,
    scale: Scale,
    panels: Series | None = None,
    abreast: int = 2,
    cell: float = CELL,
) -> Figure:
    """Draw levels (down) by layers or states (across), one panel for each level of ``panels``.

    A panel has only the levels that have a number in it. Panels with other levels than the first
    have names of their own.

    Args:
        values: dimensions ``layer`` or ``state``, ``levels.column`` and ``panels.column``.
        axis: the x axis; stacks of layers are drawn apart.
        levels: what the rows are, from top to bottom, in most figures languages.
        scale: the scale of colours.
        panels: what the panels are.
        abreast: panels in a row.
        cell: inches of a row; if too low for names, only the first and the last row are named.

    Returns:
        The figure. Its axes are the panels' stacks, row by row, and the colour bar.
    """
    stacks = axis.stacks
    values = values.sel({levels.column: [*levels]}).transpose(levels.column, axis.word, ...)
    shown = [values.sel({panels.column: panel}) for panel in panels] if panels else [values]
    shown = [panel.dropna(levels.column, how="all") for panel in shown]
    across = min(abreast, len(shown))
    lines = [shown[first : first + across] for first in range(0, len(shown), across)]
    high = [max(1, *(panel.sizes[levels.column] for panel in line)) for line in lines]
    figure = sheets.sheet(0.8 + sum(HEAD + max(4 * CELL, cell * rows) for rows in high), 2)
    widths = [len(layers) for layers in stacks.values()] * across
    grid = figure.subplots(
        len(lines), len(widths), squeeze=False, width_ratios=widths, height_ratios=high
    )
    by_panel = grid.reshape(len(lines) * across, len(stacks))
    for ax in by_panel[len(shown) :].flat:
        ax.remove()
    for place, (panel, axes) in enumerate(zip(shown, by_panel, strict=False)):
        if panels:
            axes[0].set_title(panels.labels[place], loc="left")
        names = [levels.label(level) for level in panel[levels.column].values]
        for ax, (stack, layers) in zip(axes, stacks.items(), strict=True):
            cells(ax, panel.values[:, layers].astype(np.float64), scale)
            ax.set_facecolor("none")
            ax.set_ylim(high[place // across], 0)
            axis.number(ax, stack)
            ax.set_xlabel(axis.label(stack) if place + across >= len(shown) else "")
        if cell < CELL:
            names[1:-1] = [""] * len(names[1:-1])
        first = by_panel[place - place % across, 0]
        if axes[0] is first or names != [text.get_text() for text in first.get_yticklabels()]:
            sheets.name_rows(axes[0], names, 0.5)
    scale.bar(figure, figure.axes)
    return figure


def side(levels: int, written: bool = True) -> float:
    """Inches of a matrix of so many rows, with room for numbers in the cells of a small one."""
    return max(1.3, levels * (WRITTEN_CELL if written and levels <= MOST_WRITTEN else CELL))


def matrix(
    ax: Axes,
    values: Values,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: Scale,
    form: str | None = None,
    blank: bool = False,
) -> None:
    """Draw a matrix with named rows and columns.

    Args:
        ax: axes to draw in.
        values: ``[row, column]``.
        rows: names of the rows.
        columns: names of the columns.
        scale: the scale of colours.
        form: format of the numbers in the cells, such as ``.2f``; none beyond 12 columns.
        blank: draw no missing cells; otherwise they are grey.
    """
    written = form is not None and len(columns) <= MOST_WRITTEN
    texts: Any = {"annot": True, "fmt": form, "annot_kws": {"fontsize": 7}} if written else {}
    cells(ax, values, scale, blank, **texts)
    sheets.name_rows(ax, rows, 0.5)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=90)


def clustered(similarity: Values) -> tuple[list[int], Values | None]:
    """Order levels so that similar ones are neighbours, by an average-linkage tree.

    Args:
        similarity: ``[level, level]``; it is made symmetric, and NaN is replaced by the smallest
            value.

    Returns:
        The order, and the tree's links as scipy has them, with leaves ordered so that neighbours
        are as similar as the tree allows. Fewer than three levels keep their order without a tree.
    """
    if len(similarity) < 3 or not np.isfinite(similarity).any():
        return [*range(len(similarity))], None
    filled = np.where(np.isfinite(similarity), similarity, np.nanmin(similarity))
    distance = (filled + filled.T) / -2
    condensed = distance[np.triu_indices(len(distance), 1)]
    condensed = condensed - condensed.min()
    condensed = condensed + 0.1 * condensed.max()  # the nearest leaves have stems
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return leaves_list(tree).tolist(), tree


def draw_tree(ax: Axes, tree: Values | None) -> None:
    """Draw a tree whose leaves lie above the middle of a matrix' columns."""
    ax.set_axis_off()
    if tree is not None:
        grey = {"color_threshold": 0, "above_threshold_color": sheets.GUIDE}
        dendrogram(tree, ax=ax, no_labels=True, **grey)
