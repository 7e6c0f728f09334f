"""How far two languages are routed to the same experts."""

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.analyses.routing.figures.divergence import compared_on
from neuroglot.figures import heat, pairs, series, sheets
from neuroglot.figures.style import Drawing, require

LABEL = "overlap of routing"


def routing_overlap(ds: Dataset) -> Figure:
    """A matrix of languages in the order of a tree, and the pairs of languages by relation.

    The diagonal compares a language's own halves.

    Args:
        ds: ``overlap(language_a, language_b)``; ``family(language)`` and ``genus(language)``;
            ``compared_tokens(language)``; ``attrs["folds"]``.
    """
    every = ordered(ds)
    order, tree = heat.clustered(every.where(different(every)).values)
    every = every[order, order]
    names = [series.languages(ds).label(language) for language in every["language_a"].values]
    values = every.where(np.tri(len(order)) > 0)
    scale = heat.Scale.of(values.values, f"{LABEL} (share)")
    figure = pairs.matrix_and_relations(ds, values, names, tree, scale, ".2f")
    note = f"halves of {compared_on(ds)}; right: all pairs and their median"
    return sheets.title(figure, ds, "overlap of languages' routing", note)


def ordered(ds: Dataset) -> DataArray:
    """The overlaps, [language_a, language_b]; raise ``NothingToDraw`` without two languages."""
    every = ds["overlap"].transpose("language_a", "language_b")
    require(every.where(different(every)), "no two languages whose routing overlaps")
    return every


def different(every: DataArray) -> DataArray:
    """Mark the pairs of different languages."""
    return every["language_a"] != every["language_b"]


def finding(ds: Dataset) -> str:
    """Say the median overlap of each relation, and which pairs are told from one language's."""
    every = ordered(ds)
    values = every.where(np.tri(len(every)) > 0)
    return pairs.finding(ds, values, "Overlap of routing", less_is_alike=False)


FIGURES = {"routing_overlap": Drawing(routing_overlap, finding)}
