"""Shares of units that are right, such as accuracies, and from how many units they are told."""

import numpy as np
import xarray as xr
from scipy.stats import norm

from neuroglot.measures.bootstrap import bounded

FEW = 20
"""Units below which figures draw counts ("2 of 3"), and no per cents, intervals or stars."""


def wilson_interval(scores: xr.DataArray, level: float = 0.95) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound the mean of scores between 0 and 1 by Wilson's interval (Wilson 1927).

    A unit, such as a fact, is one trial. Its score may be the mean over several wordings or draws:
    scores between 0 and 1 vary less than trials that are either, so the interval then covers more
    than ``level``. Unlike the bootstrap it has a width where all units are right.

    Args:
        scores: one score per unit, [..., item]; NaN where a unit was not judged.
        level: share of the intervals that hold the true share.

    Returns:
        low and high in [0, 1], float64 without the dimension ``item``; NaN for fewer than two
        units. ``attrs``: those of ``scores``, and ``level``.
    """
    n = scores.notnull().sum("item")
    n = n.where(n > 1)
    p = scores.mean("item")
    z = norm.ppf((1 + level) / 2)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = (
        (centre + sign * half).clip(0, 1).assign_attrs({**scores.attrs, "level": level})
        for sign in (-1, 1)
    )
    return low, high


def bounded_share(name: str, scores: xr.DataArray) -> dict[str, xr.DataArray]:
    """Average over ``item``, without NaN, and bound by ``wilson_interval``; see ``bounded``.

    Args:
        name: name of the mean score.
        scores: see ``wilson_interval``.
    """
    return bounded(name, scores.mean("item", keep_attrs=True), wilson_interval(scores))
