"""Averages perplexities."""

import numpy as np
from numpy.typing import NDArray


def geometric_mean(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average perplexities over random draws, [...] from [draw, ...].

    The logarithms are averaged: they are mean losses, which would be averaged over more text too.
    """
    return np.asarray(np.exp(np.log(draws).mean(0)))
