"""Alignment of each language's segments with the pivot's parallel segments, by state."""

from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures.series import Series

SAME = 1e-4
"""1 − cosine below which segments are all the same, as embeddings of full stops are."""

FORMULA = "(parallel − others) ÷ (1 − others)"


def neighbours(ds: Dataset) -> tuple[Dataset, Series]:
    """Share of nearest neighbours in common with the pivot, less chance, one panel per ``k``.

    Args:
        ds: ``mutual_knn(k, state, language)`` with its interval; ``mutual_knn_chance(k)``.
    """
    values = looks.bounded_value(ds, "mutual_knn") - ds["mutual_knn_chance"]
    return values, looks.numbers(values, "k", "k = {:,}")


def closeness(ds: Dataset) -> tuple[Dataset, Series]:
    """How much closer parallel segments are than others: (p − o) / (1 − o).

    Args:
        ds: cosines with the pivot's segments, ``parallel(state, language)`` p and
            ``non_parallel`` o, with intervals.
    """
    opposite = {"": "", "_low": "_high", "_high": "_low"}
    values = Dataset()
    for end in looks.ENDS:
        others = ds[f"non_parallel{opposite[end]}"]
        distance = (1 - others).where(others < 1 - SAME)
        values[f"value{end}"] = (ds[f"parallel{end}"] - others) / distance
    panels = [FORMULA] if values["value"].notnull().any() else []
    return values.expand_dims(measure=[FORMULA]), Series.of("measure", panels)


FIGURES = {
    "mutual_knn": looks.by_state(
        neighbours,
        "nearest neighbours shared with the pivot",
        "overlap beyond chance (share)",
        "bands: 95 % intervals",
    ),
    "parallel_similarity": looks.by_state(
        closeness,
        "how much closer parallel segments are",
        "share of other segments' distance",
        "bands: all that the cosines' 95 % intervals allow",
    ),
}
