"""The random control: as many neurons, or experts, of every layer as are chosen there.

Whatever is done to chosen ones is done to these as well: what the chosen ones' change brings about
beyond theirs is not a matter of how many they are, and in which layers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Pool = Literal["others", "others first", "all"]


def matched_random(
    chosen: Mask,
    generator: np.random.Generator,
    pool: Pool,
    widths: Sequence[int] | None = None,
) -> Mask:
    """Draw as many random members of each layer as are chosen there, all of a pool as likely.

    Args:
        chosen: bool [layer, neuron], or [layer, expert].
        generator: what is drawn with, layer after layer.
        pool: what is drawn from. ``others``: those that are not chosen; where more than half of a
            layer is, all the others are taken, which are fewer. ``others first``: these run out
            too, and the rest, drawn from the chosen ones, keeps the number the same. ``all``:
            chosen or not.
        widths: how many members each layer has, [layer]; None if as many as ``chosen`` is wide.

    Returns:
        bool, as ``chosen``.
    """
    drawn = np.zeros_like(chosen)
    whole = [chosen.shape[1]] * len(chosen)
    for mine, layer, width in zip(chosen, drawn, widths or whole, strict=True):
        layer[_DRAWN[pool](mine[:width], generator)] = True
    return drawn


def random_like(
    chosen: Mask,
    seed: int,
    items: Sequence[int] | NDArray[np.integer[Any]],
    widths: Sequence[int] | None = None,
) -> Mask:
    """Draw as many random neurons of each layer as are chosen there for an item, others first.

    Args:
        chosen: bool [item, layer, neuron].
        seed: of the draw.
        items: the items' numbers. Each has a draw of its own, so that it does not matter which
            other items are in a batch.
        widths: as ``matched_random``.

    Returns:
        bool [item, layer, neuron].
    """
    drawn = np.zeros_like(chosen)
    for item, mine, own in zip(items, chosen, drawn, strict=True):
        generator = np.random.default_rng([seed, item])
        own[:] = matched_random(mine, generator, "others first", widths)
    return drawn


def _others(mine: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    others = np.flatnonzero(~mine)
    return np.asarray(generator.choice(others, min(mine.sum(), len(others)), replace=False))


def _others_first(mine: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    ranked: NDArray[np.intp] = np.argsort(generator.random(mine.shape) + mine)
    return ranked[: mine.sum()]


def _all(mine: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    return np.flatnonzero(np.asarray(generator.permuted(mine)))


_DRAWN: Mapping[Pool, Callable[[Mask, np.random.Generator], NDArray[np.intp]]] = {
    "others": _others,
    "others first": _others_first,
    "all": _all,
}
