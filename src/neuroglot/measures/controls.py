"""Random controls: as many random neurons, or experts, in every layer as are chosen there.

The control gets the same edit as the chosen neurons, and has as many in every layer (with the pool
``others`` there may be fewer). So the numbers of neurons do not explain a difference of effects.
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
    widths = widths or [chosen.shape[1]] * len(chosen)
    for chosen_here, drawn_here, width in zip(chosen, drawn, widths, strict=True):
        drawn_here[_DRAW[pool](chosen_here[:width], generator)] = True
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
    for item, chosen_here, drawn_here in zip(items, chosen, drawn, strict=True):
        generator = np.random.default_rng([seed, item])
        drawn_here[:] = matched_random(chosen_here, generator, "others first", widths)
    return drawn


def _others(chosen: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    others = np.flatnonzero(~chosen)
    return np.asarray(generator.choice(others, min(chosen.sum(), len(others)), replace=False))


def _others_first(chosen: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    ranked: NDArray[np.intp] = np.argsort(generator.random(chosen.shape) + chosen)
    return ranked[: chosen.sum()]


def _all(chosen: Mask, generator: np.random.Generator) -> NDArray[np.intp]:
    return np.flatnonzero(np.asarray(generator.permuted(chosen)))


_DRAW: Mapping[Pool, Callable[[Mask, np.random.Generator], NDArray[np.intp]]] = {
    "others": _others,
    "others first": _others_first,
    "all": _all,
}
