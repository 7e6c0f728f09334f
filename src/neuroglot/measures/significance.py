"""Sign-flip tests of differences, the intervals that agree with them, and p values of families.

A unit is what was drawn independently: a fact, a held-out segment, a prompt. Its difference is
between two variants of the model on that unit. If the variants do the same, every difference is as
likely to have the other sign; so the test compares the sum of the differences with the sums that
other signs give (Fisher 1935). It is exact for up to ``EXACT`` units, and beyond that uses
``FLIPS`` random flips, with which it is still valid (Phipson and Smyth 2010).

A *flip* turns the signs of a set of units. Let T be the sum of the differences of these units, and
R the sum of the others. The observed sum is T + R, and the flip makes it R - T. A flip is *as
extreme* if R - T is at least as far from zero as T + R: if and only if T and R have opposite signs,
or one of them is 0. To test whether the mean difference is θ, θ is subtracted from every
difference. Then a flip is as extreme if and only if θ lies between the mean over the turned units
and the mean over the others. So p value and interval are both read from T and R of every flip.

A *family* is the tests that answer one question: one outcome and one contrast, tested in several
*cells*, such as languages. A star is an adjusted p value below ``STAR`` and nothing else.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import bounded

Values = NDArray[np.float64]
SumsOfFlips = tuple[NDArray[np.intp], Values, Values, Values]
"""For some rows: their indices, [row]; 1 where a flip turns a unit, else 0, [flip, unit]; the sums
of the turned units' differences, [row, flip]; and the sums of the others, likewise."""

STAR = 0.05
EXACT = 14
"""Largest number of units for which all flips are listed: these are 8,192 flips."""
FLIPS = 9_999
SUMS = 1 << 20  # sums of flips at a time: 8 MB
ROUNDING = 1e-9  # a sum up to this share of the sum of absolute differences counts as zero


