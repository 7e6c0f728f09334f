"""Entropy of the neurons, and coverage: the share of their top tokens in the text."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.notes import SIGNS, text_of
from neuroglot.figures import heat, sheets
from neuroglot.figures.findings import FEWEST
from neuroglot.figures.style import Drawing, require

BINS = 40
ENTROPY, COVERAGE = "entropy (bits, uniform prior)", "share of top tokens in the text"


def entropy_and_coverage(ds: Dataset) -> Figure:
    """Histograms of entropy and of coverage above, entropy against coverage by sign below.

    Args:
        ds: ``entropy(prior, sign, neuron)`` in bits, NaN where no top token was seen;
            ``coverage(sign, neuron)``; ``attrs["minimum_coverage"]``.
    """
    table, tokens = by_neuron(ds), ds.sizes["rank"]
    most, least = np.log2(ds.sizes["language"]), ds.attrs["minimum_coverage"]
    each = -(-(tokens + 1) // BINS)  # possible shares in a bin, as many in every one
    shares = (np.arange(0, tokens + 1 + each, each) - 0.5) / tokens
    bits = np.linspace(0, max(most, 0.1), BINS + 1)
    figure = sheets.sheet(5.4)
    above, below = figure.subplots(2, 2)
    look: Any = {"element": "step", "fill": False, "palette": SIGNS.values("color")}
    for ax, name, edges in zip(above, (ENTROPY, COVERAGE), (bits, shares), strict=True):
        sns.histplot(table, x=name, hue="sign", bins=edges, legend=False, ax=ax, **look)
        ax.set_ylabel("neurons")
    limits = (1, 2 + len(table) / BINS)
    scale = heat.Scale.of(np.array([len(table)]), "neurons", log=True, limits=limits)
    white = scale.cmap.with_extremes(bad="white")
    look = {"norm": scale.norm, "cmap": white, "vmin": None, "vmax": None}
    for ax, (sign, part) in zip(below, table.groupby("sign", sort=False), strict=True):
        sns.histplot(part, x=COVERAGE, y=ENTROPY, bins=(shares, bits), ax=ax, **look)
        ax.set_title(SIGNS.label(str(sign)))
        ax.grid(visible=False)
    scale.bar(figure, below, ticks=(1, 3, 10, 30, 100, 300, 1000), format="{x:g}")
    by_coverage = [above[1], *below]
    sheets.as_shares(by_coverage, "x", whole=False)
    sheets.guide(by_coverage, least, "x", linestyle=":", zorder=2)
    sheets.guide(above[:1], most, "x", linestyle="--")
    sheets.guide(below, most, linestyle="--", zorder=2)
    sheets.legend(figure, SIGNS, points=False, lines=True)
    note = f"{text_of(ds)}; dashed: even; dotted: least coverage to be ranked"
    return sheets.title(figure, ds, "neurons of the last layer", note)


def by_neuron(ds: Dataset) -> DataFrame:
    """Make a table with columns ``sign``, ENTROPY under the uniform prior, and COVERAGE."""
    bits = ds["entropy"].sel(prior="uniform", drop=True).clip(0, np.log2(ds.sizes["language"]))
    require(bits, "no top token of any neuron is in the text")
    return Dataset({ENTROPY: bits, COVERAGE: ds["coverage"]}).to_dataframe().reset_index()


def finding(ds: Dataset) -> str:
    """Say how many lists of tokens are covered, and what their median entropy is."""
    table = by_neuron(ds)
    bits = table[table[COVERAGE] >= ds.attrs["minimum_coverage"]][ENTROPY].dropna()
    start = f"{len(bits):,} of {len(table):,} lists of top tokens are covered enough to be ranked"
    if len(bits) < FEWEST:
        return f"{start}, too few to tell how their entropies are distributed."
    most = np.log2(ds.sizes["language"])
    return f"{start}; their median entropy is {bits.median():.2f} of {most:.2f} bits."


FIGURES = {"entropy_and_coverage": Drawing(entropy_and_coverage, finding)}
