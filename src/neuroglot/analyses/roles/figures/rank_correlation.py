"""Figures 12 and 13: rank correlation between languages of each layer's neurons."""

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset, concat

from neuroglot.analyses.roles.figures.pairs import PAIR, compared
from neuroglot.figures import heat, series, sheets, style
from neuroglot.figures.findings import extremes
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.texts import corpora_of

NAME = "rank_correlation"
UNIT = "Spearman rank correlation"
MOST_WRITTEN, MOST_ABREAST, MOST_PAIRS = 5, 14, 54
"""Languages with numbers in the cells; with three matrices abreast; pairs that fit on a page."""


@style.styled
def rank_correlation(ds: Dataset, site: str) -> Figure:
    """Matrices of the first, middle and last layer, in the order of a tree, for the first text.

    Many languages leave room for the middle and the last layer only. The tree, and so the order,
    is of the mean over sites and layers.

    Args:
        ds: ``rank_correlation(site, corpus, language_a, language_b, layer)``.
        site: ``act`` for figure 12, ``out`` for figure 13.
    """
    values = compared(ds, NAME, ["act", "out"])
    if not values[NAME].size:
        return style.empty(f"no two languages with ranks of {style.SITES[site]}")
    first = values[NAME].isel(corpus=0).dropna(PAIR[0], how="all").dropna(PAIR[1], how="all")
    mean = first.mean(["site", "layer"]).values
    tree, order = heat.tree_of(mean), heat.order_of(mean)
    drawn = first.sel(site=site).isel(language_a=order, language_b=order)
    axis, chosen = LayerAxis.of(ds), LayerAxis.of(ds).chosen()
    chosen = chosen if len(chosen) <= 3 else chosen[1::2]
    chosen = chosen if len(order) <= MOST_ABREAST else chosen[-2:]
    named = series.languages(values, PAIR[0])
    names = [named.label(str(language)) for language in drawn[PAIR[0]].values]
    side = heat.side(len(names), written=False)
    figure = sheets.sheet(1.8 + side + 0.06 * max(map(len, names)), 2)
    grid = figure.subplots(2, len(chosen), squeeze=False, height_ratios=[0.35, side])
    scale = heat.Scale.of(drawn.isel(layer=[*chosen]).values, UNIT)
    form = ".2f" if len(names) <= MOST_WRITTEN else None
    for place, layer in enumerate(chosen):
        heat.draw_tree(grid[0, place], tree)
        cells = drawn.isel(layer=layer).values
        heat.matrix(grid[1, place], cells, [] if place else names, names, scale, form, lower=True)
        grid[1, place].set_xlabel(axis.name(layer))
    scale.bar(figure, grid[1])
    subject = f"{style.SITES[site]}, rank correlation on {first['corpus'].item()}"
    sheets.title(figure, ds, subject, "Tree: mean over layers and sites.")
    return figure


@style.styled
def all_pairs(ds: Dataset, site: str) -> Figure:
    """Every pair of languages by layer, the most similar of the first text on top.

    Of more than 54 pairs, the 27 most and the 27 least similar are drawn.
    """
    values = pairs_of(ds, site)
    panels = corpora_of(values.to_dataset(name=NAME), NAME)
    if not panels:
        return style.empty(f"no two languages with ranks of {style.SITES[site]}")
    ids = values["pair"].values
    half = MOST_PAIRS // 2 if len(ids) > MOST_PAIRS else len(ids)
    note = f"The {half} most and {half} least alike of {len(ids)} pairs." if half < len(ids) else ""
    named = series.languages(ds, PAIR[0])
    names = (" – ".join(map(named.label, pair.split())) for pair in ids)
    looks = {pair: Look(name, "") for pair, name in zip(ids, names, strict=True)}
    shown = Series("pair", looks).only([*ids[:half], *ids[-half:]])
    scale = heat.Scale.of(values.sel(pair=[*shown]).values, UNIT)
    figure = heat.by_layer(values, LayerAxis.of(ds), shown, scale, panels)
    sheets.title(figure, ds, f"{style.SITES[site]}, rank correlation of every pair", note)
    return figure


def pairs_of(ds: Dataset, site: str) -> DataArray:
    """``(pair, corpus, layer)`` of the first text's pairs, the most similar first."""
    values = compared(ds, NAME, site)[NAME].drop_vars("site")
    pairs = list(combinations(ds[PAIR[0]].values, 2))
    each = [values.sel(language_a=a, language_b=b, drop=True) for a, b in pairs]
    joined = concat([values.isel(language_a=0, language_b=0, drop=True), *each], "pair")
    joined = joined.assign_coords(pair=["", *(f"{a} {b}" for a, b in pairs)])
    likeness = joined[:, :1].mean(["corpus", "layer"])
    return joined.isel(pair=np.argsort(-likeness.values)[: int(likeness.count())])


def finding(ds: Dataset, site: str) -> str:
    """Say where two languages' rankings are least and most alike in the first text."""
    values = pairs_of(ds, site)[:, :1].drop_vars("corpus")
    return (
        extremes(values.squeeze("corpus"), "The rank correlation", "", ".2f") if values.size else ""
    )


FIGURES = {
    f"figure_{stem}": style.Drawing.of(draw, finding, site=site)
    for stem, draw, site in (
        ("12_detector_rank_correlation", rank_correlation, "act"),
        ("12_detector_rank_correlation_pairs", all_pairs, "act"),
        ("13_combinator_rank_correlation", rank_correlation, "out"),
        ("13_combinator_rank_correlation_pairs", all_pairs, "out"),
    )
}
