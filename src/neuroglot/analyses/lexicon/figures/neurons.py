"""Figures 8 to 14: the languages of selected neurons, by probability and by TF-IDF."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.analyses.lexicon.figures.text import SMALL, title, token_lines
from neuroglot.figures import families, panels, style

SHOWN = 12
BAR = 0.165
AROUND_BARS = 1.2
PANEL_WIDTH = 4.1
TOKEN_LINES, TOKEN_INCHES = 3, 2.7
STEPS = (1, 2, 2.5, 5, 10)
EVEN: dict[str, Any] = {"color": "#555555", "linestyle": "--", "linewidth": 1.0}
LABELS = ("probability association (uniform prior)", "TF-IDF, summed over the top tokens")
ENDS = ("", "_low", "_high")

Neuron = tuple[str, int]


@style.styled
def lowest_entropy(ds: Dataset, sign: str) -> Figure:
    """Draw the neurons of one sign whose top tokens have the lowest entropy over languages.

    Figures 8, 9, 12 and 13 show positive weights; figures 10 and 11 show negative weights.

    Args:
        ds: ``drawn(sign, place)``, -1 for none; ``association(prior, sign, neuron, language)``,
            ``tfidf(sign, neuron, language)``, ``entropy(prior, sign, neuron)`` in bits and
            ``coverage(sign, neuron)``, both with ``_low`` and ``_high``,
            ``top_text(sign, neuron, shown)``; coordinates ``family(language)`` and
            ``genus(language)``; ``attrs["minimum_coverage"]``.
        sign: ``positive``, the tokens whose logits the neuron raises, or ``negative``, the tokens
            whose logits it lowers.
    """
    chosen = [(sign, int(neuron)) for neuron in ds["drawn"].sel(sign=sign).values]
    return languages_of(ds, chosen, f"neurons of lowest entropy, {sign} weights")


@style.styled
def highest_entropy(ds: Dataset) -> Figure:
    """Figure 14: for each sign, the neuron whose top tokens have the highest entropy.

    Args:
        ds: as for ``lowest_entropy``, with ``drawn_highest(sign)``, -1 for none.
    """
    signs = [str(sign) for sign in ds["sign"].values]
    chosen = [(sign, int(ds["drawn_highest"].sel(sign=sign))) for sign in signs]
    return languages_of(ds, chosen, "neuron of highest entropy of each sign")


def languages_of(ds: Dataset, chosen: Sequence[Neuron], subject: str) -> Figure:
    """One row per neuron: its languages by probability on the left, by TF-IDF on the right."""
    measured = {one: both_measures(ds, *one) for one in chosen if one[1] >= 0}
    neurons = [one for one, (association, _) in measured.items() if style.present(association)]
    if not neurons:
        least = f"{ds.attrs['minimum_coverage']:.0%}"
        return style.empty(f"no neuron has {least} of its top tokens in the text")
    values = [measured[one] for one in neurons]
    groups = families.groups(ds)
    drawn = {
        groups[str(language)]
        for row in values
        for one in row
        for language in one["language"].values[strongest(one.values)]
    }
    even = Line2D([], [], label=f"even over {ds.sizes['language']} languages", **EVEN)
    handles = [*families.handles(drawn), even]
    most_bars = [max(1, *(len(strongest(one.values)) for one in row)) for row in values]
    height = BAR * sum(most_bars) + AROUND_BARS * len(neurons)
    figure, body = panels.sheet(2 * PANEL_WIDTH, height, handles)
    axes = body.subplots(len(neurons), 2, squeeze=False, height_ratios=most_bars)
    largest = max(float(probability.max()) for probability, _ in values)
    for row, measures, neuron, count in zip(axes, values, neurons, most_bars, strict=True):
        for ax, one, label in zip(row, measures, LABELS, strict=True):
            bars(ax, one, ds, groups)
            ax.set_ylim(count - 0.4, -0.6)
            ax.set_xlabel(label)
        row[0].axvline(1 / ds.sizes["language"], **EVEN)
        row[0].set_xlim(0, 1.03 * largest)
        row[0].set_title(heading(ds, *neuron), loc="left")
        row[1].set_title(top_tokens(ds, *neuron), loc="left", fontsize=SMALL, parse_math=False)
    title(figure, ds, subject)
    return figure


def both_measures(ds: Dataset, sign: str, neuron: int) -> tuple[DataArray, DataArray]:
    """Select a neuron's ``association(language)``, uniform prior, and ``tfidf(language)``."""
    association = ds["association"].sel(prior="uniform", sign=sign).isel(neuron=neuron)
    return association, ds["tfidf"].sel(sign=sign).isel(neuron=neuron)


def strongest(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the largest positive ``values[language]``, largest first."""
    order = np.argsort(-values, kind="stable")[:SHOWN]
    return order[values[order] > 0]


def bars(ax: Axes, values: DataArray, ds: Dataset, groups: dict[str, str]) -> None:
    """Draw the largest ``values(language)`` as bars, largest on top, in their families' looks."""
    names = style.Languages.of(ds).names
    order = strongest(values.values)
    languages = [str(language) for language in values["language"].values[order]]
    for place, language in enumerate(languages):
        height = float(values.values[order[place]])
        ax.barh(place, height, height=0.8, **families.look(groups[language]).patch())
    ax.set_yticks(range(len(languages)), [names[language] for language in languages])
    if not languages:
        ax.text(0.5, 0.5, "zero for every language", ha="center", transform=ax.transAxes)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=STEPS))


def heading(ds: Dataset, sign: str, neuron: int) -> str:
    """Name the neuron, with its entropy, its coverage and their intervals."""
    one = ds.sel(prior="uniform", sign=sign).isel(neuron=neuron)
    entropy, *of_entropy = (float(one[f"entropy{end}"]) for end in ENDS)
    coverage, *of_coverage = (100 * float(one[f"coverage{end}"]) for end in ENDS)
    return (
        f"neuron {neuron}, {sign} weights\n"
        f"entropy {entropy:z.2f} ({of_entropy[0]:z.2f}–{of_entropy[1]:z.2f}) "
        f"of {np.log2(ds.sizes['language']):.2f} bits\n"
        f"{coverage:.0f}% ({of_coverage[0]:.0f}–{of_coverage[1]:.0f}%) of top tokens in the text"
    )


def top_tokens(ds: Dataset, sign: str, neuron: int) -> str:
    """The neuron's first top tokens that the fonts can draw and that fit the panel."""
    texts = [str(text) for text in ds["top_text"].sel(sign=sign).isel(neuron=neuron).values]
    lines = token_lines("top tokens:", texts, TOKEN_LINES, TOKEN_INCHES)
    return lines or "top tokens: in scripts not drawn here, see the table"


FIGURES: dict[str, style.Draw] = {
    "figure_08_lowest_entropy_positive": partial(lowest_entropy, sign="positive"),
    "figure_10_lowest_entropy_negative": partial(lowest_entropy, sign="negative"),
    "figure_14_highest_entropy": highest_entropy,
}
