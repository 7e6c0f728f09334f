"""Figures 2, 5, 6 and one more: similarity of two languages' use of experts, by four measures."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.findings import number
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held

MEASURES = {
    "euclidean": "Euclidean distance",
    "kl_divergence": "KL divergence (nats)",
    "jensen_shannon": "Jensen–Shannon divergence (bits)",
    "pearson": "Pearson correlation",
}
DIVERGENCES = ("kl_divergence", "jensen_shannon")
"""Measures whose values are told apart by their ratios."""
RELATIONS = ("different families", "same family", "same genus", "same language")
FEWEST_PAIRS = 3
"""Pairs of a relation whose median is told."""


def similarity(ds: Dataset, metric: str) -> Figure:
    """A matrix of languages in the order of a tree, and the pairs of languages by relation.

    All figures have the order of the correlation's tree. Symmetric measures are one triangle. The
    diagonal compares a language's own halves. Bright cells are similar languages: the colours of
    distances are reversed.

    Args:
        ds: ``similarity(metric, language_a, language_b)``, with ``a`` as row; ``family(language)``
            and ``genus(language)``; ``tokens(language)``; ``attrs["folds"]``.
        metric: one of ``MEASURES``.
    """
    values, tree = pairs(ds, metric)
    names = [series.languages(ds).label(language) for language in values["language_a"].values]
    measure, log, side = MEASURES[metric], metric in DIVERGENCES, heat.side(len(names))
    figure = sheets.sheet(side + 2, 2)
    grid = figure.add_gridspec(2, 2, width_ratios=(side, 5 - side), height_ratios=(heat.TREE, side))
    above, below, ax = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1)))
    scale = heat.Scale.of(values.values, measure, log=log, dark_is_low=metric == "pearson")
    heat.draw_tree(above, tree)
    form = {"jensen_shannon": ".3f", "pearson": ".2f"}.get(metric, ".3g")
    heat.matrix(below, values.values, names, names, scale, form, blank=True)
    scale.bar(figure, [below])
    for place, related in enumerate(by_relation(ds, values)):
        heights = place + np.linspace(-0.3, 0.3, related.size)
        ax.plot(related, heights, "o", color=sheets.GUIDE, markerfacecolor="none")
        if related.size:
            ax.plot(np.median(related), place, "k|", markersize=14)
    ax.set_yticks(range(len(RELATIONS)), RELATIONS)
    ax.set_ylim(-0.5, len(RELATIONS) - 0.5)
    ax.set_xlabel(measure)
    if log:
        ax.set_xscale("log")
        sheets.plain_log(ax.xaxis)
        sheets.plain_log(figure.axes[-1].yaxis)
    note = (
        f"halves of {counted(ds['tokens'].values, 'tokens')} a language, in {ds.attrs['folds']} "
        "folds of segments; right: all pairs and their median"
    )
    return sheets.title(figure, ds, f"similarity of languages over experts, {measure}", note)


def pairs(ds: Dataset, metric: str) -> tuple[DataArray, NDArray[np.float64] | None]:
    """Similarities of languages, in the order of the correlation's tree, and this tree.

    Returns:
        ``[language_a, language_b]`` of the languages that have any, for symmetric measures with NaN
        above the diagonal; the tree, as in ``heat.clustered``.
    """
    every = ds["similarity"].transpose("metric", "language_a", "language_b")
    different = every["language_a"] != every["language_b"]
    values = every.sel(metric=metric).where(different)
    require(values, f"no two languages with a {MEASURES[metric]}")
    languages = held(values.to_dataset(name="similarity"), "similarity", "language_a")
    every = every.sel(language_a=languages, language_b=languages)
    order, tree = heat.clustered(every.sel(metric="pearson").where(different).values)
    kept = (metric == "kl_divergence") | (np.tri(len(order)) > 0)
    return every.sel(metric=metric)[order, order].where(kept), tree


def by_relation(ds: Dataset, values: DataArray) -> list[NDArray[np.float64]]:
    """The values of ``pairs`` for each of ``RELATIONS`` between two languages."""
    languages = values["language_a"].values
    facts = [ds[rank].sel(language=languages).values for rank in ("family", "genus")]
    shared = [languages[:, None] == languages, *(fact[:, None] == fact for fact in facts)]
    common = np.sum(shared, axis=0)
    return [values.values[(common == i) & values.notnull().values] for i in range(len(RELATIONS))]


def finding(ds: Dataset, metric: str) -> str:
    """Say the median of the pairs of each relation, and which pairs are told from the floor."""
    values, _ = pairs(ds, metric)
    *groups, within = by_relation(ds, values)
    told = [
        f"{number(np.median(group))} ({name}, {group.size} pairs)"
        for name, group in zip(RELATIONS, groups, strict=False)
        if group.size >= FEWEST_PAIRS
    ]
    apart, among = told_apart(values, metric)
    floor = (
        f"Two halves of one language give {number(np.median(within))}, and {apart} of {among} "
        "pairs of languages are further apart than the halves of either."
    )
    if len(told) < 2:
        return f"{floor} Whether related languages are more similar cannot be told from so few."
    return f"{MEASURES[metric]}, medians of pairs: {', '.join(told)}. {floor}"


def told_apart(values: DataArray, metric: str) -> tuple[int, int]:
    """Count the pairs of languages that are less similar than the halves of either, and all pairs.

    Args:
        values: result of ``pairs``.
        metric: their metric.
    """
    distance = -values.values if metric == "pearson" else values.values
    between_halves = np.diagonal(distance)
    different = np.isfinite(distance) & ~np.eye(len(between_halves), dtype=bool)
    beyond = distance > np.maximum.outer(between_halves, between_halves)
    return int((beyond & different).sum()), int(different.sum())


FIGURES = {
    "figure_02_euclidean": Drawing(similarity, finding, metric="euclidean"),
    "figure_05_kl_divergence": Drawing(similarity, finding, metric="kl_divergence"),
    "jensen_shannon": Drawing(similarity, finding, metric="jensen_shannon"),
    "figure_06_pearson": Drawing(similarity, finding, metric="pearson"),
}
