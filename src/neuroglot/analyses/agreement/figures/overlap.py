"""Overlap between the neurons that methods name for a language, compared with chance."""

from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from neuroglot.figures import heat, points, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted
from neuroglot.tables import tidy, valued

NAMES = {"lape": "LAPE", "type1": "type 1", "type2": "type 2"}
SIGNIFICANT = 0.05


def agreement_by_language(ds: xr.Dataset) -> Figure:
    """One strip per two methods, one dot per language: overlap over all layers, against chance.

    Args:
        ds: ``jaccard_all``, ``expected_all`` and ``p_value_holm``
            ``(method, method_other, language)``, ``neurons(method, language, layer)``.
    """
    ratios, languages = over_layers(ds), series.languages(ds)
    table = valued(ratios, "ratio").merge(tidy(ratios[["by_chance"]]))
    label = "overlap, observed ÷ expected by chance (0: no neuron of both)"
    figure = points.by_level(
        table,
        Series.of("pair", ratios["pair"].values),
        languages,
        label,
        hollow="by_chance",
        margin=1.5,
        apart=max(0.02, 0.24 / len(languages)),
        wide=True,
    )
    (ax,) = figure.axes
    sheets.guide([ax], 1, "x", color="black")
    positive = table["value"][table["value"] > 0]
    least = 10 ** np.floor(np.log10(min([0.1, *positive])))
    ax.set_xscale("symlog", linthresh=least, linscale=0.4, subs=(2, 5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    ax.set_xlim(left=-0.1 * least)
    filled_if = f"filled: more than by chance (p < {SIGNIFICANT:g} after Holm)"
    return sheets.title(
        figure, ds, "neurons that two methods name alike", f"{about(ds)}\n{filled_if}"
    )


def agreement_by_layer(ds: xr.Dataset) -> Figure:
    """Overlap of every two methods by layer, against chance: pairs down, layers across.

    A cell is the mean over languages of the overlap divided by the mean of the expected overlap.
    Pairs of methods with neurons in only one common layer are left out.

    Args:
        ds: ``jaccard`` and ``expected_jaccard`` ``(method, method_other, language, layer)``,
            ``neurons(method, language, layer)``.
    """
    ratio, axis = by_layer(ds), LayerAxis.of(ds)
    powers: xr.DataArray = xr.apply_ufunc(np.log2, ratio.where(ratio != 0, 1))
    scale = heat.Scale.of(powers.values, "observed ÷ expected", signed=True)
    figure = heat.by_layer(powers, axis, Series.of("pair", ratio["pair"].values), scale)
    *panels, bar = figure.axes
    bar.yaxis.set_major_locator(sheets.whole_numbers(5))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda power, _: f"{2**power:.2g}"))
    for ax, layers in zip(panels, axis.stacks.values(), strict=True):
        for row, column in np.argwhere((ratio == 0).values[:, layers]):
            ax.text(column + 0.5, row + 0.5, "0", ha="center", va="center", fontsize=7)
    note = f"{about(ds)}\nmean of languages; 0: no neuron of both; grey: nothing to compare"
    return sheets.title(figure, ds, "neurons that two methods name alike, by layer", note)


def paired(ds: xr.Dataset, *names: str) -> xr.Dataset:
    """Variables of every two methods once, along ``pair`` instead of the methods."""
    pairs = [*combinations(ds["method"].values.tolist(), 2)]
    parts = [ds[[*names]].sel({"method": a, "method_other": b}, drop=True) for a, b in pairs]
    labels = [" and ".join(NAMES.get(name, name) for name in pair) for pair in pairs]
    return xr.concat(parts, pd.Index(labels, name="pair"))


def over_layers(ds: xr.Dataset) -> xr.Dataset:
    """Give ``ratio(pair, language)`` to chance, and whether this may be ``by_chance``."""
    values = paired(ds, "jaccard_all", "expected_all", "p_value_holm")
    ratio = values["jaccard_all"] / values["expected_all"]
    require(ratio, "no two methods name neurons for the same language in the same layers")
    by_chance = ~(values["p_value_holm"] < SIGNIFICANT)
    kept = ratio.notnull().any("language")
    return xr.Dataset({"ratio": ratio, "by_chance": by_chance}).sel(pair=kept)


def by_layer(ds: xr.Dataset) -> xr.DataArray:
    """Give the ratio to chance ``(pair, layer)`` of the pairs that meet in two or more layers."""
    mean = paired(ds, "jaccard", "expected_jaccard").mean("language")
    ratio = (mean["jaccard"] / mean["expected_jaccard"]).transpose("pair", "layer")
    ratio = ratio.sel(pair=ratio.notnull().sum("layer") > 1)
    require(ratio, "no two methods name neurons in the same two layers")
    return ratio


def about(ds: xr.Dataset) -> str:
    """Say how many neurons each method names for a language."""
    sizes = ds["neurons"].sum("layer").transpose("method", "language")
    by_method = [
        counted(counts.values, f"by {NAMES.get(method, method)}")
        for method, counts in zip(ds["method"].values.tolist(), sizes, strict=True)
        if counts.any()
    ]
    return f"neurons named for a language: {', '.join(by_method)}"


def finding_by_language(ds: xr.Dataset) -> str:
    """Say which two methods agree most, and how many comparisons are significant."""
    ratios = over_layers(ds)
    compared, significant = int(ratios["ratio"].notnull().sum()), ~ratios["by_chance"]
    if not significant.any():
        return f"None of {compared} comparisons has more overlap than chance gives."
    telling = significant.any("language")
    median = ratios["ratio"].median("language").where(telling).to_series()
    return (
        f"{int(significant.sum())} of {compared} comparisons have more overlap than chance gives; "
        f"by the median of languages, {median.idxmax()} have the most, "
        f"{median.max():.3g} times chance."
    )


def finding_by_layer(ds: xr.Dataset) -> str:
    """Say what is usual, and in how many layers nothing is shared."""
    ratio = by_layer(ds)
    return (
        f"Over {int(ratio.notnull().sum())} pairs of methods in a layer, the median is "
        f"{float(ratio.median()):.3g} times chance; in {int((ratio == 0).sum())} of them no "
        "neuron is named by both methods."
    )


FIGURES = {
    "agreement_by_language": Drawing(agreement_by_language, finding_by_language),
    "agreement_by_layer": Drawing(agreement_by_layer, finding_by_layer),
}
