"""Figures 8 to 14: the languages and the tokens of selected neurons."""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import Dataset

from neuroglot.analyses.lexicon.figures.notes import FEWEST, SIGNS, text_of
from neuroglot.figures import fonts, series, sheets, style
from neuroglot.figures.series import Look, Series

NEURONS, LANGUAGES = 6, 5
"""The most neurons, and the most languages of each, that are drawn."""
ROW, LINES, INCHES, POINTS = 1.05, 4, 3.2, 7
"""Inches of a neuron's row; lines of its tokens, their width and their size."""
LOOKS = {
    "association": Look("probability association, uniform prior", "#4477AA"),
    "tfidf": Look("TF-IDF, divided by its sum", "#EE6677", marker="D", filled=False),
}
TOO_FEW = "From so few, its languages cannot be told."


@style.styled
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
    if not chosen:
        least = f"{ds.attrs['minimum_coverage']:.0%}"
        return style.empty(f"no neuron has {least} of its top tokens in the text")
    figure = sheets.sheet(1.2 + ROW * len(chosen), 2)
    grid = figure.subplots(len(chosen), 2, squeeze=False, sharex="col", width_ratios=(1, 2.4))
    for (ax, beside), neuron in zip(grid, chosen, strict=True):
        names, values = largest(neuron)
        for share, look, side in zip(values, LOOKS.values(), (-0.15, 0.15), strict=True):
            places = np.arange(len(names)) + side
            ax.plot(share, places, linestyle="none", clip_on=False, **sheets.point(look))
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(LANGUAGES + 0.6, -0.6)
        ax.tick_params(axis="y", length=0)
        beside.set_axis_off()
        within: Any = {"transform": beside.transAxes, "verticalalignment": "top"}
        beside.text(0, 1, described(neuron), fontsize=POINTS, parse_math=False, **within)
    sheets.as_shares([*grid[:, 0]], "x")
    sheets.guide([*grid[:, 0]], 1 / ds.sizes["language"], "x", linestyle="--")
    grid[-1, 0].set_xlabel("share of the association or TF-IDF")
    sheets.legend(figure, sheets.point_handles(Series("measure", LOOKS)))
    subject = f"lowest entropy, {SIGNS.label(sign)}" if sign else "highest entropy"
    sheets.title(
        figure,
        ds,
        f"neurons of {subject}",
        f"{text_of(ds)}; brackets: 95 % intervals; dashed: even",
    )
    return figure


def choose(ds: Dataset, sign: str) -> list[Dataset]:
    """Select the drawn neurons under the uniform prior."""
    picked = ds["drawn"].sel(sign=[sign]) if sign else ds["drawn_highest"].expand_dims("place", 1)
    uniform = ds.drop_vars(["drawn", "drawn_highest"]).sel(prior="uniform")
    each = [
        uniform.sel(sign=one).isel(neuron=neuron).assign_coords(neuron=neuron)
        for one in picked["sign"].values
        for neuron in picked.sel(sign=one).values.tolist()
        if neuron >= 0
    ]
    return [one for one in each if style.present(one["association"])][:NEURONS]


def largest(neuron: Dataset) -> tuple[list[str], NDArray[np.float64]]:
    """Name a neuron's most associated languages and the rest; give shares ``[measure, name]``."""
    total = neuron["tfidf"].sum()
    values = np.stack([neuron["association"], neuron["tfidf"] / total.where(total > 0)])
    count = min(LANGUAGES, int((values[0] > 0).sum()))
    order = np.argsort(-values[0], kind="stable")
    names = [name(neuron.isel(language=at)) for at in order[:count]]
    rest = [f"{order.size - count} other languages"] if order.size > count else []
    groups = np.add.reduceat(values[:, order], np.arange(count + len(rest)), axis=1)
    return names + rest, groups


def name(one: Dataset) -> str:
    """The name of one language, with its genus if this is another word."""
    label = series.languages(one.expand_dims("language")).label(str(one["language"].values))
    genus = str(one["genus"].values)
    return label if genus in label else f"{label}, {genus}"


def described(neuron: Dataset) -> str:
    """Head a neuron's row: its entropy, its coverage, and its first tokens, strongest first."""

    def bounded(name: str, form: str) -> str:
        value, low, high = (f"{float(neuron[f'{name}{e}']):{form}}" for e in ("", "_low", "_high"))
        return f"{value} ({low}–{high})"

    sign, most = str(neuron["sign"].values), np.log2(neuron.sizes["language"])
    bits, seen = bounded("entropy", "z.2f"), bounded("coverage", ".0%")
    lines = [
        f"neuron {int(neuron['neuron'])}, {SIGNS.label(sign)}: entropy {bits} of {most:.2f} bits",
        f"{seen} of its top tokens are in the text:",
    ]
    texts = map(str, neuron["top_text"].values)
    return "\n".join([*lines, *fonts.filled(texts, POINTS, INCHES, LINES)])


def finding(ds: Dataset, sign: str) -> str:
    """Say of the first neuron what its entropy and its languages are."""
    chosen = choose(ds, sign)
    if not chosen:
        return ""
    first, tokens, most = chosen[0], ds.sizes["rank"], np.log2(ds.sizes["language"])
    seen = round(float(first["coverage"]) * tokens)
    names, values = largest(first)
    told = f"Its association is largest with {names[0]} ({values[0, 0]:.0%})."
    return (
        f"Neuron {int(first['neuron'])} has the {'lowest' if sign else 'highest'} entropy, "
        f"{float(first['entropy']):z.2f} of {most:.2f} bits, on the {seen} of its {tokens} top "
        f"tokens that are in the text. {told if seen >= FEWEST else TOO_FEW}"
    )


FIGURES = {
    stem: style.Drawing(partial(neurons, sign=sign), partial(finding, sign=sign))
    for stem, sign in (
        ("figure_08_lowest_entropy_positive", "positive"),
        ("figure_10_lowest_entropy_negative", "negative"),
        ("figure_14_highest_entropy", ""),
    )
}
