"""The four kinds of neurons by the languages that share them in an item, from packed bits.

Activity is stored as packed bits, uint8 [..., byte] with byte = ceil(neurons / 8): ``pack`` packs
bool [..., neuron]. Padding bits after the last neuron are ignored.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.kernels import fires

Bits: TypeAlias = NDArray[np.uint8]
"""Packed bits [..., byte]."""

Seen: TypeAlias = tuple[Bits, Bits, Bits]
"""Neurons active in every language, in at least one and in at least two languages."""

KINDS = ("all_shared", "partial_shared", "specific", "non_activated")

ACTIVE_KINDS = KINDS[:3]
"""The kinds whose neurons are active in some language."""

KIND = "kind of neuron: active in all languages, in some, in one or in none"
"""Description of the coordinate ``kind``."""

# Bytes per block: larger temporaries do not fit the cache, smaller blocks cost more calls.
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class KindBits:
    """The neurons of the four kinds as packed bits [..., byte]; every neuron has exactly one kind.

    Attributes:
        neurons: width of a layer.
        all_shared: active in all languages (sharing, equation 4).
        partial_shared: active in at least two languages, but not in all (equation 7).
        specific: active in exactly one language (equation 6).
        non_activated: active in no language (equation 5).
    """

    neurons: int
    all_shared: Bits
    partial_shared: Bits
    specific: Bits
    non_activated: Bits

    def bits(self, kind: str) -> Bits:
        """Get one kind's packed bits [..., byte]."""
        bits: Bits = getattr(self, kind)
        return bits

    def mask(self, kind: str) -> NDArray[np.bool_]:
        """Mark the neurons of a kind, bool [..., neuron]."""
        return unpack(self.bits(kind), self.neurons)

    def __getitem__(self, index: Any) -> "KindBits":
        """Select along the dimensions before ``byte``: ``kinds[:, 3]`` is layer 3 of every item."""
        return KindBits(self.neurons, *(self.bits(kind)[index] for kind in KINDS))


def pack(active: NDArray[np.bool_]) -> Bits:
    """Pack the activity of neurons, bool [..., neuron], into bits [..., byte].

    Neuron i is bit i mod 8 of byte i // 8, counted from the lowest bit. Padding bits are 0.
    """
    return np.packbits(active, axis=-1, bitorder="little")


def unpack(bits: Bits, neurons: int) -> NDArray[np.bool_]:
    """Undo ``pack``: bool [..., neuron]."""
    return np.unpackbits(bits, axis=-1, count=neurons, bitorder="little").view(np.bool_)


def pack_above(act: NDArray[np.floating], thresholds: Iterable[float]) -> Bits:
    """Pack the activity of neurons at each of several thresholds (sharing, appendix A.3.7).

    Args:
        act: activations [..., neuron], such as [item, layer, neuron].
        thresholds: in units of activation; a neuron is active if act > threshold.

    Returns:
        [threshold, ..., byte].

    Raises:
        NeuroglotError: an activation is NaN.
    """
    if np.isnan(act).any():
        raise NeuroglotError(
            "an activation is NaN, so it is neither active nor inactive: the model overflows; "
            "run it in float32 or bfloat16"
        )
    return np.stack([pack(fires(act, "above", threshold)) for threshold in thresholds])


