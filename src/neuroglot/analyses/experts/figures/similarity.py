"""Figures 2, 5 and 6: similarity of two languages' use of experts, by three measures."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held

MEASURES = {
    "euclidean": "Euclidean distance",
    "kl_divergence": "KL divergence (nats)",
    "pearson": "Pearson correlation",
}
RELATIONS = ("different families", "same family", "same genus")
FEWEST_PAIRS = 3
"""Pairs of a relation whose median is told."""


def similarity(ds: Dataset, metric: str) -> Figure:
    """A matrix of languages in the order of a tree, and the pairs of languages by relation.

    All three figures have the order of the correlation's tree. Symmetric measures are one triangle.
    Bright cells are similar languages: the colours of distances are reversed.

    Args:
        ds: ``similarity(metric, language_a, language_b)``, with ``a`` as row; ``family(language)``
            and ``genus(language)``; ``tokens(language)``.
        metric: ``euclidean`` for figure 2, ``kl_divergence`` for figure 5, ``pearson`` for 6.
    """
    values, tree = pairs(ds, metric)
    names = [series.languages(ds).label(language) for language in values["language_a"].values]
    measure, log, side = MEASURES[metric], metric == "kl_divergence", heat.side(len(names))
    figure = sheets.sheet(side + 2, 2)
    grid = figure.add_gridspec(2, 2, width_ratios=(side, 5 - side), height_ratios=(heat.TREE, side))
    above, below, ax = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1)))
    scale = heat.Scale.of(values.values, measure, log=log, dark_is_low=metric == "pearson")
    heat.draw_tree(above, tree)
    form = ".2f" if metric == "pearson" else ".3g"
    heat.matrix(below, values.values, names, names, scale, form, blank=True)
    scale.bar(figure, [below])
    for place, related in enumerate(by_relation(ds, values)):
        heights = place + np.linspace(-0.3, 0.3, related.size)
        ax.plot(related, heights, "o", color=sheets.GUIDE, markerfacecolor="none")
        if related.size:
            ax.plot(np.median(related), place, "k|", markersize=14)
    ax.set_yticks(range(3), RELATIONS)
    ax.set_ylim(-0.5, 2.5)
    ax.set_xlabel(measure)
    if log:
        ax.set_xscale("log")
        sheets.plain_log(ax.xaxis)
        sheets.plain_log(figure.axes[-1].yaxis)
    note = f"{counted(ds['tokens'].values, 'tokens')} a language; right: all pairs and their median"
    return sheets.title(figure, ds, f"similarity of languages over experts, {measure}", note)


def pairs(ds: Dataset, metric: str) -> tuple[DataArray, NDArray[np.float64] | None]:
    """Similarities of different languages, in the order of the correlation's tree, and this tree.

    Returns:
        ``[language_a, language_b]`` of the languages that have any, with NaN on the diagonal and,
        for symmetric measures, above it; the tree, as in ``heat.clustered``.
    """
    every = ds["similarity"].transpose("metric", "language_a", "language_b")
    every = every.where(every["language_a"] != every["language_b"])
    values = every.sel(metric=metric)
    require(values, f"no two languages with a {MEASURES[metric]}")
    languages = held(values.to_dataset(), "similarity", "language_a")
    every = every.sel(language_a=languages, language_b=languages)
    order, tree = heat.clustered(every.sel(metric="pearson").values)
    kept = (metric == "kl_divergence") | (np.tri(len(order), k=-1) > 0)
    return every.sel(metric=metric)[order, order].where(kept), tree


def by_relation(ds: Dataset, values: DataArray) -> list[NDArray[np.float64]]:
    """The values of ``pairs`` for each of ``RELATIONS`` between two languages."""
    facts = [
        ds[rank].sel(language=values["language_a"].values).values for rank in ("family", "genus")
    ]
    common = np.sum([fact[:, None] == fact for fact in facts], axis=0)
    return [values.values[(common == i) & values.notnull().values] for i in range(len(RELATIONS))]


def finding(ds: Dataset, metric: str) -> str:
    """Say the median of the pairs of each relation."""
    groups = zip(RELATIONS, by_relation(ds, pairs(ds, metric)[0]), strict=True)
    medians = [
        f"{np.median(group):.3g} ({name}, {group.size} pairs)"
        for name, group in groups
        if group.size >= FEWEST_PAIRS
    ]
    if len(medians) < 2:
        return "Whether related languages are more similar cannot be told from so few pairs."
    return f"{MEASURES[metric]}, medians of pairs: {', '.join(medians)}."


FIGURES = {
    "figure_02_euclidean": Drawing(similarity, finding, metric="euclidean"),
    "figure_05_kl_divergence": Drawing(similarity, finding, metric="kl_divergence"),
    "figure_06_pearson": Drawing(similarity, finding, metric="pearson"),
}
