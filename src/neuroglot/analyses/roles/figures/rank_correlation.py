"""Figures 12 and 13: rank correlation between languages of each layer's neurons."""

from itertools import combinations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from xarray import DataArray, Dataset, concat

from neuroglot.analyses.roles.figures import rank_scales
from neuroglot.analyses.roles.figures.pairs import PAIR, compared
from neuroglot.figures import heat, series, sheets
from neuroglot.figures.findings import extremes
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing, NothingToDraw
from neuroglot.figures.texts import panels_of

NAME = "rank_correlation"
OVERLAP = "token_overlap"
UNIT = "Spearman rank correlation"
FORMS = (".2f", ".0%")
"""Formats of numbers in the cells: of correlations, and of token overlap."""
MOST_WRITTEN, MOST_COLUMNS, MOST_PAIRS = 5, 48, 54
"""Languages with numbers in the cells; columns of all matrices; pairs that fit on a page."""


def rank_correlation(ds: Dataset, site: str) -> Figure:
    """Matrices of the first, middle and last layer, in the order of a tree, for the first text.

    Beside them, in the same order, the overlap of the languages' tokens. Many languages leave room
    for the middle and the last layer only, or for the middle one. The tree, and so the order, is of
    the mean over sites and layers.

    Args:
        ds: ``rank_correlation(site, corpus, language_a, language_b, layer)`` and
            ``token_overlap(corpus, language_a, language_b)``.
        site: ``act`` for figure 12, ``out`` for figure 13.
    """
    values = compared(ds, NAME, ["act", "out"], OVERLAP)
    if not values[NAME].size:
        raise NothingToDraw(f"no two languages with ranks of {SITES[site]}")
    first = values.isel(corpus=0).dropna(PAIR[0], how="all", subset=[NAME])
    first = first.dropna(PAIR[1], how="all", subset=[NAME])
    order, tree = heat.clustered(first[NAME].mean(["site", "layer"]).values)
    first = first.isel(language_a=order, language_b=order)
    ordered = first[NAME].sel(site=site)
    axis, chosen = LayerAxis.of(ds), LayerAxis.of(ds).chosen()
    chosen = chosen if len(chosen) <= 3 else chosen[1::2]
    fitting = MOST_COLUMNS // len(order) - 1
    chosen = chosen[-fitting:] if fitting > 1 else chosen[len(chosen) // 2 :][:1]
    named = series.languages(values, PAIR[0])
    names = [named.label(language) for language in ordered[PAIR[0]].values]
    side = heat.side(len(names), written=False)
    figure = sheets.sheet(1.8 + side + 0.06 * max(map(len, names)), 2)
    grid = figure.subplots(2, len(chosen) + 1, squeeze=False, height_ratios=[heat.TREE, side])
    scale = heat.Scale.of(ordered.isel(layer=chosen).values, UNIT)
    matrices = {axis.name(layer): (ordered.isel(layer=layer), scale) for layer in chosen}
    matrices["tokens"] = (first[OVERLAP], heat.Scale.of(first[OVERLAP].values, "token overlap"))
    below = np.tri(len(names), k=-1, dtype=bool)
    for place, (label, (matrix, of_matrix)) in enumerate(matrices.items()):
        heat.draw_tree(grid[0, place], tree)
        cells, rows = np.where(below, matrix.values, np.nan), names if place == 0 else []
        form = FORMS[label == "tokens"] if len(names) <= MOST_WRITTEN else None
        heat.matrix(grid[1, place], cells, rows, names, of_matrix, form, blank=True)
        grid[1, place].set_xlabel(label)
    scale.bar(figure, [*grid[1, :-1]])
    matrices["tokens"][1].bar(
        figure, [grid[1, -1]], format=PercentFormatter(1, None), fraction=0.12
    )
    subject = f"{SITES[site]}, rank correlation on {first['corpus'].item()}"
    return sheets.title(figure, ds, subject, "Tree: mean over layers and sites.")


def all_pairs(ds: Dataset, site: str) -> Figure:
    """Every pair of languages by layer, the most similar of the first text on top.

    Of more than 54 pairs, the 27 most and the 27 least similar are drawn. After a pair stands the
    overlap of its tokens in the first text.
    """
    values, lacking = pairs_of(ds, site), f"no two languages with ranks of {SITES[site]}"
    panels = panels_of(values.to_dataset(name=NAME), NAME, "corpus", lacking)
    pairs, named = values["pair"].values, series.languages(ds, PAIR[0])
    half = MOST_PAIRS // 2 if len(pairs) > MOST_PAIRS else len(pairs)
    note = f"Per cents: token overlap in {values['corpus'].values[0]}." if len(pairs) else ""
    if half < len(pairs):
        note = f"The {half} most and {half} least alike of {len(pairs)} pairs. {note}"
    overlap = ds[OVERLAP].sel(corpus=values["corpus"].values[:1])
    labels = {}
    for pair in pairs:
        a, b = pair.split()
        tokens = overlap.sel(language_a=a, language_b=b).item()
        labels[pair] = f"{named.label(a)} – {named.label(b)}, {tokens:.0%}"
    shown = Series.of("pair", labels).only([*pairs[:half], *pairs[-half:]])
    scale = heat.Scale.of(values.sel(pair=[*shown]).values, UNIT)
    figure = heat.by_layer(values, LayerAxis.of(ds), shown, scale, panels)
    return sheets.title(figure, ds, f"{SITES[site]}, rank correlation of every pair", note)


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
    return extremes(values[:, 0], "The rank correlation", "", ".2f") if values.size else ""


FIGURES = {
    f"figure_{figure}_rank_correlation{name}": Drawing(draw, told, site=site)
    for figure, site in (("12_detector", "act"), ("13_combinator", "out"))
    for name, draw, told in (
        ("", rank_correlation, finding),
        ("_pairs", all_pairs, finding),
        ("_of_halves", rank_scales.of_halves, rank_scales.halves_finding),
        (
            "_without_shared_tokens",
            rank_scales.without_shared_tokens,
            rank_scales.unshared_finding,
        ),
    )
}
