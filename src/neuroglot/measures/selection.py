"""Chooses neurons or experts by a score."""

import numpy as np
from array_api_compat import array_namespace, is_torch_array
from numpy.typing import NDArray

from neuroglot.measures.kernels import Array


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


def first_highest(score: Array, n: int) -> Array:
    """Choose exactly the n highest scores of each row; in a tie the lower index comes first.

    Args:
        score: numpy array or torch tensor [..., column]; of a row with NaN, anything is chosen.
        n: the number to choose, between 1 and the number of columns.

    Returns:
        bool of the same shape, library and device.
    """
    xp = array_namespace(score)
    lowest: Array  # of those chosen; a full sort would take several times as long
    if is_torch_array(score):
        lowest = score.topk(n, dim=-1, sorted=False).values.amin(dim=-1)[..., None]
    else:
        lowest = np.partition(score, score.shape[-1] - n, axis=-1)[..., -n, None]
    above, tied = score > lowest, score == lowest
    places = n - xp.sum(above, axis=-1)[..., None]
    return above | (tied & (xp.cumulative_sum(xp.astype(tied, xp.int64), axis=-1) <= places))
