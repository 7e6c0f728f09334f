"""Controls: other neurons that get the same edit as chosen ones, and what is compared with what.

The same edit is made of five sets of neurons, ``SETS``. The chosen neurons are compared with others
that fire about as often (do they matter more than others that are active?). The part of them that
has partners is compared with these, which contribute as much (do they matter more than their
contribution explains?). As many random neurons are the naive control, which papers use: most of
them fire less, so it flatters the chosen neurons. ``measures.matching`` finds the neurons.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.matching import (
    LEAST_MATCHED,
    Mask,
    activity_matched,
    contribution_matched,
    drawn_like,
    within,
)

SETS = ("chosen", "active", "matched", "partner", "random")
"""The chosen neurons; others that fire as often; those of the chosen that have a partner of like
contribution; these partners; as many random others."""

CONTROLS: Mapping[str, tuple[str, str]] = {
    "activity": ("chosen", "active"),
    "contribution": ("matched", "partner"),
    "naive": ("chosen", "random"),
}
"""By control: the two sets that are compared."""


SHARES: Mapping[str, str] = {
    "active_share": "share of the chosen neurons that have a partner which fires about as often in "
    "the language's held-out text",
    "matched_share": "share of the chosen neurons that have a partner of like contribution there",
    "matched_contribution": "share of the chosen neurons' contribution that comes from those with "
    "such a partner",
}
"""Descriptions of the shares of the chosen neurons that others are like."""

LIKE: Mapping[str, Sequence[str]] = {
    "activity": ("active_share",),
    "contribution": ("matched_share", "matched_contribution"),
}
"""By control: the shares that must reach ``LEAST_MATCHED`` for a comparison."""


@dataclass(frozen=True, eq=False)
class ControlledSets:
    """The five sets of neurons of one language.

    Attributes:
        draws: by name in ``SETS``, masks bool [layer, neuron]; only ``random`` may have several.
        shares: by name in ``SHARES``; NaN if no neurons are chosen.
    """

    draws: Mapping[str, Sequence[Mask]]
    shares: Mapping[str, float]


def random_like(
    chosen: Mask,
    seed: int,
    items: Iterable[int] | NDArray[np.integer[Any]],
    widths: Sequence[int] | None = None,
) -> Mask:
    """Draw as many random other neurons of each item and layer as are chosen there.

    Where more than half of a layer is chosen, all others are taken, which are fewer.

    Args:
        chosen: bool [item, layer, neuron].
        seed: seed of the draws.
        items: the items' numbers, see ``drawn_like``.
        widths: number of neurons in each layer; None if all layers are as wide as ``chosen``.

    Returns:
        bool [item, layer, neuron].
    """
    return drawn_like(chosen, within(chosen.shape[-1], widths) & ~chosen, seed, items)


def controlled_sets(
    chosen: Mask,
    frequency: NDArray[np.float64],
    contribution: NDArray[np.float64],
    seeds: int,
    widths: Sequence[int] | None = None,
) -> ControlledSets:
    """Find the controls of chosen neurons.

    Args:
        chosen: bool [layer, neuron].
        frequency: share of the tokens of a text at which a neuron fires, [layer, neuron]; the text
            must not be one on which neurons were chosen.
        contribution: mean of |act_i| ‖v_i‖ over these tokens, [layer, neuron], in any unit.
        seeds: number of draws of random neurons.
        widths: number of neurons in each layer; None if all layers are as wide as ``chosen``.
    """
    pairs = contribution_matched(chosen, contribution)
    active = activity_matched(chosen, frequency, np.random.default_rng(0), widths=widths)
    random = [random_like(chosen[None], seed, [0], widths)[0] for seed in range(seeds)]
    return ControlledSets(
        {
            "chosen": [chosen],
            "active": [active.control],
            "matched": [pairs.chosen],
            "partner": [pairs.control],
            "random": random,
        },
        {
            "active_share": _share(active.chosen, chosen),
            "matched_share": _share(pairs.chosen, chosen),
            "matched_contribution": _share(pairs.chosen * contribution, chosen * contribution),
        },
    )


def described(
    sets: Sequence[ControlledSets], frequency: NDArray[np.float64], languages: Sequence[str]
) -> xr.Dataset:
    """Say how many neurons the sets have, how often they fire, and what shares have partners.

    Args:
        sets: of each language.
        frequency: how often neurons fire in each language, [language, layer, neuron].
        languages: ids.

    Returns:
        ``neurons(variant, language)``, ``firing_frequency(variant, language)`` (NaN without
        neurons), means over draws; and ``SHARES(language)``.
    """

    def averaged(of_mask: Callable[[Mask, NDArray[np.float64]], float]) -> NDArray[np.float64]:
        return np.array(
            [
                [
                    np.mean([of_mask(mask, often) for mask in of_language.draws[name]])
                    for of_language, often in zip(sets, frequency, strict=True)
                ]
                for name in SETS
            ]
        )

    by_set = ("variant", "language")
    numbers = averaged(lambda mask, _: float(mask.sum()))
    firing = averaged(lambda mask, often: float(often[mask].mean()) if mask.any() else np.nan)
    shares = {name: [of_language.shares[name] for of_language in sets] for name in SHARES}
    return xr.Dataset(
        {
            "neurons": (by_set, numbers, {"units": "neurons"}),
            "firing_frequency": (by_set, firing, {"units": "share of tokens"}),
            **{
                name: ("language", values, {"units": "share of neurons"})
                for name, values in shares.items()
            },
        },
        {"variant": list(SETS), "language": list(languages)},
    )


def _share(part: NDArray[Any], whole: NDArray[Any]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def excess(values: xr.DataArray, shares: xr.Dataset) -> xr.DataArray:
    """Subtract what each control does, [control, …] from [variant, …].

    Args:
        values: what the edit of each of ``SETS`` does, [variant, language, …].
        shares: ``SHARES`` by language.

    Returns:
        ``values`` of the first set of each of ``CONTROLS`` less those of the second. NaN where a
        share in ``LIKE`` is under ``LEAST_MATCHED``: there are no like neurons.
    """
    by_control = []
    for control, pair in CONTROLS.items():
        chosen, others = (values.sel(variant=name, drop=True) for name in pair)
        like = [shares[name] for name in LIKE.get(control, ())]
        told = xr.concat(like, "share").min("share") >= LEAST_MATCHED if like else True
        by_control.append((chosen - others).where(told))
    return xr.concat(by_control, xr.Variable("control", [*CONTROLS]))
