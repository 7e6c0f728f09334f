"""Ways to find other neurons for chosen ones: draws from a pool, and partners that are alike.

A draw is random and as large as the chosen neurons. Partners are alike one by one:
*activity-matched* neurons fire about as often in a text, and *contribution-matched* neurons
contribute about as much to the FFN's output. Neither ever contains chosen neurons: where too few
others are there or are alike, there are fewer. ``measures.controls`` says what is compared with
what.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CALIPER = 0.2
"""Largest difference of two partners, in standard deviations of what they are matched on."""
LEAST_MATCHED = 0.8
"""Smallest share of the chosen neurons, and of their contribution, that must have partners. Below
it, the chosen neurons count as having no others like them, and are not compared with partners."""

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
    contributes = contribution > 0
    level = np.log(contribution, where=contributes, out=np.zeros(contribution.shape))
    return _partners(chosen, level, contributes, caliper)


def activity_matched(
    chosen: Mask,
    frequency: NDArray[np.floating],
    generator: np.random.Generator,
    caliper: float = CALIPER,
    widths: Sequence[int] | None = None,
) -> Pairs:
    """Pair chosen neurons with others of their layer that fire about as often.

    The comparison of the two sets tells whether the chosen neurons matter more than others that
    fire as often. Pairs are made as in ``contribution_matched``, by the firing frequencies
    themselves. Among others that fire equally often, the choice is random.

    Args:
        chosen: the chosen neurons, bool [layer, neuron].
        frequency: share of a text's tokens at which a neuron fires, [layer, neuron]. The text must
            not be one that decided which neurons were chosen.
        generator: random generator.
        caliper: largest difference of two partners, in standard deviations of all frequencies in
            their layer.
        widths: number of neurons in each layer; None if all layers are as wide as ``chosen``.
    """
    there = within(chosen.shape[-1], widths)
    return _partners(chosen, frequency, there, caliper, TIES * generator.random(frequency.shape))


def within(width: int, widths: Sequence[int] | None) -> Mask:
    """Mark a layer's own neurons, bool [layer, neuron]: those within the layer's width."""
    return np.arange(width) < np.array([width] if widths is None else widths)[:, None]


def _partners(
    chosen: Mask,
    level: NDArray[np.floating],
    there: Mask,
    caliper: float,
    ties: NDArray[np.float64] | None = None,
) -> Pairs:
    """Pair the neurons of each row that are ``there`` by their levels.

    ``ties`` are random numbers of at most ``TIES``, which decide between neurons of equal levels.
    """
    paired, control = np.zeros_like(chosen), np.zeros_like(chosen)
    there = np.broadcast_to(there, chosen.shape)
    for row in np.ndindex(chosen.shape[:-1]):
        matched = np.flatnonzero(there[row])
        if len(matched) < 2:
            continue
        levels, mine = level[row][matched].astype(np.float64), chosen[row][matched]
        width = caliper * levels.std()
        if ties is not None:
            levels, width = levels + ties[row][matched], width + TIES
        first, second = _closest_pairs(levels[mine], levels[~mine], width)
        paired[row][matched[mine][first]] = True
        control[row][matched[~mine][second]] = True
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
