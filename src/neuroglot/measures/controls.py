"""Random controls: as many random neurons, or experts, in every layer as are chosen there.

The control gets the same edit as the chosen neurons. Both have the same number of neurons in every
layer (pool ``others`` may have fewer), so their effects differ for other reasons than numbers.
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
    """Draw as many random neurons (or experts) of each layer as are chosen there, from a pool.

    Args:
        chosen: bool [layer, neuron], or [layer, expert].
        generator: random generator, used layer after layer.
        pool: the neurons to draw from, uniformly. ``others``: neurons that are not chosen; if more
            than half of a layer is chosen, all others are taken, which are fewer. ``others first``:
            if the others run out, the rest is drawn from the chosen neurons, so that the number is
            the same. ``all``: all neurons, chosen or not.
        widths: number of neurons in each layer, [layer]; None if all layers are as wide as
            ``chosen``.

    Returns:
        bool, in the shape of ``chosen``.
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
    """Draw ``matched_random`` neurons for each item, from the pool ``others first``.

    Args:
        chosen: bool [item, layer, neuron].
        seed: seed of the draws.
        items: the items' numbers. An item's draw depends only on the seed and its number, not on
            the other items of a batch.
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
