"""Folds of a text's segments, and the segments that all languages of a parallel corpus have."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

FOLDS = 32
"""The most folds that the segments of a text are dealt to."""
MIN_SHARED = 0.5
"""Share of the segments of the language with the fewest that all languages must have."""


def dealt(segments: int) -> NDArray[np.intp]:
    """Deal segments to folds in turn: the fold of each of so many segments, ``[segment]``.

    Up to ``FOLDS`` segments each have a fold of their own.
    """
    return np.arange(segments) % FOLDS


def common_segments(
    segments: Mapping[str, Sequence[str]], corpus: str
) -> dict[str, NDArray[np.intp]]:
    """Find the segments that all languages of a parallel corpus have.

    Args:
        segments: by language, the ids of its segments in the order in which they were drawn; the
            languages' orders agree.
        corpus: id, for the message.

    Returns:
        By language, the common segments' indices in ``segments``; the n-th is the same segment in
        every language. Dealt to folds in this order, a fold has the same segments in every
        language.

    Raises:
        NeuroglotError: they are less than half of the segments of the language with the fewest.
    """
    common = set.intersection(*map(set, segments.values()))
    scarce = min(segments, key=lambda language: len(segments[language]))
    if len(common) < MIN_SHARED * len(segments[scarce]):
        raise NeuroglotError(
            f"corpus {corpus!r}: of the {len(segments[scarce])} segments of {scarce!r} only "
            f"{len(common)} are in all of {', '.join(segments)}, too few to compare the same text; "
            "leave out the languages that lack many segments, or set parallel: false"
        )
    return {
        language: np.flatnonzero([segment in common for segment in ids])
        for language, ids in segments.items()
    }
