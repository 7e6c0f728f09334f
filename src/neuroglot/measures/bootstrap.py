"""Bootstrap over items or folds, with the same resamples for all variables.

A *variable* is what one estimate is made from: the values at one place of all other dimensions,
such as one language and variant. It is not a variable of a dataset.

Plain percentiles of means are too narrow: over 8 values, they cover 88 % instead of 95 %. Intervals
therefore take *expanded* percentiles, which are as far out as those of Student's t would be
(Hesterberg 2015, "What Teachers Should Know About the Bootstrap",
doi:10.1080/00031305.2015.1089789).
Differences between two variants of the same items have intervals in ``measures.significance``, and
shares of right answers in ``measures.proportions``.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm, t

from neuroglot.errors import NeuroglotError

ENDS = ("_low", "_high")
"""Suffixes of a variable's name for its lower and upper bound."""

Bound = TypeVar("Bound")
VARIABLES = 1 << 12  # variables at a time: 4,096 of them x 1,000 replicates are 32 MB
WEIGHTS = 1 << 22  # weights at a time: 32 MB


def interval(
    values: xr.DataArray, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound the mean over items by the bootstrap (Efron 1979) with expanded percentiles.

    Each replicate draws as many items as there are, with replacement, and averages the drawn items
    that have a value. The bounds are ``expanded_percentiles`` of these means. An item's weight is
    the number of times that it is drawn, so all means are one matrix product. Every variable has
    the same weights: a replicate draws the same items for all languages and variants.

    Args:
        values: one value per item, [..., item]; NaN where an item has none.
        replicates: number of resamples.
        level: share of the intervals that hold the true mean, above 0 and below 1.
        seed: seed of the resamples.

    Returns:
        low and high, float64 without the dimension ``item``; equal if all values are equal, NaN if
        fewer than two items have a value. ``attrs``: those of ``values`` and the three settings.

    Raises:
        NeuroglotError: there is no dimension ``item`` or no item, a value is infinite, or a
            setting is out of range.
    """
    _check(values, replicates, level)
    ordered = values.transpose(..., "item")
    rows = ordered.to_numpy().astype(np.float64).reshape(-1, ordered.sizes["item"])
    bounds = np.empty((2, len(rows)))
    for start in range(0, len(rows), VARIABLES):
        some = slice(start, start + VARIABLES)
        units = np.isfinite(rows[some]).sum(axis=1)
        means = _means(rows[some], replicates, seed)
        bounds[:, some] = expanded_percentiles(means, units, level)
    template = ordered.isel(item=0, drop=True)
    template.attrs = {**values.attrs, "replicates": replicates, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


def ratio_interval(
    part: xr.DataArray,
    whole: xr.DataArray,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound a ratio of two sums over folds, such as a share, by the bootstrap.

    Each replicate draws as many folds as there are, with replacement, and sums both variables over
    the drawn folds. If there are as many items as folds, ``interval`` draws the same. The bounds
    are ``expanded_percentiles``; only folds in which ``whole`` is not 0 count as units.

    Args:
        part: the numerator, [..., fold].
        whole: the denominator, with all or some of ``part``'s dimensions; 0 in empty folds.
        replicates: number of resamples.
        level: share of the intervals that hold the true ratio, above 0 and below 1.
        seed: seed of the resamples.

    Returns:
        low and high, float64 with ``part``'s dimensions without ``fold``; NaN where ``whole`` is 0
        in all folds or in all but one.

    Raises:
        NeuroglotError: as ``interval``, for folds.
    """
    ordered = part.transpose(..., "fold")
    _check(ordered.rename(fold="item"), replicates, level)
    below = whole.transpose(..., "fold").broadcast_like(ordered).transpose(*ordered.dims)
    folds = ordered.sizes["fold"]
    weights = fold_weights(folds, replicates, seed).T
    rows, totals = (sums.to_numpy().reshape(-1, folds) for sums in (ordered, below))
    bounds = np.empty((2, len(rows)))
    for start in range(0, len(rows), VARIABLES):
        some = slice(start, start + VARIABLES)
        drawn = totals[some].astype(np.float64) @ weights
        ratio = (rows[some].astype(np.float64) @ weights) / np.where(drawn > 0, drawn, np.nan)
        units = (totals[some] > 0).sum(axis=1)
        bounds[:, some] = expanded_percentiles(ratio, units, level)
    template = ordered.isel(fold=0, drop=True)
    template.attrs = {**part.attrs, "replicates": replicates, "level": level, "seed": seed}
    low, high = (template.copy(data=bound.reshape(template.shape)) for bound in bounds)
    return low, high


def perplexity_interval(
    nll: NDArray[np.float64],
    tokens: NDArray[np.integer],
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Bound perplexities by the bootstrap over segments of text, the same for all variants.

    A perplexity is not a mean, but its logarithm is a ratio of two. So ``expanded_percentiles``,
    which are made for means, fit perplexities too: the exponential keeps the order of the
    replicates.

    Args:
        nll: negative log-likelihood in nats, [variant, draw, segment]. The draws of a variant
            differ in their random neurons, not in their segments; NaN where a variant has fewer
            draws. A variant's perplexity is the mean of the perplexities of its draws.
        tokens: number of predicted tokens of each segment, [segment]; they are drawn with it.
        replicates: number of resamples.
        level: share of the intervals that hold the true perplexity.
        seed: seed of the resamples.

    Returns:
        low and high, [bound, variant]; NaN if there is only one segment, which has no spread.
    """
    weights = fold_weights(len(tokens), replicates, seed).T
    perplexities = np.exp((nll @ weights) / (tokens @ weights))  # [variant, draw, replicate]
    there = np.isfinite(perplexities).any(axis=2, keepdims=True)
    averaged = np.where(there, perplexities, 0).sum(axis=1) / there.sum(axis=1)
    return expanded_percentiles(averaged, len(tokens), level)


def resample_weights(items: int, replicates: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw how often each item is in each resample: float64 blocks [replicate, item].

    Each row is multinomial: ``items`` draws with equal chances.
    """
    generator = np.random.default_rng(seed)
    block = max(1, WEIGHTS // items)
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = generator.multinomial(items, np.full(items, 1 / items), size=size)
        yield drawn.astype(np.float64)


def fold_weights(folds: int, replicates: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw how often each fold is in each resample, [replicate, fold]; see ``resample_weights``."""
    return np.concatenate([*resample_weights(folds, replicates, seed)])


def _means(rows: NDArray[np.float64], replicates: int, seed: int) -> NDArray[np.float64]:
    """Average [variable, item] in each resample, [variable, replicate]; NaN without values."""
    known = ~np.isnan(rows)
    filled, there = np.where(known, rows, 0), known.astype(np.float64)
    means = np.empty((len(rows), replicates))
    start = 0
    for weights in resample_weights(rows.shape[1], replicates, seed):
        drawn = there @ weights.T
        total = filled @ weights.T
        some = slice(start, start + len(weights))
        means[:, some] = total / np.where(drawn > 0, drawn, np.nan)
        start += len(weights)
    # Rounding may make a mean of equal numbers differ from them.
    lowest = np.where(known, rows, np.inf).min(axis=1, keepdims=True)
    highest = np.where(known, rows, -np.inf).max(axis=1, keepdims=True)
    return np.clip(means, lowest, highest, out=means)


def percentiles(values: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Give the range of the middle ``level`` of each variable's draws, [bound, variable].

    Over permutations, this is the range of what chance gives. Over resamples, it is too narrow for
    the interval of an estimate: see ``expanded_percentiles``.

    Args:
        values: ``[variable, draw]``, NaN where a draw has no value.
        level: share of the values between the bounds.
    """
    at = [(1 - level) / 2, (1 + level) / 2]
    bounds = np.quantile(values, at, axis=1)
    lacking = np.isnan(values)
    partly = lacking.any(axis=1) & ~lacking.all(axis=1)
    if partly.any():
        bounds[:, partly] = np.nanquantile(values[partly], at, axis=1)
    return bounds


def expanded_level(units: int, level: float = 0.95) -> float:
    """Give the wider level to take percentiles at, so that intervals cover ``level``.

    The percentiles are those of means of n = ``units`` values. Means of resamples have (n - 1) / n
    times the variance of means of samples, and Student's t has heavier tails than the normal
    distribution. The lower percentile is therefore taken at Φ(-√(n / (n - 1)) t), and the upper at
    1 minus this, where t is the upper quantile for ``level`` of Student's distribution with n - 1
    degrees of freedom (Hesterberg 2015). With few units, the percentiles are nearly the lowest and
    the highest replicate.
    """
    quantile = t.ppf((1 + level) / 2, units - 1)
    return float(1 - 2 * norm.sf(np.sqrt(units / (units - 1)) * quantile))


def expanded_percentiles(
    values: NDArray[np.float64], units: int | NDArray[np.integer], level: float = 0.95
) -> NDArray[np.float64]:
    """Bound estimates by expanded percentiles of their resamples, [bound, variable].

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has no value.
        units: number of independent units that are resampled, such as items or folds, for all
            variables or ``[variable]``.
        level: share of the intervals that hold the true value.

    Returns:
        ``percentiles`` at ``expanded_level``; NaN for a variable of fewer than two units, whose
        spread is unknown.
    """
    bounds = np.full((2, len(values)), np.nan)
    units = np.broadcast_to(units, len(values))
    for number in np.unique(units[units > 1]).tolist():
        some = units == number
        bounds[:, some] = percentiles(values[some], expanded_level(number, level))
    return bounds


def centred_percentiles(
    values: NDArray[np.float64],
    estimate: NDArray[np.float64],
    units: int | NDArray[np.integer],
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Bound statistics that are not means by percentiles shifted to the estimate.

    A resample repeats some segments and lacks others, so it is noisier than the text. Noise
    raises some statistics (a spread) and lowers others (a correlation), and it does so in every
    resample. So the expanded percentiles are shifted until their median is the estimate. The bounds
    then say how far the statistic would vary over other texts of the same length.

    Args:
        values: ``[variable, replicate]``, NaN where a replicate has no value.
        estimate: the statistics over all folds, ``[variable]``.
        units: see ``expanded_percentiles``.
        level: share of the intervals that hold the true value.

    Returns:
        The bounds, [bound, variable]; the estimate is never outside of them. NaN where
        ``expanded_percentiles`` are NaN.
    """
    with np.errstate(invalid="ignore"):
        middle = percentiles(values, 0.0)[0]
    bounds: NDArray[np.float64] = expanded_percentiles(values, units, level) - middle + estimate
    return bounds


def with_bounds(*names: str) -> list[str]:
    """List the names of variables and their bounds, in the order of a table's columns."""
    return [name + end for name in names for end in ("", *ENDS)]


def named_bounds(name: str, bounds: Iterable[Bound]) -> dict[str, Bound]:
    """Map the names of a variable's lower and upper bound to the bounds."""
    return {name + end: bound for end, bound in zip(ENDS, bounds, strict=True)}


def bounded(
    name: str, estimate: xr.DataArray, bounds: Iterable[xr.DataArray | NDArray[np.floating]]
) -> dict[str, xr.DataArray]:
    """Map ``{name}``, ``{name}_low`` and ``{name}_high`` to an estimate and its bounds.

    Args:
        name: the estimate's name.
        estimate: the estimate.
        bounds: the lower and the upper bound, either as numpy arrays in the estimate's shape (from
            ``expanded_percentiles``) or as DataArrays (from ``interval``).

    Returns:
        The three arrays, in the order of ``with_bounds``. The bounds get the estimate's ``attrs``.
    """
    ends = named_bounds(name, bounds)
    return {name: estimate} | {
        key: bound.assign_attrs({**estimate.attrs, **bound.attrs})
        if isinstance(bound, xr.DataArray)
        else estimate.copy(data=bound)
        for key, bound in ends.items()
    }


def bounded_mean(name: str, values: xr.DataArray, replicates: int) -> dict[str, xr.DataArray]:
    """Average over ``item``, skipping NaN, and bound the mean by ``interval``; see ``bounded``."""
    return bounded(name, values.mean("item", keep_attrs=True), interval(values, replicates))


def _check(values: xr.DataArray, replicates: int, level: float) -> None:
    if not values.sizes.get("item"):
        raise NeuroglotError(
            f"a bootstrap over items needs at least one item, found {dict(values.sizes)}"
        )
    if np.isinf(values.to_numpy()).any():
        raise NeuroglotError("a value is infinite, and so is every mean with it; leave it out")
    if replicates < 1:
        raise NeuroglotError(f"bootstrap replicates: expected 1 or more, found {replicates}")
    if not 0 < level < 1:
        raise NeuroglotError(f"bootstrap level: expected a share between 0 and 1, found {level}")
