"""Per-row kernels for numpy arrays and for torch tensors on any device.

``x`` is always [row, width]: one recorded position per row, one neuron (or hidden dimension) per
column. Half precision is widened to float32 first. Sums accumulate in float64, so the device must
support float64. No function changes ``x``.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, get_args

import numpy as np
import scipy.special
from array_api_compat import array_namespace, device, is_torch_array

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.settings import Rule

Array: TypeAlias = Any
"""A numpy array or a torch tensor."""

# Values in a block of rows. On a CPU, temporaries that fit the cache make every pass several times
# faster. On a GPU, starting a kernel costs more than memory traffic, so blocks are larger.
CPU_BLOCK = 1 << 16
DEVICE_BLOCK = 1 << 26

SILENT = -5.5425944328308105
"""The largest float32 value whose GELU is 0, but for 0 itself and ±1.4e-45."""


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
    if rule == "nonzero" and _on_cpu(x) and _never_zero(x):
        xp = array_namespace(x)
        rows = xp.astype(xp.sum(folds, axis=1, keepdims=True), xp.int32)
        return rows + xp.zeros((1, x.shape[1]), dtype=xp.int32, device=device(x))
    return _count(x, folds, lambda block: _marks(block, rule, threshold))


def gelu_count_by_fold(x: Array, folds: Array, rule: Rule, threshold: float = 0.0) -> Array:
    """Count the rows of each fold in which the GELU of each value fires; see ``gelu``.

    Arguments and result are those of ``fire_count_by_fold``.
    """
    if rule == "above":
        return _count(x, folds, lambda block: _marks(_gelu(block), rule, threshold))
    # GELU is not zero above SILENT, but for 0 itself and the smallest number, whose half is 0.
    lowest = SILENT if rule == "nonzero" else 0.0

    def marks(block: Array) -> Array:
        xp = array_namespace(block)
        block = xp.astype(block, xp.float32, copy=False)
        return _marks(block, "above", lowest) * _marks(block * 0.5, "nonzero")

    return _count(x, folds, marks)


def gelu(x: Array) -> Array:
    """Compute the exact GELU x·Φ(x), always in float32.

    In float32 Φ(x) = (1 + erf(x/√2))/2 rounds to exactly 0 up to x = ``SILENT``, and so does GELU.
    In exact arithmetic GELU has no such zeros. They are the only sparsity that the published figure
    3 (roles, section 4.1) can show for an affine output; a wider type would give less of it. erf is
    evaluated in float64 and then rounded, because float32 erf reaches -1 at different values in
    different libraries and devices.
    """
    return array_namespace(x).concat([_gelu(block) for block, _ in _blocks(x)])


def scale(x: Array) -> Array:
    """Scale each row linearly to [0, 1] over its width (roles, equation 3).

    S(x_i) = (x_i - min x) / (max x - min x). A row whose values are all equal becomes zeros.
    """
    x = _widened(x)
    return _scale(x, array_namespace(x).empty_like(x))


def flatness(x: Array) -> Array:
    """Compute each row's activation flatness, float64 [row] (roles, equation 2).

    flatness(X) = -Σ_i S(x_i) log2 S(x_i) / m over the m columns, with 0 log 0 = 0. It lies between
    0 and log2(e)/e ≈ 0.53 bits per neuron; a row whose values are all equal has 0.
    """
    x = _widened(x)
    scratch = _Scratch(x)
    return array_namespace(x).concat([_flatness(block, scratch) for block, _ in _blocks(x)])


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
    xp, x = array_namespace(x), _widened(x)
    scratch, flat_rows = _Scratch(x), []
    total, squares = 0.0, 0.0
    for block, _ in _blocks(x):
        double = scratch.double(block)
        total = total + xp.sum(double, axis=0)
        double *= double
        squares = squares + xp.sum(double, axis=0)
        flat_rows.append(_flatness(block, scratch))
    flat = xp.concat(flat_rows)
    sums = {
        "sum": total,
        "sum_of_squares": squares,
        "argmax_count": _argmax_count(x),
        "flatness_sum": xp.sum(flat),
    }
    if folds is None:
        whole = xp.ones((1, x.shape[0]), dtype=xp.float32, device=device(x))
        counted = fire_count_by_fold(x, whole, rule, threshold)
        return sums | {"count": xp.sum(counted, axis=0, dtype=xp.int64)}
    counted = fire_count_by_fold(x, folds, rule, threshold)
    return sums | {
        "count": xp.sum(counted, axis=0, dtype=xp.int64),
        "count_by_fold": counted,
        # Float32 is several times faster, and exact enough for the width of an interval.
        "sum_by_fold": folds @ xp.astype(x, xp.float32, copy=False),
        "flatness_sum_by_fold": xp.astype(folds, xp.float64) @ flat,
    }


class _Scratch:
    """Memory for temporaries, used for one block after the other: to get it takes longer."""

    def __init__(self, x: Array) -> None:
        """Get memory for the blocks of ``x``."""
        self._xp = array_namespace(x)
        self._first = next(_blocks(x))[0]
        self._pair = self._xp.empty_like(self._first), self._xp.empty_like(self._first)
        self._double: Array = None

    def pair(self, block: Array) -> tuple[Array, Array]:
        """Two arrays of the block's shape and precision, whose content is arbitrary."""
        if len(block) == len(self._first):
            return self._pair
        return self._pair[0][: len(block)], self._pair[1][: len(block)]

    def double(self, block: Array) -> Array:
        """A copy of the block in float64."""
        if self._double is None:
            self._double = self._xp.empty_like(self._first, dtype=self._xp.float64)
        double = self._double[: len(block)]
        double[...] = block
        return double


