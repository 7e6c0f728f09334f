"""Chooses neurons by a score."""

import numpy as np
from numpy.typing import NDArray


def highest(score: NDArray[np.float64], n: int) -> NDArray[np.bool_]:
    """Choose the n highest of ``score``; NaN is never chosen.

    Of equals that only some could be chosen of, none is: an order such as that of the layers
    would choose by what has nothing to do with the score. So fewer than n may be chosen.

    Args:
        score: of any shape.
        n: how many at most.

    Returns:
        bool of the same shape.
    """
    ranked = np.sort(score[~np.isnan(score)])[::-1]
    if ranked.size <= n:
        return ~np.isnan(score)
    return np.asarray(score > ranked[n])  # what equals the first one left out stays out with it
