"""Folds of a text's segments, and those that all languages of a parallel corpus have."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

FOLDS = 32
"""Number of folds. A segment is in the fold of its place modulo this number."""
MIN_SHARED = 0.5
"""Share of the segments of the language with the fewest that all languages must have."""


def common_folds(
    there: NDArray[np.bool_], languages: Sequence[str], corpus: str
) -> NDArray[np.intp]:
    """Find the folds that all languages have.

    A fold is one segment if at most ``FOLDS`` segments were drawn. If more were drawn,
    only folds are left out of which a language has no segment at all.

    Args:
        there: whether a language has rows of a fold, bool [language, fold].
        languages: ids, for the message.
        corpus: id, for the message.

    Returns:
        Indices of the common folds, ascending.

    Raises:
        NeuroglotError: they are less than half of the folds of the language with the fewest.
    """
    common, fewest = np.flatnonzero(there.all(axis=0)), int(there.sum(axis=1).min())
    if len(common) < MIN_SHARED * fewest:
        scarce = languages[int(there.sum(axis=1).argmin())]
        raise NeuroglotError(
            f"corpus {corpus!r}: of the {fewest} segments of {scarce!r} only {len(common)} are in "
            f"all of {', '.join(languages)}, too few to compare the same text; leave out the "
            "languages that lack many segments, or set parallel: false"
        )
    return common


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
