"""Matched controls: other neurons that could have mattered as much as the chosen ones.

The chosen neurons and their control get the same edit. *Active-matched* neurons are drawn from
those that are active under the same condition, and *contribution-matched* neurons contribute about
as much to the FFN's output. A control never contains chosen neurons: where too few other neurons
are like them, the control is smaller.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CALIPER = 0.2
"""Largest difference of two partners, in standard deviations of the log contribution."""
AS_OFTEN = 0.1
"""Largest difference between two partners' shares of the tokens at which they are active."""
LEAST_MATCHED = 0.8
"""Smallest share of the chosen neurons, and of their contribution, that must have partners. Below
it, the chosen neurons count as having no others like them, and are not compared by contribution."""

TIES = 1e-6  # smaller than differences between shares of tokens; random parts of it break ties


class Pairs(NamedTuple):
    """Chosen neurons that have a partner, and the partners: equally many in each row.

    Attributes:
        chosen: bool [..., neuron].
        control: bool [..., neuron].
    """

    chosen: Mask
    control: Mask


def as_many(pool: Mask, count: NDArray[np.integer], generator: np.random.Generator) -> Mask:
    """Draw random neurons of each row from a pool; the whole pool where it has too few.

    Args:
        pool: neurons to draw from, bool [..., neuron].
        count: how many to draw, [...].
        generator: random generator.

    Returns:
        bool [..., neuron].
    """
    order = np.where(pool, generator.random(pool.shape), 2).argsort(axis=-1)
    drawn = np.zeros_like(pool)
    within = np.arange(pool.shape[-1]) < np.asarray(count)[..., None]
    np.put_along_axis(drawn, order, within, axis=-1)
    drawn &= pool
    return drawn


def drawn_like(
    chosen: Mask, pool: Mask, seed: int, items: Iterable[int] | NDArray[np.integer]
) -> Mask:
    """Draw as many neurons of each item and layer from a pool as are chosen there.

    Args:
        chosen: the chosen neurons, bool [item, layer, neuron].
        pool: neurons to draw from, bool [item, layer, neuron], or for all items [layer, neuron].
        seed: seed of the draws.
        items: the items' numbers. An item's draw depends only on the seed and its number, not on
            the other items of a batch.
    """
    drawn = np.zeros_like(chosen)
    pools = np.broadcast_to(pool, chosen.shape)
    for item, of_item, draw, here in zip(items, chosen, drawn, pools, strict=True):
        draw[:] = as_many(here, of_item.sum(axis=-1), np.random.default_rng([seed, item]))
    return drawn


def as_often_active(
    chosen: Mask, active_share: NDArray[np.floating], generator: np.random.Generator
) -> Mask:
    """Draw, for each chosen neuron, another of its row that is active about as often.

    The closest pair of a chosen neuron and another is made first, as in ``contribution_matched``;
    which of equally close neurons is drawn is random. A chosen neuron gets no partner if all others
    that are left differ by more than ``AS_OFTEN``.

    Args:
        chosen: the chosen neurons, bool [..., neuron].
        active_share: share of the tokens at which a neuron is active, [..., neuron], from text that
            did not choose the neurons; NaN for padding neurons.
        generator: random generator, used row after row.

    Returns:
        The drawn neurons, bool [..., neuron].
    """
    drawn = np.zeros_like(chosen)
    for row in np.ndindex(chosen.shape[:-1]):
        there = np.flatnonzero(np.isfinite(active_share[row]))
        level = active_share[row][there] + TIES * generator.random(len(there))
        mine = chosen[row][there]
        if not mine.any():
            continue
        _, second = _closest_pairs(level[mine], level[~mine], AS_OFTEN + TIES)
        drawn[row][there[~mine][second]] = True
    return drawn


def contribution_matched(
    chosen: Mask, contribution: NDArray[np.float64], caliper: float = CALIPER
) -> Pairs:
    """Pair chosen neurons with others of their row that contribute about as much.

    The comparison of the two sets tells whether the chosen neurons matter more than their
    contribution explains. The closest pair is made first, then the closest of the rest, and so on;
    a neuron is in one pair at most. The log contributions of two partners differ by at most
    ``caliper`` standard deviations of all log contributions in their row.

    Args:
        chosen: the chosen neurons, bool [..., neuron].
        contribution: |act_i| ‖v_i‖ in any unit, [..., neuron]. Its size must not have decided which
            neurons were chosen. Neurons that contribute nothing get no partner.
        caliper: largest difference of two partners, in standard deviations.
    """
    paired, control = np.zeros_like(chosen), np.zeros_like(chosen)
    for row in np.ndindex(chosen.shape[:-1]):
        contributing = np.flatnonzero(contribution[row] > 0)
        if len(contributing) < 2:
            continue
        level = np.log(contribution[row][contributing])
        mine = chosen[row][contributing]
        first, second = _closest_pairs(level[mine], level[~mine], caliper * level.std())
        paired[row][contributing[mine][first]] = True
        control[row][contributing[~mine][second]] = True
    return Pairs(paired, control)


def _closest_pairs(
    ours: NDArray[np.float64], others: NDArray[np.float64], width: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair numbers greedily, closest first, if they differ by at most ``width``.

    In each round every number without a partner looks for its nearest free one, and those that are
    each other's nearest become partners. The closest pair of a round is always made, so the result
    is that of taking the closest pair, then the closest of the rest, and so on.

    Returns:
        Indices into ``ours`` and into ``others``, in the order of pairing.
    """
    ours_free, others_free = np.argsort(ours, kind="stable"), np.argsort(others, kind="stable")
    first, second = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    while len(ours_free) and len(others_free):
        nearest = _nearest(ours[ours_free], others[others_free])
        back = _nearest(others[others_free], ours[ours_free])
        mutual = back[nearest] == np.arange(len(ours_free))
        near = np.abs(ours[ours_free] - others[others_free][nearest]) <= width
        made = mutual & near
        if not made.any():
            break
        first.append(ours_free[made])
        second.append(others_free[nearest[made]])
        others_free = np.delete(others_free, nearest[made])
        # A number whose nearest free one is too far can have no partner: fewer will be free later.
        ours_free = ours_free[~made & near]
    return np.concatenate(first), np.concatenate(second)


def _nearest(numbers: NDArray[np.float64], ordered: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each of ``numbers``, find the index of the nearest in ``ordered``; the lower in a tie.

    ``ordered`` ascends.
    """
    above = np.searchsorted(ordered, numbers).clip(0, len(ordered) - 1)
    below = (above - 1).clip(0)
    nearer: NDArray[np.intp] = np.where(
        numbers - ordered[below] <= ordered[above] - numbers, below, above
    )
    return nearer
