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
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage, optimal_leaf_ordering
from xarray import DataArray

from neuroglot.figures import sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.sheets import Facet

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
        finite = values[np.isfinite(values)]
        if log:
            finite = finite[finite > 0]
        if not finite.size:
            finite = np.array([1.0])
        whole = float(finite.min()), float(finite.max())
        low, high = limits or robust(finite)
        if signed:
            high = max(abs(low), abs(high)) or 1.0
            low = -high
        if low == high:
            low, high = (low * 0.95, high * 1.05) if low > 0 else (low - 0.5, high + 0.5)
        name = "RdBu_r" if signed else "viridis" if dark_is_low else "viridis_r"
        norm = LogNorm(low, high, clip=True) if log else Normalize(low, high)
        below, above = whole[0] < low, whole[1] > high
        extend = "both" if below and above else "min" if below else "max" if above else "neither"
        cmap = mpl.colormaps[name].with_extremes(bad=MISSING)
        return cls(norm, cmap, extend, label)  # type: ignore[arg-type]

    def bar(self, figure: FigureBase, axes: Sequence[Axes], **more: Any) -> None:
        """Draw the colour bar right of some axes."""
        shown = ScalarMappable(self.norm, self.cmap)
        size = {"fraction": 0.04, "aspect": 25, "pad": 0.02}
        bar = figure.colorbar(shown, ax=list(axes), extend=self.extend, **(size | more))
        paper: Any = axes[0].get_figure(root=True)
        bar.set_label(sheets.broken(self.label, paper.get_figheight() - 0.7))
        bar.outline.set_visible(False)


def robust(finite: Values) -> tuple[float, float]:
    """The ends of some values or, if single values are far off, of their middle 98 %."""
    ends = float(finite.min()), float(finite.max())
    low, high = (float(end) for end in np.quantile(finite, (0.01, 0.99)))
    return (low, high) if high > low and ends[1] - ends[0] > FAR * (high - low) else ends


def cells(ax: Axes, values: Values, scale: Scale, **more: Any) -> None:
    """Draw ``values[row, column]``, row 0 on top; cell ``i`` is centred at ``i + 0.5``."""
    sns.heatmap(
        values,
        ax=ax,
        norm=scale.norm,
        cmap=scale.cmap,
        cbar=False,
        rasterized=values.size > MOST_VECTOR,
        **({"xticklabels": False, "yticklabels": False} | more),
    )
    ax.set_facecolor(MISSING)
    ax.grid(visible=False)
    ax.tick_params(length=0)


