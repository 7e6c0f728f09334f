"""Overlap between the neurons that methods name for a language, compared with chance."""

import math
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis, plain_numbers
from neuroglot.figures.matrices import heat, signed_colour_map

NAMES = {
    "lape": "LAPE",
    "sharing": "sharing",
    "type1": "type 1",
    "type2": "type 2",
    "experts": "experts",
    "lexicon": "lexicon",
}
CELL = 0.36
SIGNIFICANT = 0.05
LEAST_COLOUR = 1.0  # least end of the colour scale in powers of two: a doubling
MOST_COLUMNS = 6
OBSERVED: dict[str, Any] = {"color": style.HUES[0], "marker": "o", "markersize": 2.8}
CHANCE: dict[str, Any] = {"color": "#777777", "linestyle": (0, (3, 1.5)), "marker": "_"}

Values = NDArray[np.float64]


@style.styled
def agreement_by_language(ds: Dataset) -> Figure:
    """One panel per language: two methods' overlap over all layers, compared with chance.

    Below the diagonal: the observed Jaccard overlap divided by the expected overlap, on a
    logarithmic colour scale, grey if no neuron is shared, with a star if significant. On the
    diagonal: the number of neurons that a method names. Above the diagonal: the number of neurons
    that two methods share.

    Args:
        ds: ``jaccard_all``, ``expected_all`` and ``p_value_holm``
            ``(method, method_other, language)``, ``shared(…, layer)``,
            ``neurons(method, language, layer)``, ``looked_at(method, layer)``.
    """
    drawn = panels.held(ds["jaccard_all"], "language")
    if not drawn:
        return style.empty("no two methods name neurons for the same language in the same layers")
    methods = [str(method) for method in ds["method"].values]
    names = style.Languages.of(ds).names
    ratio = ds["jaccard_all"] / ds["expected_all"]
    exponents = np.abs(np.log2(ratio.where(ratio > 0).values))
    largest = float(np.nanmax(exponents, initial=LEAST_COLOUR))
    columns = min(len(drawn), MOST_COLUMNS, math.ceil(math.sqrt(1.6 * len(drawn))))
    side = max(1.3, CELL * len(methods))
    lines = -(-len(drawn) // columns)
    figure = panels.page(2.2 + columns * (side + 0.3), 1.4 + lines * (side + 0.35))
    figure.set_layout_engine("compressed")  # the constrained layout for square panels
    axes = panels.wrapped(figure, len(drawn), columns, sharex=True, sharey=True)
    for ax, language in zip(axes, drawn, strict=True):
        image = _triangle(ax, ds.sel(language=language), ratio.sel(language=language), largest)
        ax.set_title(names[language])
    labels = [NAMES.get(method, method) for method in methods]
    for ax in axes:
        ax.set_xticks(range(len(methods)), labels, rotation=90, fontsize=7)
        ax.set_yticks(range(len(methods)), labels, fontsize=7)
        ax.tick_params(length=0)
    figure.colorbar(
        image,
        ax=axes,
        label=f"Jaccard overlap, observed over expected\n(* p < {SIGNIFICANT:g} after Holm)",
        format=FuncFormatter(_times),
        ticks=MaxNLocator(7, integer=True),
        fraction=0.03,
        aspect=30,
    )
    figure.suptitle(f"{ds.attrs['model']}: neurons that methods name alike", wrap=True)
    return figure


def _triangle(ax: Axes, ds: Dataset, ratio: DataArray, largest: float) -> AxesImage:
    """Draw one language's pairs of methods."""
    order = ("method", "method_other")
    values = ratio.transpose(*order).values
    below = np.tril(np.ones(values.shape, bool), -1) & np.isfinite(values)
    cells = np.log2(values, out=np.full(values.shape, np.nan), where=below & (values > 0))
    image = heat(ax, cells, -largest, largest, signed_colour_map().with_extremes(bad="white"))
    ax.set_aspect("equal")
    # A ratio of 0 has no logarithm. It is common where chance would share less than one neuron.
    for row, column in zip(*np.nonzero(below & (values == 0)), strict=True):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=style.ABSENT))
    both = ds["looked_at"] & ds["looked_at"].rename(method="method_other")
    shared = ds["shared"].where(both).sum("layer").transpose(*order).values.astype(int)
    sizes = ds["neurons"].sum("layer").values
    significant = ds["p_value_holm"].transpose(*order).values < SIGNIFICANT
    texts = {(i, i): f"{size:,}" for i, size in enumerate(sizes)}
    for row, column in zip(*np.nonzero(below), strict=True):
        star = "*" if significant[row, column] else ""
        texts[row, column] = f"{_ratio(values[row, column])}{star}"
        texts[column, row] = f"{shared[row, column]:,}"
    for (row, column), text in texts.items():
        dark = row > column and abs(cells[row, column]) > 0.6 * largest
        look: dict[str, Any] = {"color": "white" if dark else "black"}
        if row == column:
            look["weight"] = "bold"
        ax.text(column, row, text, ha="center", va="center", fontsize=6, **look)
    return image


