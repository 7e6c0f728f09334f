"""Figures 8 to 14: the languages and the tokens of selected neurons."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.notes import SIGNS, text_of
from neuroglot.figures import fonts, series, sheets
from neuroglot.figures.findings import FEWEST
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw

NEURONS, LANGUAGES = 6, 5
"""The most neurons, and the most languages of each, that are drawn."""
ROW, LINES, INCHES, POINTS = 1.05, 4, 3.2, 7
"""Inches of a neuron's row; lines of its tokens, their width and their size."""
MEASURES = Series(
    "measure",
    {
        "association": Look("probability association, uniform prior", "#4477AA"),
        "tfidf": Look("TF-IDF, divided by its sum", "#EE6677", marker="D", filled=False),
    },
)
TOO_FEW = "From so few, its languages cannot be told."


def neurons(ds: Dataset, sign: str) -> Figure:
    """Draw five languages and the rest, and write the first tokens, of each neuron.

    Args:
        ds: ``association(prior, sign, neuron, language)``, probabilities; ``tfidf(sign, neuron,
            language)``; ``entropy(prior, sign, neuron)`` in bits and ``coverage(sign, neuron)``,
            both with ``_low`` and ``_high``; ``top_text(sign, neuron, shown)``; ``drawn(sign,
            place)`` and ``drawn_highest(sign)``, numbers of neurons, -1 for none.
        sign: ``positive`` or ``negative``: the neurons of lowest entropy; ``""``: the neuron of
            highest entropy of each sign.
    """
    chosen = choose(ds, sign)
    figure = sheets.sheet(1.2 + ROW * len(chosen), 2)
    grid = figure.subplots(len(chosen), 2, squeeze=False, sharex="col", width_ratios=(1, 2.4))
    for (ax, beside), neuron in zip(grid, chosen, strict=True):
        names, values = largest(neuron)
        for shares, look, side in zip(values, MEASURES.looks.values(), (-0.15, 0.15), strict=True):
            ax.plot(shares, np.arange(len(names)) + side, clip_on=False, **look.point)
        sheets.name_rows(ax, names)
        ax.set_ylim(LANGUAGES + 0.6, -0.6)
        beside.set_axis_off()
        within: Any = {"transform": beside.transAxes, "verticalalignment": "top"}
        beside.text(0, 1, described(neuron), fontsize=POINTS, parse_math=False, **within)
    sheets.as_shares([*grid[:, 0]], "x")
    sheets.guide([*grid[:, 0]], 1 / ds.sizes["language"], "x", linestyle="--")
    grid[-1, 0].set_xlabel("share of the association or TF-IDF")
    sheets.legend(figure, MEASURES)
    subject = f"lowest entropy, {SIGNS.label(sign)}" if sign else "highest entropy"
    note = f"{text_of(ds)}; brackets: 95 % intervals; dashed: even"
    return sheets.title(figure, ds, f"neurons of {subject}", note)


def choose(ds: Dataset, sign: str) -> list[Dataset]:
    """Select the drawn neurons under the uniform prior."""
    picked = ds["drawn"].sel(sign=[sign]) if sign else ds["drawn_highest"].expand_dims("place", 1)
    uniform = ds.drop_vars(["drawn", "drawn_highest"]).sel(prior="uniform")
    neurons = [
        uniform.sel(sign=sign).isel(neuron=number).assign_coords(neuron=number)
        for sign in picked["sign"].values
        for number in picked.sel(sign=sign).values.tolist()
        if number >= 0
    ]
    known = [neuron for neuron in neurons if neuron["association"].notnull().any()]
    if not known:
        least = f"{ds.attrs['minimum_coverage']:.0%}"
        raise NothingToDraw(f"no neuron has {least} of its top tokens in the text")
    return known[:NEURONS]


def largest(neuron: Dataset) -> tuple[list[str], NDArray[np.float64]]:
    """Name a neuron's most associated languages and the rest; give shares ``[measure, name]``."""
    total = neuron["tfidf"].sum()
    values = np.stack([neuron["association"], neuron["tfidf"] / total.where(total > 0)])
    count = min(LANGUAGES, int((values[0] > 0).sum()))
    order = np.argsort(-values[0], kind="stable")
    labels, genera = series.languages(neuron).labels, neuron["genus"].values
    names = [
        labels[at] if genera[at] in labels[at] else f"{labels[at]}, {genera[at]}"
        for at in order[:count]
    ]
    rest = [f"{order.size - count} other languages"] if order.size > count else []
    groups = np.add.reduceat(values[:, order], np.arange(count + len(rest)), axis=1)
    return names + rest, groups


def called(neuron: Dataset) -> str:
    """Name a neuron by its number; of a mixture of experts by its number within its expert."""
    if "expert" not in neuron.coords:
        return f"neuron {int(neuron['neuron'])}"
    expert = int(neuron["expert"])
    within = f"expert {expert}" if expert >= 0 else "the shared experts"
    return f"neuron {int(neuron['expert_neuron'])} of {within}"


def described(neuron: Dataset) -> str:
    """Head a neuron's row: its entropy, its coverage, and its first tokens, strongest first."""

    def bounded(name: str, form: str) -> str:
        value, low, high = (f"{float(neuron[f'{name}{e}']):{form}}" for e in ("", "_low", "_high"))
        return f"{value} ({low}–{high})"

    sign, most = str(neuron["sign"].values), np.log2(neuron.sizes["language"])
    bits, seen = bounded("entropy", "z.2f"), bounded("coverage", ".0%")
    lines = [
        f"{called(neuron)}, {SIGNS.label(sign)}: entropy {bits} of {most:.2f} bits",
        f"{seen} of its top tokens are in the text:",
    ]
    texts = map(str, neuron["top_text"].values)
    return "\n".join([*lines, *fonts.filled(texts, POINTS, INCHES, LINES)])


def finding(ds: Dataset, sign: str) -> str:
    """Say of the first neuron what its entropy and its languages are."""
    first, tokens, most = choose(ds, sign)[0], ds.sizes["rank"], np.log2(ds.sizes["language"])
    seen = round(float(first["coverage"]) * tokens)
    names, values = largest(first)
    told = f"Its association is largest with {names[0]} ({values[0, 0]:.0%})."
    return (
        f"{called(first).capitalize()} has the {'lowest' if sign else 'highest'} entropy, "
        f"{float(first['entropy']):z.2f} of {most:.2f} bits, on the {seen} of its {tokens} top "
        f"tokens that are in the text. {told if seen >= FEWEST else TOO_FEW}"
    )


FIGURES = {
    "figure_08_lowest_entropy_positive": Drawing(neurons, finding, sign="positive"),
    "figure_10_lowest_entropy_negative": Drawing(neurons, finding, sign="negative"),
    "figure_14_highest_entropy": Drawing(neurons, finding, sign=""),
}