def by_layer(
    values: DataArray,
    axis: LayerAxis,
    levels: Series,
    scale: Scale,
    panels: Facet | None = None,
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
    count = len(panels) if panels else 1
    across = min(abreast, count)
    down = -(-count // across)
    figure = sheets.sheet(0.8 + down * (HEAD + max(4 * CELL, cell * len(levels))), 2)
    widths = [stack.layers.size for stack in axis.stacks]
    grid = figure.subplots(down, across * len(widths), squeeze=False, width_ratios=widths * across)
    for place in range(down * across):
        row, column = divmod(place, across)
        axes = grid[row, column * len(widths) : (column + 1) * len(widths)]
        if place >= count:
            for ax in axes:
                ax.remove()
            continue
        panel = values
        if panels:
            level = [*panels.titles][place]
            panel = values.sel({panels.column: level})
            axes[0].set_title(panels.titles[level], loc="left")
        panel = panel.sel({levels.column: [*levels]}).transpose(levels.column, axis.word)
        panel = panel.dropna(levels.column, how="all")
        names = [levels.label(str(level)) for level in panel[levels.column].values]
        drawn = np.asarray(panel.values, dtype=np.float64)
        for ax, stack in zip(axes, axis.stacks, strict=True):
            cells(ax, drawn[:, stack.layers], scale)
            ax.set_facecolor("none")
            ax.set_ylim(len(levels), 0)
            axis.number(ax, stack)
            lowest = place + across >= count
            ax.set_xlabel(axis.label(stack) if lowest else "")
        if cell < CELL:
            names[1:-1] = [""] * len(names[1:-1])
        if column == 0 or names != [text.get_text() for text in grid[row, 0].get_yticklabels()]:
            name_rows(axes[0], names)
    scale.bar(figure, figure.axes)
    return figure


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of a heat map."""
    ax.set_yticks(np.arange(len(names)) + 0.5, names, rotation=0)


def name_columns(ax: Axes, names: Sequence[str]) -> None:
    """Name the columns of a heat map, upwards."""
    ax.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90)


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
    lower: bool = False,
) -> None:
    """Draw a matrix with named rows and columns.

    Args:
        ax: axes to draw in.
        values: ``[row, column]``; NaN is grey.
        rows: names of the rows.
        columns: names of the columns.
        scale: the scale of colours.
        form: format of the numbers in the cells, such as ``.2f``; none beyond 12 columns.
        lower: draw only what lies below the diagonal, of a symmetric matrix.
    """
    written = form is not None and len(columns) <= MOST_WRITTEN
    texts: dict[str, Any] = {"mask": triangle(values)} if lower else {}
    if written:
        texts |= {"annot": True, "fmt": form, "annot_kws": {"fontsize": 7}}
    cells(ax, values, scale, **texts)
    if lower:
        leave_blank(ax)
    name_rows(ax, rows)
    name_columns(ax, columns)


def under_tree(
    above: Axes,
    below: Axes,
    values: Values,
    names: Sequence[str],
    scale: Scale,
    tree: Values | None,
    form: str | None = None,
) -> None:
    """Draw a square matrix with its colour bar, below the tree that its levels are ordered by.

    Args:
        above: axes of the tree, ``TREE`` inches high.
        below: axes of the matrix, ``side`` inches wide and high.
        values: ``[row, column]``; NaN, such as the diagonal, is not drawn.
        names: names of rows and columns, in the order of the tree's leaves.
        scale: the scale of colours.
        tree: result of ``tree_of``.
        form: as in ``matrix``.
    """
    draw_tree(above, tree)
    matrix(below, values, names, names, scale, form)
    leave_blank(below)
    scale.bar(above.figure, [below])


def leave_blank(ax: Axes) -> None:
    """Draw no missing cells: those of a matrix that do not exist."""
    drawn = ax.collections[0]
    drawn.set_cmap(drawn.get_cmap().with_extremes(bad="none"))
    ax.set_facecolor("none")


def triangle(values: Values) -> Values:
    """Mask, for ``sns.heatmap``, of the diagonal and what lies above it, ``[row, column]``."""
    return np.triu(np.ones_like(values, dtype=bool)).astype(np.float64)


def tree_of(similarity: Values) -> Values | None:
    """Average-linkage tree of levels by their similarity; None for fewer than three levels.

    Args:
        similarity: ``[level, level]``; it is made symmetric, and NaN is replaced by the smallest
            value.

    Returns:
        Links as scipy has them, with leaves ordered so that neighbours are as similar as the tree
        allows.
    """
    if len(similarity) < 3 or not np.isfinite(similarity).any():
        return None
    filled = np.where(np.isfinite(similarity), similarity, np.nanmin(similarity))
    distance = (filled + filled.T) / -2
    condensed = distance[np.triu_indices(len(distance), 1)]
    condensed = condensed - float(condensed.min())
    condensed = condensed + 0.1 * float(condensed.max())  # the nearest leaves have stems
    links: Values = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return links


def order_of(similarity: Values) -> list[int]:
    """Order levels so that similar ones are neighbours, by ``tree_of``."""
    tree = tree_of(similarity)
    return [*range(len(similarity))] if tree is None else [int(leaf) for leaf in leaves_list(tree)]


def draw_tree(ax: Axes, tree: Values | None, orientation: Literal["top", "right"] = "top") -> None:
    """Draw a tree whose leaves lie at the middle of a matrix' rows or columns."""
    ax.set_axis_off()
    if tree is None:
        return
    grey = {"color_threshold": 0, "above_threshold_color": sheets.GUIDE}
    dendrogram(tree, ax=ax, no_labels=True, orientation=orientation, **grey)
    if orientation == "right":
        ax.invert_yaxis()
