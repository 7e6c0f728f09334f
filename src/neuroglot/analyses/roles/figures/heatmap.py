"""Figures 5, 7 and 8: activations of every prefix in chosen layers, and one layer closely."""

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.findings import number, settled
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.style import SITES, Drawing, NothingToDraw
from neuroglot.figures.texts import counted, held

NEURONS = {"act": "detector", "out": "combinator"}
COLUMNS = 160
BLOCKS = 5
"""Blocks of neighbouring prefixes that are drawn as a line each."""
PEAKS = 4
STRONG, LIMIT = 3, 10
"""Robust z of neurons whose numbers are written, and of the darkest colours."""
NORMAL = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""

Values = NDArray[np.float32]


def rows_of(ds: Dataset, site: str, layer: int = 0) -> dict[str, Values]:
    """Scaled activations ``[prefix, neuron]`` of each language that has prefixes."""
    rows = {}
    for language in held(ds, f"scaled_{site}", "language"):
        values = ds[f"scaled_{site}"].sel(language=language).isel(layer=layer).values
        present = np.isfinite(values)
        rows[language] = values[np.ix_(present.any(1), present.any(0))]  # without padding
    if not rows:
        raise NothingToDraw(f"no activations of {SITES[site]}")
    return rows


def robust_z(values: Values) -> Values:
    """Distance from each prefix's median over neurons, in robust standard deviations.

    Where half of the neurons have the same value, these are ordinary standard deviations.
    """
    apart = values - np.median(values, axis=1, keepdims=True)
    deviation = NORMAL * np.median(np.abs(apart), axis=1, keepdims=True)
    deviation = np.where(deviation > 0, deviation, values.std(axis=1, keepdims=True))
    return np.asarray(apart / np.where(deviation > 0, deviation, 1), dtype=np.float32)


