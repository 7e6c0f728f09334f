"""Per-row kernels for numpy arrays and for torch tensors on any device.

``x`` is always [row, width]: one recorded position per row, one neuron (or hidden dimension) per
column. Half precision is widened to float32 first. Sums accumulate in float64, so the device must
support float64. No function changes ``x``.
"""

from collections.abc import Iterator
from functools import reduce
from typing import Any, TypeAlias, get_args

import scipy.special
from array_api_compat import array_namespace, device, is_torch_array

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.settings import Rule

Array: TypeAlias = Any
"""A numpy array or a torch tensor."""

# Values in a block of rows. On a CPU, temporaries that fit the cache make every pass several times
# faster. On a GPU, starting a kernel costs more than memory traffic, so blocks are larger.
CPU_BLOCK = 1 << 18
DEVICE_BLOCK = 1 << 26


def fires(x: Array, rule: Rule, threshold: float = 0.0) -> Array:
    """Mark where a neuron fires, bool of the shape of ``x``.

    Args:
        x: activations.
        rule: ``nonzero`` is the rule of the paper (roles, section 4.1); ``positive`` is x > 0;
            ``above`` is x > ``threshold``. The first two ignore the threshold.
        threshold: in units of activation.

    Raises:
        NeuroglotError: the rule is unknown.
    """
    xp = array_namespace(x)
    if rule == "nonzero":
        return xp.astype(x, xp.bool)  # several times faster in torch than x != 0
    if rule == "positive":
        return x > 0
    if rule == "above":
        return _widened(x) > threshold  # a half-precision comparison would round the threshold
    raise NeuroglotError(unknown_name("firing rule", rule, get_args(Rule)))


def fire_count_by_fold(x: Array, folds: Array, rule: Rule, threshold: float = 0.0) -> Array:
    """Count the rows of each fold in which each neuron fires.

    Args:
        x: activations [row, width].
        folds: float32 [fold, row], 1 if the row is in the fold, else 0.
        rule: see ``fires``.
        threshold: see ``fires``.

    Returns:
        int32 [fold, width], exact up to 16,777,216 rows.
    """
    xp = array_namespace(x)
    counts = sum(
        in_fold @ xp.astype(fires(block, rule, threshold), xp.float32)
        for block, in_fold in _blocks(x, folds)
    )
    return xp.astype(counts, xp.int32)


def gelu(x: Array) -> Array:
    """Compute the exact GELU x·Φ(x), always in float32.

    In float32 Φ(x) = (1 + erf(x/√2))/2 rounds to exactly 0 below x ≈ -5.54, and so does GELU. In
    exact arithmetic GELU has no such zeros. They are the only sparsity that the published figure 3
    (roles, section 4.1) can show for an affine output; a wider type would give less of it. erf is
    evaluated in float64 and then rounded, because float32 erf reaches -1 at different values in
    different libraries and devices.
    """
    return array_namespace(x).concat([_gelu(block) for block, _ in _blocks(x)])


def scale(x: Array) -> Array:
    """Scale each row linearly to [0, 1] over its width (roles, equation 3).

    S(x_i) = (x_i - min x) / (max x - min x). A row whose values are all equal becomes zeros.
    """
    xp = array_namespace(x)
    x = _widened(x)
    lowest = xp.min(x, axis=1, keepdims=True)
    span = xp.max(x, axis=1, keepdims=True) - lowest
    scaled = x - lowest
    scaled /= xp.where(span == 0, xp.ones_like(span), span)
    return scaled


def flatness(x: Array) -> Array:
    """Compute each row's activation flatness, float64 [row] (roles, equation 2).

    flatness(X) = -Σ_i S(x_i) log2 S(x_i) / m over the m columns, with 0 log 0 = 0. It lies between
    0 and log2(e)/e ≈ 0.53 bits per neuron; a row whose values are all equal has 0.
    """
    xp = array_namespace(x)
    scaled = scale(x)
    tiny = xp.finfo(scaled.dtype).smallest_normal
    scaled *= xp.log2(xp.clip(scaled, min=tiny))  # the clip makes 0 log 0 equal to 0
    return -xp.sum(scaled, axis=1, dtype=xp.float64) / x.shape[1]