def difference_interval(
    differences: xr.DataArray, level: float = 0.95, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound a mean difference by the values that the sign-flip test does not reject.

    The interval leaves out zero exactly if ``difference_p_value`` is below 1 - level.

    Args:
        differences: one difference per unit, [..., item]; NaN where a cell lacks the unit.
        level: share of the intervals that hold the true difference.
        seed: seed of random flips, the same for all cells.

    Returns:
        low and high, float64 without the dimension ``item``. NaN where the units are so few that
        the test rejects nothing: under six at 95 %. ``attrs``: those of ``differences``, ``level``
        and ``seed``.

    Raises:
        NeuroglotError: there is no dimension ``item`` or no item, or a difference is infinite.
    """
    rows, template = _by_row(differences)
    bounds = np.full((2, len(rows)), np.nan)
    for some, flips, turned, others in _sums_of_flips(rows, seed):
        number, units = flips.sum(axis=1), flips.shape[1]
        means = turned / np.maximum(number, 1), others / np.maximum(units - number, 1)
        low, high = np.minimum(*means), np.maximum(*means)
        # Turning no unit, or all of them, is as extreme whatever θ is.
        always = (number == 0) | (number == units)
        low[:, always], high[:, always] = -np.inf, np.inf
        # θ is not rejected if at least ``enough`` flips are as extreme. All ranges from low to high
        # hold the mean of all units, so θ is in enough of them from the enough-th lowest low on.
        enough = math.ceil(round((1 - level) * len(flips), 6))
        bounds[0, some] = np.partition(low, enough - 1, axis=1)[:, enough - 1]
        bounds[1, some] = -np.partition(-high, enough - 1, axis=1)[:, enough - 1]
    bounds[np.isinf(bounds)] = np.nan
    template.attrs = {**differences.attrs, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


def bounded_difference(name: str, differences: xr.DataArray) -> dict[str, xr.DataArray]:
    """Average over ``item``, skipping NaN, and bound by ``difference_interval``; see ``bounded``.

    Args:
        name: name of the mean difference.
        differences: see ``difference_interval``.
    """
    mean = differences.mean("item", keep_attrs=True)
    return bounded(name, mean, difference_interval(differences))


def difference_p_value(differences: xr.DataArray, seed: int = 0) -> xr.DataArray:
    """Test by sign flips whether mean differences are zero; two-sided, not adjusted.

    Args:
        differences: see ``difference_interval``.
        seed: seed of random flips, the same for all cells.

    Returns:
        p values without the dimension ``item``: the share of flips that are as extreme. The flip
        that turns no unit, which gives the observed sum, is one of them. NaN in cells without
        units.

    Raises:
        NeuroglotError: as ``difference_interval``.
    """
    rows, template = _by_row(differences)
    p = np.full(len(rows), np.nan)
    for some, _, turned, others in _sums_of_flips(rows, seed):
        opposite = ((turned <= 0) & (others >= 0)) | ((turned >= 0) & (others <= 0))
        p[some] = opposite.mean(axis=1)
    template.attrs = {"units": "probability", "seed": seed}
    return template.copy(data=p.reshape(template.shape))


def step_down_p_value(differences: xr.DataArray, cell: str, seed: int = 0) -> xr.DataArray:
    """Test a family whose cells share units: step-down maxT (Westfall and Young 1993, 2.8).

    A flip turns a unit in all cells at once, which keeps the dependence between them. A cell's
    statistic is |Σ d| / √(Σ d²): it rises with |Student's t|, and the mean of its square over flips
    is the same in all cells. The cells are taken in the order of their statistics, largest first.
    Each one is compared with what every flip gives as the largest statistic of this cell and those
    after it.

    Args:
        differences: one difference per cell and unit, [..., cell, item]; NaN where a cell lacks
            the unit. Each place of the leading dimensions is a family of its own.
        cell: name of the dimension that holds a family's cells.
        seed: seed of random flips, the same for all families.

    Returns:
        Adjusted p values without the dimension ``item``. A family without any effect has a p value
        of α or less in any of its cells with probability α at most. Never below
        ``difference_p_value``. The order in which cells are given plays no role. NaN in cells
        without units.

    Raises:
        NeuroglotError: as ``difference_interval``.
    """
    alone = difference_p_value(differences, seed)
    families = differences.transpose(..., cell, "item").to_numpy().astype(np.float64)
    joint = np.array(
        [_step_down(family, seed) for family in families.reshape(-1, *families.shape[-2:])]
    )
    ordered = alone.transpose(..., cell)
    # In a cell of few units, random flips of all the family's units may give a smaller p value than
    # the list of all flips of the cell's own units.
    adjusted = np.maximum(joint.reshape(ordered.shape), ordered.to_numpy())
    return ordered.copy(data=adjusted).transpose(*alone.dims)


def holm_p_value(p: xr.DataArray, cell: str) -> xr.DataArray:
    """Adjust the p values of a family whose cells share no units (Holm 1979).

    Args:
        p: p values, [..., cell], NaN in cells that were not tested.
        cell: name of the dimension that holds a family's cells.

    Returns:
        Adjusted p values, of the same dimensions.
    """
    ordered = p.transpose(..., cell)
    values = ordered.to_numpy()
    order = np.argsort(values, axis=-1, kind="stable")  # NaN last
    tests = np.isfinite(values).sum(axis=-1, keepdims=True)
    weights = tests - np.arange(values.shape[-1])
    multiplied = np.minimum(weights * np.take_along_axis(values, order, axis=-1), 1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(multiplied, axis=-1), axis=-1)
    adjusted[np.isnan(values)] = np.nan
    return ordered.copy(data=adjusted).transpose(*p.dims)


def fewest_units(tests: int = 1) -> int | None:
    """Give the smallest number of units with which a cell could earn a star.

    The smallest p value is one flip's share of all flips. Step-down maxT does not raise it where,
    in every cell, the differences of all units have the same sign. Holm's method multiplies it by
    the number of cells.

    Args:
        tests: number of cells for ``holm_p_value``, 1 for ``step_down_p_value``.

    Returns:
        The number; None if even ``FLIPS`` random flips could not.
    """
    attainable = (n for n in range(1, EXACT + 2) if tests / _number_of_flips(n) < STAR)
    return next(attainable, None)


def _number_of_flips(units: int) -> int:
    return 1 << (units - 1) if units <= EXACT else FLIPS + 1


@lru_cache(maxsize=4)
def _flips(units: int, seed: int) -> NDArray[np.float64]:
    """List flips: 1 where a flip turns a unit, else 0, [flip, unit]; the first flip turns none.

    Turning a set of units, and turning all units outside of the set, give sums that differ only in
    sign. So a list of all flips has only one of the two: that which leaves the first unit as it is.
    """
    if units <= EXACT:
        number = np.arange(_number_of_flips(units))
        return (number[:, None] << 1 >> np.arange(units) & 1).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, 2, (FLIPS, units))
    return np.concatenate([np.zeros((1, units)), drawn])


def _sums_of_flips(rows: NDArray[np.float64], seed: int) -> Iterator[SumsOfFlips]:
    """Sum the differences of the units that each flip turns, and those of the others.

    Args:
        rows: differences [row, unit], NaN where a row lacks the unit.
        seed: seed of random flips.

    Yields:
        ``SumsOfFlips`` for a block of rows that have the same number of units. Rows without units
        are left out.
    """
    numbers = np.isfinite(rows).sum(axis=1)
    for units in np.unique(numbers[numbers > 0]).tolist():
        flips = _flips(units, seed)
        alike = np.flatnonzero(numbers == units)
        step = max(1, SUMS // len(flips))
        for start in range(0, len(alike), step):
            some = alike[start : start + step]
            there = rows[some]
            there = there[np.isfinite(there)].reshape(len(some), units)
            turned = there @ flips.T
            others = there.sum(axis=1, keepdims=True) - turned
            rounding = ROUNDING * np.abs(there).sum(axis=1, keepdims=True)
            for sums in (turned, others):
                sums[np.abs(sums) <= rounding] = 0
            yield some, flips, turned, others


def _step_down(differences: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Adjust the p values of one family, [cell] from [cell, unit]."""
    known = np.isfinite(differences)
    there = known.any(axis=0)
    if not there.any():
        return np.full(len(differences), np.nan)
    values = np.where(known, differences, 0)[:, there]
    size = np.linalg.norm(values, axis=1, keepdims=True)
    signs = 1 - 2 * _flips(int(there.sum()), seed)
    statistic = np.abs(signs @ (values / np.where(size > 0, size, 1)).T)  # [flip, cell]
    order = np.argsort(-statistic[0], kind="stable")
    # For each place in the order: the largest statistic of the cell there and of those after it.
    largest = np.maximum.accumulate(statistic[:, order[::-1]], axis=1)[:, ::-1]
    p = (largest >= statistic[0, order] - ROUNDING).mean(axis=0)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(p)
    return np.where(known.any(axis=1), adjusted, np.nan)


def _by_row(differences: xr.DataArray) -> tuple[NDArray[np.float64], xr.DataArray]:
    """Give differences as rows, [row, unit], and an array with the dimensions of the results."""
    if not differences.sizes.get("item"):
        raise NeuroglotError(
            f"a test over items needs at least one item, found {dict(differences.sizes)}"
        )
    ordered = differences.transpose(..., "item")
    rows = ordered.to_numpy().astype(np.float64).reshape(-1, ordered.sizes["item"])
    if np.isinf(rows).any():
        raise NeuroglotError("a difference is infinite, and no test is defined; leave it out")
    return rows, ordered.isel(item=0, drop=True)
