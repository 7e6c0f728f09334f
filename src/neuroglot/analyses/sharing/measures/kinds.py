"""The four kinds of neurons by the languages that share them in an item, from packed bits.

Activity is stored as packed bits, uint8 [..., byte] with byte = ceil(neurons / 8): ``pack`` packs
bool [..., neuron]. Padding bits after the last neuron are ignored.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures.kernels import fires

Bits: TypeAlias = NDArray[np.uint8]
"""Packed bits [..., byte]."""

KINDS = ("all_shared", "partial_shared", "specific", "non_activated")

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
        """Get one kind's packed bits [..., byte].

        Raises:
            NeuroglotError: ``kind`` is not in ``KINDS``.
        """
        if kind not in KINDS:
            raise NeuroglotError(unknown_name("kind of neuron", kind, KINDS))
        found: Bits = getattr(self, kind)
        return found

    def mask(self, kind: str) -> NDArray[np.bool_]:
        """Mark the neurons of a kind, bool [..., neuron]; errors as ``bits``."""
        return unpack(self.bits(kind), self.neurons)

    def __getitem__(self, index: Any) -> "KindBits":
        """Select along the dimensions before ``byte``: ``kinds[:, 3]`` is layer 3 of every item."""
        picked = (*(index if isinstance(index, tuple) else (index,)), ..., slice(None))
        return KindBits(self.neurons, *(self.bits(kind)[picked] for kind in KINDS))


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

    Raises:
        NeuroglotError: there are no languages, or a language's bits differ in shape from the
            first's, are not uint8, or are not ceil(neurons / 8) bytes wide.
    """
    seen = _Seen(neurons)
    for active in languages:
        seen.add(active)
    return seen.kinds()


def nested_kinds(
    languages: Iterable[Bits], neurons: int, counts: Iterable[int]
) -> Iterator[tuple[int, KindBits]]:
    """Find the kinds over growing subsets of the languages (sharing, appendix A.3.4).

    Args:
        languages: see ``kinds``; a subset has the first languages in this order.
        neurons: width of a layer.
        counts: numbers of languages, such as 3, 5, 7 and 9.

    Yields:
        Each distinct count in ascending order, and the kinds over that many languages.

    Raises:
        NeuroglotError: as ``kinds``; or a count is below 1 or above the number of languages.
    """
    wanted = sorted(set(counts))
    if wanted and wanted[0] < 1:
        raise NeuroglotError(f"a subset of {wanted[0]} languages has no kinds; ask for 1 or more")
    seen, remaining = _Seen(neurons), iter(languages)
    for count in wanted:
        for active in islice(remaining, count - seen.languages):
            seen.add(active)
        if seen.languages < count:
            raise NeuroglotError(
                f"kinds over {count} languages were asked for, but there are {seen.languages}; "
                "ask for fewer or configure more"
            )
        yield count, seen.kinds()


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
    mask = np.logical_or.reduce([kinds.mask(kind) for kind in chosen])
    mask &= ~unpack(active, kinds.neurons)
    inactive: NDArray[np.bool_] = mask
    return inactive


def check_shape(values: NDArray[np.floating], kinds: KindBits) -> None:
    """Check that values [..., neuron] have the items, layers and neurons of ``kinds``.

    Raises:
        NeuroglotError: the shapes differ.
    """
    expected = (*kinds.all_shared.shape[:-1], kinds.neurons)
    if values.shape != expected:
        raise NeuroglotError(
            f"values {list(values.shape)} and kinds {list(expected)} of neurons differ in shape: "
            "take both of the same items and layers"
        )


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


class _Seen:
    """Neurons active in every language, in at least one and in at least two languages so far."""

    def __init__(self, neurons: int) -> None:
        self.neurons = neurons
        self.languages = 0

    def add(self, active: Bits) -> None:
        """Add one language."""
        if self.languages == 0:
            self.every = np.full(active.shape, 255, np.uint8)
            self.once = np.zeros(active.shape, np.uint8)
            self.twice = np.zeros(active.shape, np.uint8)
            self.valid = valid(active, self.neurons)
        self.languages += 1
        if active.dtype != np.uint8 or active.shape != self.every.shape:
            raise NeuroglotError(
                f"language {self.languages}: expected bits uint8 {self.every.shape}, found "
                f"{active.dtype} {active.shape}; pack the same items of every language"
            )
        again = np.empty(min(BLOCK, active.size), np.uint8)
        flat = (bits.reshape(-1) for bits in (active, self.every, self.once, self.twice))
        for x, every, once, twice in zip(*map(_blocks, flat), strict=True):
            np.bitwise_and(once, x, out=again[: x.size])
            twice |= again[: x.size]
            once |= x
            every &= x

    def kinds(self) -> KindBits:
        """Find the kinds over the languages added so far."""
        if self.languages == 0:
            raise NeuroglotError("neurons are told apart by language, and there is none; name some")
        return KindBits(
            self.neurons,
            all_shared=self.every & self.valid,
            partial_shared=self.twice & ~self.every & self.valid,
            specific=self.once & ~(self.twice | self.every) & self.valid,
            non_activated=~self.once & self.valid,
        )


def _blocks(flat: Bits) -> Iterator[Bits]:
    return (flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK))


def valid(bits: Bits, neurons: int) -> Bits:
    """Mark the bits of a row [byte] that belong to neurons, not to padding.

    Raises:
        NeuroglotError: ``bits`` do not have the width of ``neurons`` neurons.
    """
    meant = pack(np.ones(neurons, bool))
    if bits.shape[-1] != len(meant):
        raise NeuroglotError(
            f"{neurons} neurons are packed to {len(meant)} bytes, found {bits.shape[-1]}: "
            "the activity was recorded of another layer width"
        )
    return meant