def _scale(x: Array, out: Array) -> Array:
    xp = array_namespace(x)
    lowest = xp.min(x, axis=1, keepdims=True)
    span = xp.max(x, axis=1, keepdims=True)
    span -= lowest
    span += span == 0
    xp.subtract(x, lowest, out=out)
    out /= span
    return out


def _flatness(x: Array, scratch: _Scratch) -> Array:
    xp, width = array_namespace(x), x.shape[1]
    scaled, terms = scratch.pair(x)
    _scale(x, scaled)
    xp.clip(scaled, min=float(xp.finfo(x.dtype).smallest_normal), out=terms)  # 0 log 0 = 0
    xp.log(terms, out=terms)
    terms *= scaled
    return xp.sum(terms, axis=1, dtype=xp.float64) / (-math.log(2) * width)


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


def _count(x: Array, folds: Array, marks: Callable[[Array], Array]) -> Array:
    """Sum marks of 0 and 1 of each fold's rows, int32 [fold, width]."""
    xp = array_namespace(x)
    counts = sum(in_fold @ marks(block) for block, in_fold in _blocks(x, folds))
    return xp.astype(counts, xp.int32)


def _marks(x: Array, rule: Rule, threshold: float = 0.0) -> Array:
    """``fires`` as float32, 1 or 0."""
    xp = array_namespace(x)
    if not is_torch_array(x) or rule not in get_args(Rule):
        return xp.astype(fires(x, rule, threshold), xp.float32)
    # On a CPU, five times as fast as through a tensor of bool.
    marks = xp.empty_like(x, dtype=xp.float32)
    if rule == "nonzero":
        return xp.not_equal(x, 0, out=marks)
    return xp.greater(_widened(x), threshold if rule == "above" else 0, out=marks)


def _argmax_count(x: Array) -> Array:
    """Rows in which each neuron is the maximum, the first of equals; int64 [width]."""
    xp, width = array_namespace(x), x.shape[1]
    if _on_cpu(x):  # numpy's argmax is twenty times as fast as torch's
        return xp.asarray(np.bincount(np.asarray(x).argmax(1), minlength=width))
    return xp.bincount(xp.argmax(x, axis=1), minlength=width)


def _never_zero(x: Array) -> bool:
    """Whether no value is 0, of an array on the CPU; activations other than ReLU's rarely are."""
    return bool((np.asarray(_widened(x)) != 0).all())


def _on_cpu(x: Array) -> bool:
    return str(device(x)) == "cpu"


def _widened(x: Array) -> Array:
    xp = array_namespace(x)
    return x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)


def _blocks(x: Array, folds: Array | None = None) -> Iterator[tuple[Array, Array | None]]:
    """Cut ``x`` into blocks of rows, with these rows of ``folds``; one block if there is no row."""
    values = CPU_BLOCK if _on_cpu(x) else DEVICE_BLOCK
    rows = max(1, values // x.shape[1])
    for start in range(0, max(1, x.shape[0]), rows):
        block = slice(start, start + rows)
        yield x[block], None if folds is None else folds[:, block]