def pooled(z: Values) -> Values:
    """Means of blocks of prefixes; then, of neighbouring neurons, the value farthest from 0."""
    edges = np.linspace(0, len(z), BLOCKS + 1).astype(int)
    lines = np.stack([z[a : max(a + 1, b)].mean(0) for a, b in pairwise(edges)])
    width = -(-z.shape[1] // COLUMNS)
    cells = np.pad(lines, ((0, 0), (0, -z.shape[1] % width))).reshape(BLOCKS, -1, width)
    farthest = np.abs(cells).argmax(2, keepdims=True)
    return np.take_along_axis(cells, farthest, 2)[..., 0]


def peaks_of(mean: Values) -> list[int]:
    """The neurons that stand out, far enough from each other to write their numbers."""
    chosen: list[int] = []
    for neuron in np.argsort(-np.abs(mean), kind="stable").tolist():
        apart = all(abs(neuron - other) > len(mean) / PEAKS for other in chosen)
        if apart and abs(mean[neuron]) >= STRONG:
            chosen.append(neuron)
    return sorted(chosen)


def activations(ds: Dataset, site: str) -> Figure:
    """One panel per chosen layer: neurons across, every language's prefixes down.

    Args:
        ds: ``scaled_act(language, layer, row, neuron)`` or ``scaled_out(…, hidden)`` in [0, 1].
        site: ``act`` or ``out``.
    """
    layers = [rows_of(ds, site, layer) for layer in range(ds.sizes["layer"])]
    z = [[robust_z(rows) for rows in layer.values()] for layer in layers]
    cells = [np.concatenate([*map(pooled, layer)]) for layer in z]
    label, limits = "robust z over the layer's neurons", (-LIMIT, LIMIT)
    scale = heat.Scale.of(np.concatenate(cells, axis=None), label, signed=True, limits=limits)
    names = series.languages(ds).only(layers[0]).labels
    across = 2 if len(layers) <= 4 else sheets.ABREAST
    figure, axes = sheets.grid(len(layers), across, 0.5 + heat.CELL * max(6, len(names)))
    for place, (ax, values) in enumerate(zip(axes, cells, strict=True)):
        heat.cells(ax, values, scale)
        for edge in range(BLOCKS, len(values), BLOCKS):
            ax.axhline(edge, color="white", linewidth=0.8)
        mean = np.mean([rows.mean(0) for rows in z[place]], axis=0)
        peaks = peaks_of(mean)
        places = (np.array(peaks) + 0.5) * values.shape[1] / len(mean)
        ax.set_xticks(places, map(str, peaks), rotation=0)
        ax.set_title(LayerAxis.of(ds).name(place), loc="left")
        if place % across == 0:
            ax.set_yticks((np.arange(len(names)) + 0.5) * BLOCKS, names, rotation=0)
    figure.supxlabel(f"{NEURONS[site]}, numbered from 0")
    scale.bar(figure, axes)
    return sheets.title(figure, ds, f"{SITES[site]}, activations", sample(ds, layers[0]))


def sample(ds: Dataset, rows: dict[str, Values]) -> str:
    """Name the text and its numbers of prefixes."""
    prefixes = counted(np.array([*map(len, rows.values())]), "prefixes")
    return f"{ds.attrs['corpus']}, the first {prefixes} of a language"


def finding(ds: Dataset, site: str) -> str:
    """Say which neuron lies farthest from the others of its layer, of those layers drawn."""
    standing_out = {}
    for layer in range(ds.sizes["layer"]):
        rows = rows_of(ds, site, layer).values()
        mean = np.mean([robust_z(values).mean(0) for values in rows], axis=0)
        neuron = int(np.abs(mean).argmax())
        standing_out[f"{neuron} of {LayerAxis.of(ds).name(layer)}"] = float(mean[neuron])
    name, z = max(standing_out.items(), key=lambda item: abs(item[1]))
    told = f"{NEURONS[site].capitalize()} {name} stands out most: its mean robust z over languages"
    return settled(f"{told} is {number(z, '.1f')}.", ds.sizes["row"], "prefixes")


def early_layer(ds: Dataset, site: str) -> Figure:
    """The first chosen layer closely, one panel per language: scaled activation of each neuron.

    The line is the mean over prefixes, the band reaches from their 5 % to their 95 % quantile.
    """
    rows = rows_of(ds, site)
    languages = series.languages(ds).only(rows)
    figure, axes = sheets.grid(len(rows), sheets.ABREAST, 1.5)
    for place, (ax, (language, look)) in enumerate(zip(axes, languages.looks.items(), strict=True)):
        values = rows[language]
        low, high = np.quantile(values, (0.05, 0.95), axis=0)
        ax.fill_between(range(len(low)), low, high, color=look.color, alpha=0.3, rasterized=True)
        ax.plot(values.mean(0), color=look.color, linewidth=0.7, rasterized=True)
        (top, share), variable = most_often_maximum(values), int(values.std(0).argmax())
        ax.plot(top, 1.1, "v", color="black")
        ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"] if place % sheets.ABREAST == 0 else [])
        ax.plot(variable, 1.25, "d", color="black", markerfacecolor="white")
        ax.set_title(f"{look.label}\n▼ {top} ({share:.0%})  ◇ {variable}")
    figure.supxlabel(f"{NEURONS[site]} (from 0)")
    figure.supylabel("activation, scaled to [0, 1]")
    subject = f"{SITES[site]}, {LayerAxis.of(ds).name(0)}"
    return sheets.title(figure, ds, subject, sample(ds, rows))


def most_often_maximum(values: Values) -> tuple[int, float]:
    """The most frequent maximum of ``values[prefix, neuron]``, and its share of the prefixes."""
    counts = np.bincount(values.argmax(1))
    return int(counts.argmax()), float(counts.max() / len(values))


def early_finding(ds: Dataset, site: str) -> str:
    """Say in how many languages the same neuron is most often the largest."""
    tops = [most_often_maximum(rows)[0] for rows in rows_of(ds, site).values()]
    top = max(tops, key=tops.count)
    where = f"{NEURONS[site].capitalize()} {top} is most often the largest of"
    text = f"{where} {LayerAxis.of(ds).name(0)} in {tops.count(top)} of {len(tops)} languages."
    return settled(text, ds.sizes["row"], "prefixes")


FIGURES = {
    "figure_05_detector_heatmap": Drawing(activations, finding, site="act"),
    "figure_07_combinator_heatmap": Drawing(activations, finding, site="out"),
    "figure_08_combinator_early_layer": Drawing(early_layer, early_finding, site="out"),
}
