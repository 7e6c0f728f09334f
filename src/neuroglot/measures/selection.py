"""Chooses neurons by a score."""

import numpy as np
from numpy.typing import NDArray


def highest(score: NDArray[np.float64], n: int) -> NDArray[np.bool_]:
    """Choose at most the n neurons with the highest ``score``; NaN is never chosen.

    If a tie crosses the limit, none of the tied neurons is chosen: choosing some of them would
    depend on their order, not on the score. So fewer than n may be chosen.

    Args:
        score: scores, of any shape.
        n: the largest number of neurons to choose.

    Returns:
        bool of the same shape.
    """
    ranked = np.sort(score[~np.isnan(score)])[::-1]
    if ranked.size <= n:
        return ~np.isnan(score)
    return np.asarray(score > ranked[n])  # leaves out ties with the first score beyond n
