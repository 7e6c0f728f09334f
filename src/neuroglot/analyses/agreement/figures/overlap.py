"""Overlap between the neurons that methods name for a language, compared with chance."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from neuroglot.figures import heat, series, sheets, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.texts import counted

NAMES = {"lape": "LAPE", "type1": "type 1", "type2": "type 2"}
SIGNIFICANT = 0.05
DOT = 0.02
"""Inches from a language's dot to the next one's."""


@style.styled
def agreement_by_language(ds: xr.Dataset) -> Figure:
    """One strip per two methods, one dot per language: overlap over all layers, against chance.

    Args:
        ds: ``jaccard_all``, ``expected_all`` and ``p_value_holm``
            ``(method, method_other, language)``, ``neurons(method, language, layer)``.
    """
    drawn = over_layers(ds)
    if not drawn.sizes["pair"]:
        return style.empty("no two methods name neurons for the same language in the same layers")
    languages, rows = series.languages(ds), np.arange(drawn.sizes["pair"])
    figure = sheets.sheet(1.5 + max(0.24, DOT * len(languages)) * rows.size, 2)
    ax = figure.subplots()
    for place, tag in enumerate(languages):
        of_language = drawn.sel(language=tag)
        y = rows + 0.8 * ((place + 0.5) / len(languages) - 0.5)
        for filled in (True, False):
            shown = of_language["ratio"].where(of_language["significant"] == filled)
            look = replace(languages.looks[tag], filled=filled)
            ax.plot(shown, y, linestyle="none", **sheets.point(look))
    for row in rows[::2]:
        ax.axhspan(row - 0.5, row + 0.5, color=sheets.STRIPE, linewidth=0, zorder=0)
    sheets.guide([ax], 1, "x", color="black")
    ratios = drawn["ratio"].values
    least = 10 ** np.floor(np.log10(np.min(ratios[ratios > 0], initial=0.1)))
    ax.set_xscale("symlog", linthresh=least, linscale=0.4, subs=(2, 5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    ax.set_xlim(left=-0.1 * least)
    ax.set_yticks(rows, drawn["pair"].values)
    ax.set_ylim(rows.size - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("overlap, observed ÷ expected by chance (0: no neuron of both)")
    sheets.legend(figure, sheets.point_handles(languages))
    filled_if = f"filled: more than by chance (p < {SIGNIFICANT:g} after Holm)"
    sheets.title(figure, ds, "neurons that two methods name alike", f"{about(ds)}\n{filled_if}")
    return figure


@style.styled
def agreement_by_layer(ds: xr.Dataset) -> Figure:
    """Overlap of every two methods by layer, against chance: pairs down, layers across.

    A cell is the mean over languages of the overlap divided by the mean of the expected overlap.
    Pairs of methods with neurons in only one common layer are left out.

    Args:
        ds: ``jaccard`` and ``expected_jaccard`` ``(method, method_other, language, layer)``,
            ``neurons(method, language, layer)``.
    """
    ratio = by_layer(ds)
    if not ratio.sizes["pair"]:
        return style.empty("no two methods name neurons in the same two layers")
    axis, pairs = LayerAxis.of(ds), [str(pair) for pair in ratio["pair"].values]
    powers: xr.DataArray = xr.apply_ufunc(np.log2, ratio.where(ratio != 0, 1))
    scale = heat.Scale.of(powers.values, "observed ÷ expected", signed=True)
    rows = Series("pair", {pair: Look(pair, "black") for pair in pairs})
    figure = heat.by_layer(powers, axis, rows, scale)
    *panels, bar = figure.axes
    bar.yaxis.set_major_locator(sheets.whole_numbers(5))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{2**power:.2g}"))
    for ax, stack in zip(panels, axis.stacks, strict=True):
        for row, column in np.argwhere((ratio == 0).values[:, stack.layers]):
            ax.text(column + 0.5, row + 0.5, "0", ha="center", va="center", fontsize=7)
    note = f"{about(ds)}\nmean of languages; 0: no neuron of both; grey: nothing to compare"
    sheets.title(figure, ds, "neurons that two methods name alike, by layer", note)
    return figure


def paired(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Variables of every two methods once, along ``pair`` instead of the methods."""
    pairs = [*combinations(ds["method"].values.tolist(), 2)]
    parts = [ds[[*names]].sel({"method": a, "method_other": b}, drop=True) for a, b in pairs]
    labels = [" and ".join(NAMES.get(name, name) for name in pair) for pair in pairs]
    return xr.concat(parts, pd.Index(labels, name="pair"))


def over_layers(ds: xr.Dataset) -> xr.Dataset:
    """Give ``ratio(pair, language)`` to chance, and whether it is ``significant``."""
    found = paired(ds, "jaccard_all", "expected_all", "p_value_holm")
    ratio = found["jaccard_all"] / found["expected_all"]
    both = xr.Dataset({"ratio": ratio, "significant": found["p_value_holm"] < SIGNIFICANT})
    return both.sel(pair=ratio.notnull().any("language"))


def by_layer(ds: xr.Dataset) -> xr.DataArray:
    """Give the ratio to chance ``(pair, layer)`` of the pairs that meet in two or more layers."""
    mean = paired(ds, "jaccard", "expected_jaccard").mean("language")
    ratio = (mean["jaccard"] / mean["expected_jaccard"]).transpose("pair", "layer")
    return ratio.sel(pair=ratio.notnull().sum("layer") > 1)


def about(ds: xr.Dataset) -> str:
    """Say how many neurons each method names for a language."""
    sizes = ds["neurons"].sum("layer").transpose("method", "language")
    named = [
        counted(row.values, f"by {NAMES.get(str(method), str(method))}")
        for method, row in zip(ds["method"].values, sizes, strict=True)
        if row.any()
    ]
    return f"neurons named for a language: {', '.join(named)}"


def finding_by_language(ds: xr.Dataset) -> str:
    """Say which two methods agree most, and how many comparisons are significant."""
    drawn = over_layers(ds)
    if not drawn.sizes["pair"]:
        return ""
    compared = int(drawn["ratio"].notnull().sum())
    if not drawn["significant"].any():
        return f"None of {compared} comparisons has more overlap than chance gives."
    telling = drawn["significant"].any("language")
    median = drawn["ratio"].median("language").where(telling).to_series()
    return (
        f"{int(drawn['significant'].sum())} of {compared} comparisons have more overlap than "
        f"chance gives; by the median of languages, {median.idxmax()} have the most, "
        f"{median.max():.3g} times chance."
    )


def finding_by_layer(ds: xr.Dataset) -> str:
    """Say what is usual, and in how many layers nothing is shared."""
    ratio = by_layer(ds)
    if not ratio.sizes["pair"]:
        return ""
    return (
        f"Over {int(ratio.notnull().sum())} pairs of methods in a layer, the median is "
        f"{float(ratio.median()):.3g} times chance; in {int((ratio == 0).sum())} of them no "
        "neuron is named by both methods."
    )


FIGURES: dict[str, style.Drawing] = {
    "agreement_by_language": style.Drawing(agreement_by_language, finding_by_language),
    "agreement_by_layer": style.Drawing(agreement_by_layer, finding_by_layer),
}
