"""Rank correlation of neurons without the rows whose token both languages use."""

from collections.abc import Iterator, Mapping
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.ranks import standardised_ranks
from neuroglot.provenance import digest

DRAWS = 5
"""Number of random choices of rows that are left out for comparison."""
VALUES = 1 << 22  # sums at a time: 32 MB

UNSHARED = ("sample_correlation", "without_shared_tokens", "without_random_prefixes")
"""Names of the correlations, in the order of ``unshared_correlations``."""

Kept = Mapping[str, NDArray[np.bool_]]
"""Rows of a language that are kept against each language, bool [language, row], by language."""


def unshared_rows(token_id: Mapping[str, NDArray[np.integer]], used: NDArray[np.bool_]) -> Kept:
    """Mark the rows whose token the other language does not use.

    Args:
        token_id: the token of each row, [row], by language.
        used: whether a token occurs anywhere in a language's text, [language, vocabulary], in the
            same order of languages.
    """
    return {language: ~used[:, ids] for language, ids in token_id.items()}


def random_rows(kept: Kept, draw: int) -> Kept:
    """Mark as many rows as are kept, chosen at random; nested for all other languages.

    The choice depends on the language's id, not on its place among the languages.
    """
    chosen = {}
    for language, rows in kept.items():
        generator = np.random.default_rng(int(digest([draw, language]), 16))
        place = generator.permutation(rows.shape[1])
        chosen[language] = place < rows.sum(axis=1, keepdims=True)
    return chosen


def unshared_correlations(
    rows: Mapping[str, NDArray[np.floating]], kept: Kept
) -> NDArray[np.float64]:
    """Correlate neurons' ranks with and without rows of shared tokens, Spearman's ρ, in one layer.

    - ``sample_correlation``: by activations summed over all of these rows;
    - ``without_shared_tokens``: without a's rows whose token b uses too, and the other way round;
    - ``without_random_prefixes``: without as many rows of either language, chosen at random; mean
      over ``DRAWS`` choices. Fewer rows lower a correlation whatever their tokens are.

    Args:
        rows: activations, [row, width], by language.
        kept: the rows that are kept; see ``unshared_rows``.

    Returns:
        float64 [3, language, language], in the order of ``UNSHARED``. NaN as in
        ``rank_correlation``, so also where no row is kept: on the diagonal but in the first.
    """
    whole = standardised_ranks(
        np.stack([values.sum(0, dtype=np.float64) for values in rows.values()])
    )
    chosen = [_between_sums(rows, random_rows(kept, draw)) for draw in range(DRAWS)]
    return np.stack([whole @ whole.T, _between_sums(rows, kept), np.mean(chosen, axis=0)])


def _between_sums(rows: Mapping[str, NDArray[np.floating]], kept: Kept) -> NDArray[np.float64]:
    """Correlate the ranks of a's sums over what is kept against b with those of b against a."""
    languages = [*rows]
    width = next(iter(rows.values())).shape[1]
    correlation = np.empty((len(languages), len(languages)))

    def ranks(some: slice, against: slice) -> NDArray[np.float64]:
        sums = [kept[each][against].astype(np.float64) @ rows[each] for each in languages[some]]
        return standardised_ranks(np.stack(sums))  # [language, other, width]

    for a, b in _blocks(len(languages), max(1, isqrt(VALUES // width))):
        values = np.einsum("abw,baw->ab", ranks(a, b), ranks(b, a))
        correlation[a, b], correlation[b, a] = values, values.T
    return correlation


def _blocks(languages: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Cut the pairs of languages into blocks, each two languages once."""
    starts = range(0, languages, size)
    for a in starts:
        for b in starts:
            if a <= b:
                yield slice(a, a + size), slice(b, b + size)
