"""Figures 2, 5, 6 and one more: similarity of two languages' use of experts, by four measures."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures import pairs as of_pairs
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
    measure, log = MEASURES[metric], metric in DIVERGENCES
    scale = heat.Scale.of(values.values, measure, log=log, dark_is_low=metric == "pearson")
    form = {"jensen_shannon": ".3f", "pearson": ".2f"}.get(metric, ".3g")
    figure = of_pairs.matrix_and_relations(ds, values, names, tree, scale, form, log)
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


def finding(ds: Dataset, metric: str) -> str:
    """Say the median of the pairs of each relation, and which pairs are told from the floor."""
    values, _ = pairs(ds, metric)
    return of_pairs.finding(ds, values, MEASURES[metric], metric != "pearson")


FIGURES = {
    "figure_02_euclidean": Drawing(similarity, finding, metric="euclidean"),
    "figure_05_kl_divergence": Drawing(similarity, finding, metric="kl_divergence"),
    "jensen_shannon": Drawing(similarity, finding, metric="jensen_shannon"),
    "figure_06_pearson": Drawing(similarity, finding, metric="pearson"),
}
