"""Alignment of each language's segments with the pivot's parallel segments, by state."""

import pandas as pd
import xarray as xr
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures.looks import ENDS, by_state, numbers
from neuroglot.figures import style
from neuroglot.figures.sheets import Facet

MOST_CHANCE = 0.25
"""Share of the segments above which so many neighbours tell nothing."""
SAME = 1e-4
"""1 − cosine below which segments are all the same, as is their last token's embedding."""
GAPS = {"difference": "difference", "share": "÷ (1 − cosine with others)"}


def told(ds: Dataset) -> Dataset:
    """The data without embeddings, which are often the same, and without too many neighbours.

    Args:
        ds: coordinates ``k`` and ``stack_state(state)``; ``mutual_knn_chance(k)``.
    """
    few = ds["mutual_knn_chance"] <= MOST_CHANCE
    return ds.where((ds["stack_state"] > 0) & few)


def neighbours(ds: Dataset) -> tuple[Dataset, Facet]:
    """Share of nearest neighbours in common with the pivot, less chance, one panel per ``k``.

    Args:
        ds: ``mutual_knn(k, state, language)`` with ``_low`` and ``_high``;
            ``mutual_knn_chance(k)``.
    """
    overlap = told(ds)[[f"mutual_knn{end}" for end in ENDS]] - ds["mutual_knn_chance"]
    values = overlap.rename({f"mutual_knn{end}": f"value{end}" for end in ENDS})
    return values, numbers(values, "k", "k = {:,}")


def gaps(ds: Dataset) -> tuple[Dataset, Facet]:
    """How much closer parallel segments are than others: p − o, and (p − o) / (1 − o).

    Args:
        ds: cosines with the pivot's segments, ``parallel(state, language)`` p and
            ``non_parallel`` o, each with ``_low`` and ``_high``.
    """
    opposite = {"": "", "_low": "_high", "_high": "_low"}
    ends = {end: gap(ds[f"parallel{end}"], ds[f"non_parallel{opposite[end]}"]) for end in ENDS}
    drawn = GAPS if ds["parallel"].notnull().any() else {}
    return Dataset({f"value{end}": one for end, one in ends.items()}), Facet("gap", drawn)


def gap(parallel: DataArray, others: DataArray) -> DataArray:
    """Difference of two cosines by language and state, and the same as a share of 1 − others."""
    difference, distance = parallel - others, 1 - others
    share = difference / distance.where(distance > SAME)
    return xr.concat([difference, share], pd.Index(GAPS, name="gap"))


FIGURES: dict[str, style.Drawing] = {
    "mutual_knn": by_state(
        neighbours,
        "nearest neighbours shared with the pivot",
        "overlap beyond chance (share)",
        "bands: 95 % intervals",
    ),
    "parallel_similarity": by_state(
        gaps,
        "parallel segments, and others, of the pivot",
        "cosine, parallel minus others",
        "bands: all that the cosines' 95 % intervals allow",
    ),
}
