"""Entropy of the neurons, and coverage: the share of their top tokens in the text."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.text import title
from neuroglot.figures import style

BINS = 40
LOOKS: dict[str, dict[str, Any]] = {
    "positive": {"color": style.HUES[0], "linestyle": "-"},
    "negative": {"color": style.HUES[1], "linestyle": (0, (4, 1.2))},
}
ENTROPY = "entropy of the association\n(bits, uniform prior)"
COVERAGE = "coverage (share of top tokens seen)"
MOST: dict[str, Any] = {"color": "#555555", "linestyle": "--", "linewidth": 1.0}
LEAST: dict[str, Any] = {"color": "#555555", "linestyle": ":", "linewidth": 1.4}

Values = NDArray[np.float64]


@style.styled
def entropy_and_coverage(ds: Dataset) -> Figure:
    """Histograms of entropy and of coverage above, entropy against coverage by sign below.

    Args:
        ds: ``entropy(prior, sign, neuron)`` in bits, NaN where no top token was seen;
            ``coverage(sign, neuron)``; ``attrs["minimum_coverage"]``.
    """
    entropy = ds["entropy"].sel(prior="uniform")
    if not style.present(entropy):
        return style.empty("no top token of any neuron is in the text")
    most, least = float(np.log2(ds.sizes["language"])), float(ds.attrs["minimum_coverage"])
    # rounding may put an entropy just outside the axis
    entropies = {sign: entropy.sel(sign=sign).clip(0, most).values for sign in LOOKS}
    coverages = {sign: ds["coverage"].sel(sign=sign).values for sign in LOOKS}
    edges = coverage_bins(float(ds["coverage"].max()), ds.sizes["rank"]), entropy_bins(most)
    figure = Figure(figsize=(7.8, 6.4), layout="constrained")
    axes = figure.subplots(2, 2)
    histogram(axes[0, 0], entropies, edges[1])
    histogram(axes[0, 1], coverages, edges[0])
    counts = {sign: cells(coverages[sign], entropies[sign], edges) for sign in LOOKS}
    largest = max(float(count.max()) for count in counts.values())
    for ax, (sign, count) in zip(axes[1], counts.items(), strict=True):
        image = density(ax, count, edges, largest)
        ax.set_title(f"{sign} weights\n{described(entropies[sign], coverages[sign], least)}")
        ax.set_ylabel(ENTROPY)
        ax.axhline(most, **MOST)
    axes[0, 0].set_xlabel(ENTROPY)
    axes[0, 0].axvline(most, label=f"even over {ds.sizes['language']} languages", **MOST)
    axes[0, 1].axvline(least, label="minimum coverage", **LEAST)
    for ax in (axes[0, 1], *axes[1]):
        ax.set_xlabel(COVERAGE)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for ax in axes[1]:
        ax.axvline(least, **LEAST)
    figure.colorbar(image, ax=axes[1].tolist(), label="neurons", format="{x:g}", fraction=0.03)
    lines = [line for ax in axes[0] for line in ax.get_legend_handles_labels()[0]]
    lines = list({line.get_label(): line for line in lines}.values())
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines))
    title(figure, ds, "entropy and coverage of the last layer's neurons")
    return figure


def coverage_bins(coverage: float, tokens: int) -> Values:
    """Edges of bins up to ``coverage``; all bins have as many possible shares of ``tokens``."""
    seen = round(coverage * tokens) + 1
    size = -(-seen // BINS)
    return (np.arange(-(-seen // size) + 1) * size - 0.5) / tokens


def entropy_bins(most: float) -> Values:
    """Edges of bins from 0 to ``most`` bits; with one language, ``most`` is 0."""
    return np.linspace(0, max(most, 0.1), BINS + 1)


def histogram(ax: Axes, values: dict[str, Values], edges: Values) -> None:
    """Draw one stepped histogram of the finite ``values[neuron]`` per sign."""
    for sign, of_neurons in values.items():
        counts, _ = np.histogram(of_neurons[np.isfinite(of_neurons)], edges)
        ax.stairs(counts, edges, label=f"{sign} weights", linewidth=1.3, **LOOKS[sign])
    ax.set_ylim(bottom=0)
    ax.set_ylabel("neurons")


def cells(coverage: Values, entropy: Values, edges: tuple[Values, Values]) -> Values:
    """Count the neurons with an entropy, ``[coverage, entropy]``."""
    seen = np.isfinite(entropy)
    return np.asarray(np.histogram2d(coverage[seen], entropy[seen], edges)[0])


def density(ax: Axes, counts: Values, edges: tuple[Values, Values], largest: float) -> QuadMesh:
    """Draw ``counts[coverage, entropy]`` on a logarithmic colour scale; zero is white."""
    colours = style.colour_map().with_extremes(bad="white")
    norm = LogNorm(1, max(largest, 2))
    cells = np.ma.masked_equal(counts.T, 0)
    ax.grid(visible=False)
    ax.set_ylim(0, 1.04 * edges[1][-1])
    return ax.pcolormesh(*edges, cells, cmap=colours, norm=norm, rasterized=True)


def described(entropy: Values, coverage: Values, least: float) -> str:
    """Say how many neurons have enough coverage to be ranked, and how many have none."""
    enough, unseen = int((coverage >= least).sum()), int((~np.isfinite(entropy)).sum())
    return f"{enough:,} of {entropy.size:,} covered enough, {unseen:,} not at all"


FIGURES: dict[str, style.Draw] = {"entropy_and_coverage": entropy_and_coverage}
