"""Partners of like contribution for each kind's active neurons, in one task of one model."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.kinds import ACTIVE_KINDS, Bits, pack, unpack
from neuroglot.analyses.sharing.prompts import Prompts
from neuroglot.measures.matching import contribution_matched
from neuroglot.models.card import read_card
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.models.norms import value_norms


class KindPairs(NamedTuple):
    """A kind's active neurons with a partner, and the partners.

    Attributes:
        bits: the neurons and the partners, each ``[language, item, layer, byte]``.
        share: share of the kind's active neurons that have a partner, ``[language, item]``.
        contribution: share of their contribution, ``[language, item]``.
    """

    bits: tuple[Bits, Bits]
    share: NDArray[np.float64]
    contribution: NDArray[np.float64]


def layer_value_norms(model: Path) -> list[NDArray[np.float64]]:
    """``value_norms`` of each layer."""
    return [*map(value_norms, ffns(load(model, "cpu", read_card(model).dtype)))]


def pairs_of(
    prompts: Prompts,
    active: Mapping[str, Bits],
    norms: Sequence[NDArray[np.float64]],
    threshold: float,
) -> dict[str, KindPairs]:
    """Pair each kind's active neurons with others that contribute as much, item by item.

    Contributions are those in the item and language itself. How large they are does not decide
    which neurons are of a kind: only whether neurons are active does.

    Args:
        prompts: the task's recordings.
        active: result of ``Prompts.active``.
        norms: result of ``layer_value_norms``.
        threshold: neurons are active above it.
    """
    shape = len(prompts.recorded), len(prompts.items), len(norms), -(-max(prompts.neurons) // 8)
    bits = {kind: np.zeros((2, *shape), np.uint8) for kind in ACTIVE_KINDS}
    # neurons and contribution, with a partner and in all
    sums = {kind: np.zeros((2, 2, *shape[:2])) for kind in ACTIVE_KINDS}
    for layer, (act, kinds) in enumerate(prompts.by_layer(threshold)):
        for place, (language, values) in enumerate(act.items()):
            weight = np.abs(values, dtype=np.float64) * norms[layer]  # [item, neuron]
            fired = unpack(active[language][:, layer], kinds.neurons)
            for kind in ACTIVE_KINDS:
                chosen = kinds.mask(kind) & fired
                paired = contribution_matched(chosen, weight)
                for end, mask in enumerate(paired):
                    packed = pack(mask)
                    bits[kind][end, place, :, layer, : packed.shape[-1]] = packed
                for end, mask in enumerate((paired.chosen, chosen)):
                    sums[kind][0, end, place] += mask.sum(axis=-1)
                    sums[kind][1, end, place] += (mask * weight).sum(axis=-1)
    pairs = {}
    for kind, (neurons, contribution) in sums.items():
        shares = (
            part / np.where(whole > 0, whole, np.nan) for part, whole in (neurons, contribution)
        )
        pairs[kind] = KindPairs((bits[kind][0], bits[kind][1]), *shares)
    return pairs


def matched_shares(pairs: dict[str, KindPairs], languages: Iterable[str]) -> xr.Dataset:
    """Average the shares with partners over items, by the variant ``without_…`` of their kind.

    Returns:
        ``matched_share`` and ``matched_contribution`` ``[variant, language]``; NaN where no item
        has an active neuron of the kind.
    """
    coords = {"variant": [f"without_{kind}" for kind in pairs], "language": list(languages)}
    of_neurons, of_contribution = (
        xr.DataArray(np.stack(shares), coords, dims=("variant", "language", "item")).mean("item")
        for shares in zip(*((p.share, p.contribution) for p in pairs.values()), strict=True)
    )
    return xr.Dataset(
        {
            "matched_share": of_neurons.assign_attrs(units="share of neurons"),
            "matched_contribution": of_contribution.assign_attrs(units="share of contribution"),
        }
    )
