"""Figures 1 and 7 to 14: activation frequency of every expert, by language and layer."""

import math

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import heat_layers, limits

MOST_CELLS = 120_000
TICKS = (0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)

Values = NDArray[np.float64]


@style.styled
def expert_frequency(ds: Dataset) -> Figure:
    """One panel per language: layers across, the layer's experts down.

    In each layer, experts are sorted by their mean frequency over all languages, the most frequent
    on top. A cell is therefore the same expert in every panel. If the panels have too many cells to
    be visible, a cell shows the maximum over neighbouring experts.

    The colours follow the square root, because most experts are active at a few per cent of the
    tokens and a few experts at nearly all tokens. A line in the colour bar marks the threshold of a
    high-frequency expert.

    Args:
        ds: ``expert_frequency(language, layer, expert)``; ``attrs["high_frequency"]``.
    """
    frequency = ds["expert_frequency"]
    drawn = panels.held(frequency, "language")
    if not drawn:
        return style.empty("no activation frequency of experts")
    names = style.Languages.of(ds).names
    axis = LayerAxis.of(ds)
    cells = by_mean(frequency.sel(language=drawn))
    size = math.ceil(cells.size / MOST_CELLS)
    cells = largest_of(cells, size)
    columns = math.ceil(math.sqrt(len(drawn)))
    lines = math.ceil(len(drawn) / columns)
    width = min(3.2, max(1.6, 0.1 * ds.sizes["layer"]))
    figure = panels.page(1.7 + columns * width, 0.7 + 2.3 * lines)
    axes = panels.wrapped(figure, len(drawn), columns, sharex=True, sharey=True)
    high = limits(cells)[1]
    scale = PowerNorm(0.5, 0, high)
    for ax, language, values in zip(axes, drawn, cells, strict=True):
        heat_layers(ax, axis, values, 0, high)
        for image in ax.images:
            image.set_norm(scale)
        ax.set_title(names[language])
        ax.set_yticks([0, len(values) - 1], ["1", str(ds.sizes["expert"])])
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("layer" if ax in axes[-columns:] else "")
    figure.supylabel("experts of a layer, by mean frequency", fontsize="medium")
    each = f", largest of each {size} experts" if size > 1 else ""
    bar = figure.colorbar(
        image,
        ax=axes,
        format=StrMethodFormatter("{x:g}"),
        ticks=[tick for tick in TICKS if tick <= high],
        label=f"activation frequency{each}\n(share of tokens, square-root scale)",
        fraction=0.03,
        aspect=30,
    )
    bar.ax.axhline(ds.attrs["high_frequency"], color="white")
    figure.suptitle(f"{ds.attrs['model']}: activation frequency of experts", wrap=True)
    return figure


def by_mean(frequency: DataArray) -> Values:
    """Sort each layer's experts by descending mean over languages, [language, expert, layer]."""
    values = frequency.transpose("language", "expert", "layer").values.astype(np.float64)
    mean = frequency.mean("language").transpose("expert", "layer").values
    return np.take_along_axis(values, np.argsort(-mean, axis=0, kind="stable")[None], axis=1)


def largest_of(cells: Values, size: int) -> Values:
    """Take the maximum over each ``size`` neighbouring experts, [language, expert, layer]."""
    starts = np.arange(0, cells.shape[1], size)
    return np.asarray(np.fmax.reduceat(cells, starts, axis=1))


FIGURES: dict[str, style.Draw] = {"figure_01_expert_frequency": expert_frequency}
