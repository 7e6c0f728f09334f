"""Draws heat maps between languages, and orders languages by similarity or by family."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import FigureBase
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from xarray import DataArray

from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.style import ABSENT, colour_map

MOST_WRITTEN = 12
SIGNED_STEPS = 31

Values = NDArray[np.float64]


def limits(values: Values) -> tuple[float, float]:
    """The smallest and largest finite value; equal values are moved apart a little."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return low, high
    margin = 0.05 * abs(low) or 0.5
    return low - margin, high + margin


def signed_colour_map() -> Colormap:
    """Blue through white to red in few steps (colour-blind safe), with absent cells in grey."""
    # An odd number of steps has white in the middle, for zero. So few steps survive in the palette
    # of a large picture, which reserves colours only for viridis.
    return mpl.colormaps["RdBu_r"].resampled(SIGNED_STEPS).with_extremes(bad=ABSENT)


def heat(
    ax: Axes, values: Values, low: float, high: float, colours: Colormap | None = None, **image: Any
) -> AxesImage:
    """Draw ``values[row, column]`` with row 0 on top; NaN is grey."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    cmap = colours if colours is not None else colour_map()
    return ax.imshow(values, cmap=cmap, vmin=low, vmax=high, aspect="auto", **image)


def heat_layers(
    ax: Axes,
    axis: LayerAxis,
    values: Values,
    low: float,
    high: float,
    colours: Colormap | None = None,
) -> AxesImage:
    """Draw ``values[row, layer]`` with a gap between stacks of layers, row 0 on top."""
    for stack in axis.stacks:
        sides = (stack.x[0] - 0.5, stack.x[-1] + 0.5, len(values) - 0.5, -0.5)
        image = heat(ax, values[:, stack.layers], low, high, colours, extent=sides)
    axis.decorate(ax)
    return image


def different_languages(values: DataArray) -> DataArray:
    """Set ``values(language_a, language_b, …)`` to NaN where both languages are the same."""
    return values.where(values["language_a"] != values["language_b"])


def matrix_side(languages: int) -> float:
    """Side in inches of a matrix of ``languages`` rows, so that every name can be read."""
    return max(2.0, 0.1 * languages)


def matrices_size(languages: int, layers: int, corpora: int) -> tuple[float, float]:
    """Width and height in inches of the matrices that ``selected_layers`` draws."""
    side = matrix_side(languages)
    return 1.5 + layers * (side + 0.6), corpora * (side + 0.5) + 1.1


def selected_layers(
    figure: FigureBase,
    values: DataArray,
    axis: LayerAxis,
    names: Sequence[str],
    words: tuple[str, str],
    label: str,
    shared: bool,
) -> None:
    """Draw a language × language matrix for each stack's first, middle and last layer.

    Args:
        figure: figure or subfigure to fill, one row per corpus, one column per layer.
        values: ``(corpus, language_a, language_b, layer)``; ``a`` down, ``b`` across; languages in
            drawing order.
        axis: the axis of the layers.
        names: the languages' names, in drawing order.
        words: labels of the rows and of the columns.
        label: label of the colour bar, with unit.
        shared: whether all layers share one colour scale.
    """
    corpora, layers = values["corpus"].values, axis.chosen()
    axes = figure.subplots(len(corpora), len(layers), squeeze=False)
    for column, layer in enumerate(layers):
        cells = values.isel(layer=layer).transpose("corpus", "language_a", "language_b").values
        low, high = limits(values.isel(layer=list(layers)).values if shared else cells)
        for row, corpus in enumerate(corpora):
            ax = axes[row, column]
            image = matrix(ax, cells[row], names, low, high)
            ax.set_title(f"{corpus}, {axis.name(layer)}")
            ax.tick_params(labelleft=column == 0, labelbottom=row == len(corpora) - 1)
        axes[-1, column].set_xlabel(words[1])
        if not shared:
            last = column == len(layers) - 1
            figure.colorbar(image, ax=axes[:, column].tolist(), label=label if last else None)
    for ax in axes[:, 0]:
        ax.set_ylabel(words[0])
    if shared:
        figure.colorbar(image, ax=axes.ravel().tolist(), label=label, fraction=0.03)


def matrix(
    ax: Axes,
    values: Values,
    names: Sequence[str],
    low: float,
    high: float,
    colours: Colormap | None = None,
) -> AxesImage:
    """Draw ``values[language, language]`` as a square matrix with all languages named."""
    image = heat(ax, values, low, high, colours)
    ax.set_aspect("equal")
    size = min(7.0, 72 * 0.85 * matrix_side(len(names)) / len(names))
    places = range(len(names))
    ax.set_xticks(places, names, rotation=90, fontsize=size)
    ax.set_yticks(places, names, fontsize=size)
    ax.tick_params(length=0)
    return image


def written_side(languages: int) -> float:
    """Side in inches of a matrix, with room for numbers in the cells if there are few cells."""
    cell = 0.38 if languages <= MOST_WRITTEN else 0.13
    return max(2.2, cell * languages)


def name_width(names: Sequence[str]) -> float:
    """Width in inches of the longest of ``names`` at a matrix."""
    return 0.2 + 0.055 * max(map(len, names))


def whole_numbers(most: int) -> MaxNLocator:
    """Ticks for counts: at most about ``most``, at round whole numbers."""
    return MaxNLocator(most, integer=True, steps=(1, 2, 5, 10))


def decimals(low: float, high: float) -> int:
    """Number of decimals that distinguish twenty values from ``low`` to ``high``; at most 4."""
    return max(0, min(4, math.ceil(-math.log10((high - low) / 20))))


def write_cells(image: AxesImage, values: Values, form: str) -> None:
    """Write ``values[row, column]`` into the cells of a small matrix, except NaN.

    Args:
        image: result of ``matrix``; nothing is written with more than 12 columns.
        values: numbers to write, black on light cells and white on dark cells.
        form: format of a number, such as ``.2f`` or ``+.2f``.
    """
    if values.shape[1] > MOST_WRITTEN:
        return
    colours = np.asarray(image.cmap(image.norm(np.ma.asarray(image.get_array()))))[..., :3]
    light = colours @ np.array([0.299, 0.587, 0.114]) > 0.5
    for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
        text = format(values[row, column], form)
        text = text if float(text.replace(",", "")) else format(0.0, form)
        image.axes.text(
            column,
            row,
            text.replace("-", "−"),
            ha="center",
            va="center",
            fontsize=6.5,
            antialiased=False,  # soft edges on every colour take most of the file
            color="black" if light[row, column] else "white",
        )


def family_order(families: Sequence[str], genera: Sequence[str]) -> list[int]:
    """Order languages by family, then by genus, then as given."""
    return sorted(range(len(families)), key=lambda i: (families[i], genera[i]))


def part_families(ax: Axes, families: Sequence[str], genera: Sequence[str]) -> None:
    """Separate a matrix's families by broad lines and genera by fine lines; name the families.

    Args:
        ax: a matrix of languages in ``family_order``; the names are written right of it.
        families: the languages' families in this order.
        genera: the languages' genera in this order.
    """
    starts = [0]
    broad = min(3.0, 0.2 * 72 * written_side(len(families)) / len(families))
    for i in range(1, len(families)):
        if (families[i], genera[i]) == (families[i - 1], genera[i - 1]):
            continue
        other = families[i] != families[i - 1]
        starts += [i] * other
        for draw in (ax.axhline, ax.axvline):
            draw(i - 0.5, color="white", linewidth=broad if other else broad / 3)
    ends = [*starts[1:], len(families)]
    side = ax.secondary_yaxis("right")
    side.set_yticks(
        [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)],
        [families[start] for start in starts],
        fontsize=ax.get_yticklabels()[0].get_fontsize(),
    )
    side.tick_params(length=0)
    side.spines[:].set_visible(False)


def cluster_order(similarity: Values) -> list[int]:
    """Order languages so that similar languages are adjacent.

    The order is from average-linkage hierarchical clustering of ``1 - similarity``, with leaves
    ordered to make neighbours as similar as the tree allows.

    Args:
        similarity: ``(language, language)``; it is made symmetric, and NaN is replaced by the
            smallest value.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    n = len(similarity)
    if n < 3 or not np.isfinite(similarity).any():
        return list(range(n))
    filled = np.where(np.isfinite(similarity), similarity, np.nanmin(similarity))
    distance = 1 - (filled + filled.T) / 2
    condensed = distance[np.triu_indices(n, 1)]
    condensed = condensed - min(0.0, float(condensed.min()))
    tree = optimal_leaf_ordering(linkage(condensed, "average"), condensed)
    return [int(leaf) for leaf in leaves_list(tree)]
