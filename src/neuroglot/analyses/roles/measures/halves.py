"""Rank correlations of halves of a text: what a language and what a content alone give.

Two languages' ranks of neurons on the same text are alike for several reasons: any text drives some
neurons more than others, both texts say the same, and the languages may be processed alike. And
they are less alike than they could be, because a text is finite. Halves of the text tell how much.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.ranks import standardised_ranks

SPLITS = 10
"""Number of random splits of a text into halves."""
LEAST_FOLDS = 4
"""Fewest folds that are split: halves of a single segment say little of a language."""
SEED = 0

HALVES = ("within_language", "same_content", "other_content", "corrected")
"""Names of the correlations, in the order of ``split_correlations``."""


def random_halves(folds: int) -> NDArray[np.bool_]:
    """Split folds into two random halves, ``SPLITS`` times: bool [split, half, fold].

    Each half has ⌊n / 2⌋ folds; of an odd number, every split leaves out one. The splits depend on
    the number of folds alone, so they are the same in all languages, layers and sites.
    """
    generator = np.random.default_rng(SEED)
    place = np.stack([generator.permutation(folds) for _ in range(SPLITS)])
    half = folds // 2
    return np.stack([place < half, (half <= place) & (place < 2 * half)], axis=1)


def split_correlations(by_fold: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Correlate neurons' ranks between halves of a text, Spearman's ρ, in one layer.

    A parallel text is split into halves A and B; ρ(a_A, b_B) is the rank correlation of language a
    on half A with language b on half B. All values but the last are means over splits:

    - ``within_language``, same language and other content: ρ(a_A, a_B), and of two languages the
      geometric mean √(ρ(a_A, a_B) · ρ(b_A, b_B));
    - ``same_content``, other language: mean of ρ(a_A, b_A) and ρ(a_B, b_B);
    - ``other_content`` and other language: mean of ρ(a_A, b_B) and ρ(a_B, b_A);
    - ``corrected``: ``other_content`` ÷ ``within_language``. Half a text tells only roughly which
      neurons a language drives most, and this lowers every correlation. Spearman's correction for
      attenuation divides by what each language correlates with itself; it estimates the correlation
      of endless texts (Spearman 1904, "The proof and measurement of association between two
      things"). It may exceed 1 by chance.

    Args:
        by_fold: for each language, the activations summed over each fold's rows, [fold, width],
            the same folds in all.

    Returns:
        float64 [4, language, language], in the order of ``HALVES``. NaN with fewer than
        ``LEAST_FOLDS`` folds; as in ``rank_correlation``; and ``within_language`` and ``corrected``
        where a language does not correlate positively with itself.
    """
    languages, folds = len(by_fold), len(by_fold[0])
    if folds < LEAST_FOLDS:
        return np.full((len(HALVES), languages, languages), np.nan)
    same, other = np.zeros((2, languages, languages))
    for halves in random_halves(folds).astype(np.float64):
        first, second = standardised_ranks(np.stack([halves @ sums for sums in by_fold], axis=1))
        crossed = first @ second.T
        same += (first @ first.T + second @ second.T) / 2 / SPLITS
        other += (crossed + crossed.T) / 2 / SPLITS
    itself = np.diag(other)
    itself = np.sqrt(np.where(itself > 0, itself, np.nan))
    within = np.outer(itself, itself)
    return np.stack([within, same, other, other / within])
