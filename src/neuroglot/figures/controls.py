"""How figures show that edits of chosen neurons do more than the same edits of controls."""

from xarray import Dataset

from neuroglot.figures.series import Look, Series
from neuroglot.measures.significance import STAR

DIFFERENCES = {
    "activity": Look("minus others that fire as often", "#0072B2"),
    "contribution": Look(
        "minus partners of like contribution", "#0072B2", marker="s", filled=False
    ),
}
"""Looks of differences between chosen neurons and each matched control."""
STARRED = Series(
    "star", {"star": Look(f"p < {STAR}, adjusted for all languages", "#000000", marker="*")}
)


def units_note(ds: Dataset) -> str:
    """Say how many segments there are, and whether they can be enough for stars.

    Args:
        ds: ``segments(language)`` and ``fewest_segments(language)``.
    """
    segments, fewest = int(ds["segments"].min()), int(ds["fewest_segments"].max())
    most = int(ds["segments"].max())
    number = f"{segments}" if segments == most else f"{segments} to {most}"
    noun = "segment" if most == 1 else "segments"
    if segments < fewest:
        return f"{number} {noun}, too few for intervals and stars (from {fewest})"
    return f"{number} {noun}; whiskers: 95 % intervals over them; stars from {fewest} segments"


def significant(ds: Dataset, above: bool = False, **chosen: str) -> str:
    """Count the languages in which a difference is significant: "3 of 8".

    Args:
        ds: ``excess`` and ``excess_p_value``.
        above: count only differences above zero.
        chosen: labels to select, of all dimensions but the language.
    """
    of = ds[["excess", "excess_p_value"]].sel(chosen)
    counted = (of["excess_p_value"] < STAR) & ((of["excess"] > 0) | (not above))
    return f"{int(counted.sum())} of {int(of['excess'].notnull().sum())}"
