"""Section 5.1: the neurons' most associated languages under each prior."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.text import title
from neuroglot.figures import panels, style

SHOWN = 20
LINE = 0.21
HOLLOW: dict[str, Any] = {
    "markersize": 8,
    "markerfacecolor": "white",
    "markeredgewidth": 1.6,
    "clip_on": False,
}
CORPUS = "share of neurons, corpus prior"
UNIFORM = "share of neurons, uniform prior"
TOKENS = "share of the text's tokens"


@style.styled
def prior(ds: Dataset) -> Figure:
    """Share of neurons by most associated language, against the language's share of the text.

    Args:
        ds: ``top_language_share(prior, language)``, a share of the neurons of both signs, with
            ``_low`` and ``_high``; ``tokens(language)``, the counted tokens.
    """
    if not style.present(ds["top_language_share"]):
        return style.empty("no top token of any neuron is in the text")
    shares = ds["top_language_share"].transpose("prior", "language").fillna(0)
    uniform, corpus = shares.sel(prior="uniform").values, shares.sel(prior="corpus").values
    tokens = (ds["tokens"] / ds["tokens"].sum()).values
    order = largest_first(np.maximum(uniform, corpus))
    places = np.arange(order.size)
    figure = panels.page(7.2, 1.7 + LINE * order.size)
    ax = figure.subplots()
    low, high = np.minimum(uniform, corpus)[order], np.maximum(uniform, corpus)[order]
    ax.hlines(places, low, high, color="#AAAAAA", linewidth=1.2, zorder=1)
    for one, shift, colour in (("uniform", -0.2, style.HUES[0]), ("corpus", 0.2, style.HUES[1])):
        ends = [ds[f"top_language_share_{end}"].sel(prior=one).values for end in ("low", "high")]
        ax.hlines(places + shift, ends[0][order], ends[1][order], color=colour, linewidth=1.0)
        high = np.fmax(high, ends[1][order])
    ax.plot(corpus[order], places, "D", color=style.HUES[1], label=CORPUS, **HOLLOW)
    ax.plot(uniform[order], places, "o", color=style.HUES[0], label=UNIFORM, clip_on=False)
    ax.plot(tokens[order], places, "|", color="black", markersize=13, label=TOKENS)
    names = style.Languages.of(ds).names
    ids = [str(language) for language in ds["language"].values[order]]
    ax.set_yticks(places, [names[language] for language in ids])
    ax.set_ylim(order.size - 0.4, -0.6)
    largest = float(max(high.max(), tokens[order].max()))
    ax.set_xlim(-0.02 * largest, 1.04 * largest)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))
    ax.set_xlabel("share of neurons whose most associated language it is, or of all tokens")
    figure.legend(loc="outside lower center", ncols=3)
    count, of = order.size, ds.sizes["language"]
    which = f"{count} of {of} languages" if count < of else f"{of} languages"
    title(figure, ds, f"most associated language under either prior, {which}")
    return figure


def largest_first(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the ``SHOWN`` largest ``values[language]``, largest first."""
    return np.argsort(-values, kind="stable")[:SHOWN]


FIGURES: dict[str, style.Draw] = {"section_5_1_prior": prior}
