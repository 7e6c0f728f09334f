"""Figures 5, 7 and 8: every prefix's scaled activations in chosen layers; one layer in detail."""

from functools import partial
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import heat
from neuroglot.measures.axes import layer_widths, width_dimension

NEURONS = {"act": "detector neuron", "out": "combinator neuron"}
COLUMNS = 240
LINES = 18
SCALED = "scaled activation"

Values = NDArray[np.float32]


@style.styled
def scaled_activations(ds: Dataset, site: str) -> Figure:
    """One panel per chosen layer: neurons across, every language's prefixes down.

    A panel has fewer cells than the layer has values. A cell takes the maximum over neighbouring
    neurons, so that a single peak stays visible, and the mean over neighbouring prefixes.

    Args:
        ds: ``scaled_act(language, layer, row, neuron)`` or ``scaled_out(…, hidden)`` in [0, 1].
        site: ``act`` for figure 5, ``out`` for figure 7.
    """
    scaled = ds[f"scaled_{site}"]
    drawn = panels.held(scaled, "language")
    if not drawn:
        return style.empty(f"no scaled activations of {style.SITES[site]}")
    names = style.Languages.of(ds).names
    axis = LayerAxis.of(ds)
    layers = range(ds.sizes["layer"])
    columns = min(4, len(layers))
    lines = -(-len(layers) // columns)
    figure = panels.page(1.2 + 2.4 * columns, 0.9 + lines * max(1.6, 0.24 * len(drawn)))
    axes = panels.wrapped(figure, len(layers), columns, sharey=True)
    for layer in layers:
        ax, own = axes[layer], of_layer(scaled, layer)
        width = own.sizes[width_dimension(own)]
        cells = np.concatenate([pooled(own.sel(language=one)) for one in drawn])
        image = heat(ax, cells, 0, 1, extent=(0, width, len(cells), 0))
        for edge in range(LINES, len(cells), LINES):
            ax.axhline(edge, color="white", linewidth=1.2)
        ax.set_yticks(np.arange(len(drawn)) * LINES + LINES / 2, [names[one] for one in drawn])
        ax.tick_params(axis="y", length=0)
        ax.set_title(axis.name(layer))
        size = cell_width(width)
        ax.set_xlabel(NEURONS[site] + (f"\n(largest of each {size})" if size > 1 else ""))
    for ax in axes[::columns]:
        ax.set_ylabel("prefixes of each language")
    figure.colorbar(image, ax=axes, label=SCALED, fraction=0.02, aspect=30)
    style.title(figure, ds, site, f"scaled activations on {ds.attrs['corpus']}")
    return figure


@style.styled
def early_layer(ds: Dataset, site: str) -> Figure:
    """Show the first chosen layer in detail: one panel per language, activation against neuron.

    The band reaches from the smallest to the largest scaled activation over the prefixes. The line
    is their mean. Two neurons are marked: the neuron that is most often a prefix's maximum, and
    the neuron whose scaled activation varies most over the prefixes.
    """
    scaled = of_layer(ds[f"scaled_{site}"], 0)
    drawn = panels.held(scaled, "language")
    if not drawn:
        return style.empty(f"no scaled activations of {style.SITES[site]}")
    languages = style.Languages.of(ds)
    columns = 2 if len(drawn) > 1 else 1
    lines = -(-len(drawn) // columns)
    figure = panels.page(5.2 * columns, 0.9 + 1.5 * lines)
    axes = panels.wrapped(figure, len(drawn), columns, sharex=True, sharey=True)
    for ax, language in zip(axes, drawn, strict=True):
        profile(ax, present_rows(scaled.sel(language=language)), languages.looks[language].color)
        ax.set_title(languages.names[language], loc="left")
    for ax in axes[-columns:]:
        ax.set_xlabel(NEURONS[site])
    for ax in axes[::columns]:
        ax.set_ylabel("scaled activation")
    layer = LayerAxis.of(ds).name(0)
    style.title(figure, ds, site, f"{layer} on {ds.attrs['corpus']}")
    return figure


def of_layer(scaled: DataArray, layer: int) -> DataArray:
    """Select a layer of ``scaled(language, layer, row, neuron)``, without padding neurons."""
    own = {"layer": layer, width_dimension(scaled): slice(layer_widths(scaled)[layer])}
    return scaled.isel(own)


def profile(ax: Axes, rows: Values, color: str) -> None:
    """Draw range and mean of ``rows[row, neuron]`` over the rows; mark the dominant neurons."""
    places = np.arange(rows.shape[1])
    ax.fill_between(
        places, rows.min(0), rows.max(0), color=color, alpha=0.3, linewidth=0, rasterized=True
    )
    ax.plot(places, rows.mean(0), color=color, linewidth=0.7, rasterized=True)
    top, share = most_often_maximum(rows)
    variable = int(rows.std(0).argmax())
    ax.set_ylim(0, 1.35)
    ax.set_yticks([0, 0.5, 1])
    ax.plot(top, 1.06, "v", color="black")
    ax.plot(variable, 1.22, "d", color="black", markerfacecolor="white")
    ax.set_title(
        f"▼ {top}: maximum of {share:.0%} of prefixes   ◇ {variable}: varies most",
        loc="right",
        fontsize="small",
    )


def most_often_maximum(rows: Values) -> tuple[int, float]:
    """Find the most frequent maximum of ``rows[row, neuron]``, and its share of the rows."""
    counts = np.bincount(rows.argmax(1), minlength=rows.shape[1])
    return int(counts.argmax()), float(counts.max() / len(rows))


def present_rows(scaled: DataArray) -> Values:
    """``scaled(row, neuron)`` without the padding rows at its end."""
    values = np.asarray(scaled.values, dtype=np.float32)
    return values[~np.isnan(values).any(1)]


def pooled(scaled: DataArray) -> Values:
    """Reduce ``scaled(row, neuron)`` to ``LINES`` × at most ``COLUMNS`` cells; NaN without rows."""
    rows = present_rows(scaled)
    size = cell_width(rows.shape[1])
    if not len(rows):
        return np.full((LINES, -(-rows.shape[1] // size)), np.nan, dtype=np.float32)
    starts = np.arange(0, rows.shape[1], size)
    peaks = np.maximum.reduceat(rows, starts, axis=1)
    edges = np.linspace(0, len(rows), LINES + 1).astype(int)
    lines = [peaks[a : max(a + 1, b)].mean(0) for a, b in pairwise(edges)]
    return np.stack(lines)


def cell_width(neurons: int) -> int:
    """How many neighbouring neurons share one column of a heat map."""
    return -(-neurons // COLUMNS)


FIGURES: dict[str, style.Draw] = {
    "figure_05_detector_heatmap": partial(scaled_activations, site="act"),
    "figure_07_combinator_heatmap": partial(scaled_activations, site="out"),
    "figure_08_combinator_early_layer": partial(early_layer, site="out"),
}
