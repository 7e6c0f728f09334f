"""Figures 2, 5 and 6: similarity of two languages' use of experts, by three measures."""

from functools import partial

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets, style
from neuroglot.figures.texts import counted, held

MEASURES = {
    "euclidean": ("Euclidean distance", "Euclidean distance"),
    "kl_divergence": ("KL divergence (nats)", "KL divergence (nats)\nof row from column"),
    "pearson": ("Pearson correlation", "Pearson correlation"),
}
RELATIONS = ("different families", "same family", "same genus")
TREE, NAMES = 0.35, 1.2
"""Inches of the tree, and of a language's name."""
FEWEST = 3
"""Pairs of languages whose median is told."""


@style.styled
def similarity(ds: Dataset, metric: str) -> Figure:
    """A matrix of languages in the order of a tree, and the pairs of languages by relation.

    All three figures have the order of the correlation's tree. Symmetric measures are one triangle.
    Bright cells are similar languages: the colours of distances are reversed.

    Args:
        ds: ``similarity(metric, language_a, language_b)``, with ``a`` as row; ``family(language)``
            and ``genus(language)``; ``tokens(language)``.
        metric: ``euclidean`` for figure 2, ``kl_divergence`` for figure 5, ``pearson`` for 6.
    """
    short, label = MEASURES[metric]
    values, tree = pairs(ds, metric)
    if not values.size:
        return style.empty(f"no two languages with a {short}")
    looks, cells = series.languages(ds), values.values
    names = [looks.label(str(language)) for language in values["language_a"].values]
    log, side = metric == "kl_divergence", heat.side(len(names))
    figure = sheets.sheet(side + TREE + NAMES + 0.5, 2)
    ratios = {"height_ratios": (TREE, side), "width_ratios": (side, max(1.5, 4 - side))}
    (above, blank), (left, right) = figure.subplots(2, 2, **ratios)  # type: ignore[arg-type]
    blank.remove()
    heat.draw_tree(above, tree)
    scale = heat.Scale.of(cells, label, log=log, dark_is_low=metric == "pearson")
    heat.matrix(left, cells, names, names, scale, ".2f" if metric == "pearson" else ".3g")
    heat.leave_blank(left)
    scale.bar(figure, [left])
    for place, related in enumerate(by_relation(ds, values)):
        heights = place + np.linspace(-0.3, 0.3, related.size)
        right.plot(related, heights, "o", color=sheets.GUIDE, markerfacecolor="none")
        right.plot([np.median(related)] if related.size else [], [place], "k|", markersize=14)
    right.set_yticks(range(len(RELATIONS)), RELATIONS)
    right.set_ylim(-0.5, len(RELATIONS) - 0.5)
    right.set_xscale("log" if log else "linear")
    right.set_xlabel(short)
    note = f"{counted(ds['tokens'].values, 'tokens')} a language; right: all pairs and their median"
    sheets.title(figure, ds, f"similarity of languages over experts, {short}", note)
    return figure


def pairs(ds: Dataset, metric: str) -> tuple[DataArray, NDArray[np.float64] | None]:
    """Similarities of different languages, in the order of the correlation's tree, and this tree.

    Returns:
        ``[language_a, language_b]`` of the languages that have any, with NaN on the diagonal and,
        for symmetric measures, above it; the tree, as in ``heat.tree_of``.
    """
    every = ds["similarity"].transpose("metric", "language_a", "language_b")
    every = every.where(every["language_a"] != every["language_b"])
    languages = held(every.sel(metric=metric).to_dataset(), "similarity", "language_a")
    values = every.sel(language_a=languages, language_b=languages)
    alike = values.sel(metric="pearson").values
    order = heat.order_of(alike)
    values = values.sel(metric=metric)[order, order]
    if metric != "kl_divergence":
        values = values.where(np.tri(len(order), k=-1) > 0)
    return values, heat.tree_of(alike)


def by_relation(ds: Dataset, values: DataArray) -> list[NDArray[np.float64]]:
    """The values of ``pairs`` for each of ``RELATIONS`` between two languages."""
    facts = ds[["family", "genus"]].sel(language=values["language_a"].values)
    common = sum((facts[rank].values[:, None] == facts[rank].values).astype(int) for rank in facts)
    return [values.values[(common == i) & values.notnull().values] for i in range(3)]


def finding(ds: Dataset, metric: str) -> str:
    """Say which languages are the most and the least similar, and what relation gives."""
    values, _ = pairs(ds, metric)
    if not values.size:
        return ""
    looks = series.languages(ds)
    sign = 1 if metric == "pearson" else -1
    ends = [values.isel(end) for end in ((sign * values).argmax(...), (sign * values).argmin(...))]
    most, least = (
        f"{looks.label(end['language_a'].item())} and {looks.label(end['language_b'].item())} "
        f"({float(end):.3g})"
        for end in ends
    )
    groups = zip(RELATIONS, by_relation(ds, values), strict=True)
    medians = [f"{np.median(v):.3g} in {name}" for name, v in groups if v.size >= FEWEST]
    told = (
        f" Medians of pairs: {', '.join(medians)}."
        if len(medians) > 1
        else (" Related and unrelated languages cannot be compared with so few pairs.")
    )
    return f"{MEASURES[metric][0]}: most similar are {most}, least {least}.{told}"


FIGURES: dict[str, style.Drawing] = {
    stem: style.Drawing(partial(similarity, metric=metric), partial(finding, metric=metric))
    for stem, metric in (
        ("figure_02_euclidean", "euclidean"),
        ("figure_05_kl_divergence", "kl_divergence"),
        ("figure_06_pearson", "pearson"),
    )
}
