"""Similarities of every two languages: a matrix with its tree, and the pairs by their relation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import heat, sheets
from neuroglot.figures.findings import number

RELATIONS = ("different families", "same family", "same genus", "same language")
FEWEST_PAIRS = 3
"""Pairs of a relation whose median is told."""

Values = NDArray[np.float64]


def matrix_and_relations(
    ds: Dataset,
    values: DataArray,
    names: Sequence[str],
    tree: Values | None,
    scale: heat.Scale,
    form: str,
    log: bool = False,
) -> Figure:
    """Draw a matrix of languages below its tree and, at the right, its values by relation.

    Args:
        ds: ``family(language)`` and ``genus(language)``.
        values: ``[language_a, language_b]``, NaN where nothing is drawn.
        names: the languages' names.
        tree: tree of the languages in this order; see ``heat.clustered``.
        scale: the colours, and what the values are.
        form: format of the numbers in the cells.
        log: values are told apart by their ratios.
    """
    side = heat.side(len(names))
    figure = sheets.sheet(side + 2, 2)
    grid = figure.add_gridspec(2, 2, width_ratios=(side, 5 - side), height_ratios=(heat.TREE, side))
    above, below, ax = (figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (1, 1)))
    heat.draw_tree(above, tree)
    heat.matrix(below, values.values, names, names, scale, form, blank=True)
    scale.bar(figure, [below])
    for place, related in enumerate(by_relation(ds, values)):
        heights = place + np.linspace(-0.3, 0.3, related.size)
        ax.plot(related, heights, "o", color=sheets.GUIDE, markerfacecolor="none")
        if related.size:
            ax.plot(np.median(related), place, "k|", markersize=14)
    ax.set_yticks(range(len(RELATIONS)), RELATIONS)
    ax.set_ylim(-0.5, len(RELATIONS) - 0.5)
    ax.set_xlabel(scale.label)
    if log:
        ax.set_xscale("log")
        sheets.plain_log(ax.xaxis)
        sheets.plain_log(figure.axes[-1].yaxis)
    return figure


def by_relation(ds: Dataset, values: DataArray) -> list[Values]:
    """The values of pairs for each of ``RELATIONS`` between two languages.

    Args:
        ds: ``family(language)`` and ``genus(language)``.
        values: ``[language_a, language_b]``, NaN where a pair does not count.
    """
    languages = values["language_a"].values
    facts = [ds[rank].sel(language=languages).values for rank in ("family", "genus")]
    shared = [languages[:, None] == languages, *(fact[:, None] == fact for fact in facts)]
    common = np.sum(shared, axis=0)
    return [values.values[(common == i) & values.notnull().values] for i in range(len(RELATIONS))]


def finding(ds: Dataset, values: DataArray, measure: str, less_is_alike: bool) -> str:
    """Say the median of the pairs of each relation, and which pairs are told from the floor.

    Args:
        ds: ``family(language)`` and ``genus(language)``.
        values: ``[language_a, language_b]``; on the diagonal, those of a language's own halves.
        measure: what they are.
        less_is_alike: more similar languages have lower values.
    """
    *groups, within = by_relation(ds, values)
    told = [
        f"{number(np.median(group))} ({name}, {group.size} pairs)"
        for name, group in zip(RELATIONS, groups, strict=False)
        if group.size >= FEWEST_PAIRS
    ]
    apart, among = told_apart(values, less_is_alike)
    floor = (
        f"Two halves of one language give {number(np.median(within))}, and {apart} of {among} "
        "pairs of languages are further apart than the halves of either."
    )
    if len(told) < 2:
        return f"{floor} Whether related languages are more similar cannot be told from so few."
    return f"{measure}, medians of pairs: {', '.join(told)}. {floor}"


def told_apart(values: DataArray, less_is_alike: bool) -> tuple[int, int]:
    """Count the pairs of languages that are less similar than the halves of either, and all pairs.

    Args:
        values: ``[language_a, language_b]``, with a language's own halves on the diagonal.
        less_is_alike: more similar languages have lower values.
    """
    distance = values.values if less_is_alike else -values.values
    between_halves = np.diagonal(distance)
    different = np.isfinite(distance) & ~np.eye(len(between_halves), dtype=bool)
    beyond = distance > np.maximum.outer(between_halves, between_halves)
    return int((beyond & different).sum()), int(different.sum())