def _ratio(value: float) -> str:
    """Format a ratio in a few characters: 0, 0.42, 3.1, 27."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _times(exponent: float, _: int) -> str:
    return f"×{2**exponent:g}" if exponent >= 0 else f"÷{2**-exponent:g}"


@style.styled
def agreement_by_layer(ds: Dataset) -> Figure:
    """One panel per two methods: Jaccard overlap by layer, observed and by chance.

    The line is the mean over the languages for which both methods name neurons in the layer. The
    band reaches from the lowest to the highest language. Pairs of methods with neurons in only one
    common layer are left out.

    Args:
        ds: ``jaccard`` and ``expected_jaccard`` ``(method, method_other, language, layer)``.
    """
    methods = [str(method) for method in ds["method"].values]
    drawn = [pair for pair in combinations(methods, 2) if _layers(ds, *pair) > 1]
    if not drawn:
        return style.empty("no two methods name neurons in the same two layers")
    axis = LayerAxis.of(ds)
    handles = [
        Line2D([], [], label="observed, mean of languages", **OBSERVED),
        Patch(label="lowest to highest language", color=OBSERVED["color"], alpha=0.2),
        Line2D([], [], label="by chance, mean of languages", **CHANCE),
    ]
    columns = min(3, len(drawn))
    lines = -(-len(drawn) // columns)
    figure, body = panels.sheet(3.2 * columns + 0.3, 2.1 * lines + 0.4, handles)
    axes = panels.wrapped(body, len(drawn), columns, sharex=True)
    for ax, (first, second) in zip(axes, drawn, strict=True):
        pair = ds.sel({"method": first, "method_other": second})
        _lines(ax, axis, pair["jaccard"], pair["expected_jaccard"])
        ax.set_title(f"{NAMES.get(first, first)} and {NAMES.get(second, second)}")
        ax.set_xlabel("layer" if ax in axes[-columns:] else "")
    body.supylabel("Jaccard overlap", fontsize="medium")
    figure.suptitle(
        f"{ds.attrs['model']}: neurons that methods name alike through the layers", wrap=True
    )
    return figure


def _layers(ds: Dataset, first: str, second: str) -> int:
    """Count the layers in which any language has neurons of both methods."""
    jaccard = ds["jaccard"].sel({"method": first, "method_other": second})
    return int(jaccard.notnull().any("language").sum())


def _lines(ax: Axes, axis: LayerAxis, observed: DataArray, expected: DataArray) -> None:
    """Draw ``observed(language, layer)`` and ``expected``, the overlap by chance."""
    low, high = (one.values for one in (observed.min("language"), observed.max("language")))
    axis.fill(ax, low, high, color=OBSERVED["color"], alpha=0.2, linewidth=0)
    for values, look in ((expected, CHANCE), (observed, OBSERVED)):
        mean = values.mean("language").values
        for stack in axis.stacks:  # markers show isolated layers, which have no line
            ax.plot(stack.x, mean[stack.layers], **look)
    axis.decorate(ax)
    plain_numbers(ax)
    ax.set_ylim(bottom=0)


FIGURES: dict[str, style.Draw] = {
    "agreement_by_language": agreement_by_language,
    "agreement_by_layer": agreement_by_layer,
}