def row_statistics(
    x: Array, rule: Rule, threshold: float = 0.0, folds: Array | None = None
) -> dict[str, Array]:
    """Sum the statistics that the measures need over rows.

    The statistics of disjoint sets of rows add up, key by key, to those of their union. Without
    rows they are zero.

    Args:
        x: activations [row, width] with width at least 1.
        rule: see ``fires``.
        threshold: see ``fires``.
        folds: float32 [fold, row], 1 if the row is in the fold, else 0.

    Returns:
        ``count`` [width] int64: rows in which the neuron fires; ``sum`` and ``sum_of_squares``
        [width] float64; ``argmax_count`` [width] int64: rows in which the neuron is the maximum
        (the first of equals); ``flatness_sum`` float64 scalar: equation 1. With ``folds`` also
        ``count_by_fold`` [fold, width] int32 (exact up to 16,777,216 rows), ``sum_by_fold`` [fold,
        width] float32 (seven digits), and ``flatness_sum_by_fold`` [fold] float64.

    Raises:
        NeuroglotError: ``x`` is not [row, width], or the rule is unknown.
    """
    if x.ndim != 2 or x.shape[1] == 0:
        raise NeuroglotError(f"row statistics need activations [row, width], found {x.shape}")
    parts = (
        _block_statistics(block, rule, threshold, in_fold) for block, in_fold in _blocks(x, folds)
    )
    return reduce(lambda a, b: {key: a[key] + b[key] for key in a}, parts)


def _gelu(x: Array) -> Array:
    xp = array_namespace(x)
    x = xp.astype(x, xp.float32)
    erf = xp.erf if is_torch_array(x) else scipy.special.erf
    argument = xp.astype(x, xp.float64)
    argument *= 0.5**0.5
    doubled_phi = xp.astype(erf(argument), xp.float32)
    doubled_phi += 1
    doubled_phi *= x
    doubled_phi *= 0.5
    return doubled_phi


def _block_statistics(
    x: Array, rule: Rule, threshold: float, folds: Array | None
) -> dict[str, Array]:
    xp = array_namespace(x)
    x = _widened(x)
    maximum_at = xp.argmax(x, axis=1)
    double = xp.astype(x, xp.float64, copy=True)
    total = xp.sum(double, axis=0)
    double *= double
    firing, flat = fires(x, rule, threshold), flatness(x)
    sums = {
        "count": xp.sum(firing, axis=0),
        "sum": total,
        "sum_of_squares": xp.sum(double, axis=0),
        "argmax_count": xp.bincount(maximum_at, minlength=x.shape[1]),
        "flatness_sum": xp.sum(flat),
    }
    if folds is None:
        return sums
    return sums | {
        # Float32 is several times faster, and exact enough for the width of an interval.
        "count_by_fold": xp.astype(folds @ xp.astype(firing, xp.float32), xp.int32),
        "sum_by_fold": folds @ xp.astype(x, xp.float32),
        "flatness_sum_by_fold": xp.astype(folds, xp.float64) @ flat,
    }


def _widened(x: Array) -> Array:
    xp = array_namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def _blocks(x: Array, folds: Array | None = None) -> Iterator[tuple[Array, Array | None]]:
    """Cut ``x`` into blocks of rows, with these rows of ``folds``; one block if there is no row."""
    values = CPU_BLOCK if str(device(x)) == "cpu" else DEVICE_BLOCK
    rows = max(1, values // x.shape[1])
    for start in range(0, max(1, x.shape[0]), rows):
        block = slice(start, start + rows)
        yield x[block], None if folds is None else folds[:, block]
