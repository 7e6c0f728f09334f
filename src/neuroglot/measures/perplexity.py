"""Averages perplexities."""

import numpy as np
from numpy.typing import NDArray


def geometric_mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average perplexities over random draws, [...] from [draw, ...].

    The logarithms, which are mean losses, are averaged, as they would be over more text.
    """
    mean: NDArray[np.float64] = np.exp(np.log(draws).mean(0))
    return mean