def median_above(act: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Take the median of the activations above a threshold.

    Args:
        act: activations [..., neuron], such as [item, layer, neuron].
        threshold: in units of activation.

    Returns:
        [...]; NaN where no neuron is above the threshold.
    """
    above = np.where(act > threshold, act, np.nan)
    with catch_warnings():
        simplefilter("ignore", RuntimeWarning)  # there may be no neuron
        return np.asarray(np.nanmedian(above, axis=-1), np.float32)


def kinds(languages: Iterable[Bits], neurons: int) -> KindBits:
    """Find the four kinds of neurons (sharing, equations 4 to 7, section 3.3).

    N_all = ∩ {A > 0}; N_non = ∩ {A ≤ 0}; N_specific = ∪_k ({A_k > 0} ∩ ∩_{j≠k} {A_j ≤ 0});
    N_partial is the rest. One pass over the languages needs a few bitwise operations per language
    and holds one language in memory. With a single language, its active neurons satisfy both
    equations 4 and 6: they are counted as all-shared.

    Args:
        languages: each language's activity [..., byte] on the same items, in any order.
        neurons: width of a layer.

    Returns:
        The kinds, with the shape of one language's activity.
    """
    *_, seen = _seen(languages)
    return _kinds_of(seen, neurons)


def nested_kinds(
    languages: Iterable[Bits], neurons: int, counts: Collection[int]
) -> Iterator[tuple[int, KindBits]]:
    """Find the kinds over growing subsets of the languages (sharing, appendix A.3.4).

    Args:
        languages: see ``kinds``; a subset has the first languages in this order.
        neurons: width of a layer.
        counts: numbers of languages, such as 3, 5, 7 and 9, at most the number of ``languages``.

    Yields:
        Each distinct count in ascending order, and the kinds over that many languages.
    """
    first = islice(languages, max(counts, default=0))
    for count, seen in enumerate(_seen(first), start=1):
        if count in counts:
            yield count, _kinds_of(seen, neurons)


def convertible(kinds: KindBits, active: Bits, chosen: Iterable[str]) -> NDArray[np.bool_]:
    """Mark the neurons of some kinds that are inactive in a language (sharing, table 3).

    If they are activated, all neurons of these kinds are active in the language.

    Args:
        kinds: kinds of neurons for some items, [..., byte].
        active: activity of one language in these items, or of one language per item, [..., byte].
        chosen: names of the kinds.

    Returns:
        bool [..., neuron].
    """
    bits = np.bitwise_or.reduce([kinds.bits(kind) for kind in chosen])
    return unpack(bits & ~active, kinds.neurons)


def kind_counts(kinds: KindBits) -> NDArray[np.int64]:
    """Count the neurons of each kind, [..., kind] in the order of ``KINDS``."""
    return np.stack([count_bits(kinds.bits(kind)) for kind in KINDS], axis=-1)


def count_bits(bits: Bits) -> NDArray[np.int64]:
    """Count the set bits of [..., byte], int64 [...]; padding bits must be 0."""
    width = bits.shape[-1]
    # If a row consists of whole words, there are eight times fewer counts to add up.
    word = np.uint64 if width % 8 == 0 else np.uint8
    rows = np.ascontiguousarray(bits).reshape(-1, width).view(word)
    step = max(1, BLOCK // max(1, width))
    total = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), step):
        block = np.bitwise_count(rows[start : start + step])
        total[start : start + step] = block.sum(axis=1, dtype=np.int64)
    return total.reshape(bits.shape[:-1])


def _seen(languages: Iterable[Bits]) -> Iterator[Seen]:
    """Give, after each language, what is ``Seen`` so far; the arrays are the same each time."""
    seen: Seen | None = None
    for active in languages:
        if seen is None:
            seen = np.full_like(active, 255), np.zeros_like(active), np.zeros_like(active)
        again = np.empty(min(BLOCK, active.size), np.uint8)
        flat = (bits.reshape(-1) for bits in (active, *seen))
        for x, every, once, twice in zip(*map(_blocks, flat), strict=True):
            np.bitwise_and(once, x, out=again[: x.size])
            twice |= again[: x.size]
            once |= x
            every &= x
        yield seen


def _kinds_of(seen: Seen, neurons: int) -> KindBits:
    (every, once, twice), there = seen, valid(neurons)
    return KindBits(
        neurons,
        all_shared=every & there,
        partial_shared=twice & ~every & there,
        specific=once & ~(twice | every) & there,
        non_activated=~once & there,
    )


def _blocks(flat: Bits) -> Iterator[Bits]:
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))


def valid(neurons: int) -> Bits:
    """Mark the bits of a row [byte] that belong to neurons, not to padding."""
    return pack(np.ones(neurons, bool))
