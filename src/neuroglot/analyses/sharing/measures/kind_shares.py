"""Shares of a layer's neurons by kind, and of active and dead neurons, by item.

The paper gives their means, see ``by_fact.means_bounded``. Activity is packed bits, uint8
[item, layer, byte].
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.kinds import (
    KINDS,
    Bits,
    KindBits,
    count_bits,
    kind_counts,
    valid,
)

NEURON_SHARE = "share of neurons"


def kind_shares(kinds: KindBits) -> xr.DataArray:
    """Compute the share of each kind among a layer's neurons (sharing, figures 2 to 4).

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        float64 [item, layer, kind]; sums to 1 over kinds.
    """
    share, source = kind_counts(kinds) / kinds.neurons, "figures 2 to 4, section 5.1.1"
    return _of_kinds(share, ("item", "layer", "kind"), source)


def overlap(kinds: KindBits) -> xr.DataArray:
    """Share of a layer's neurons that have the same kind in all items (sharing, figure 5).

    The paper shows it beside the mean of ``kind_shares``, which it never exceeds.

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        float64 [layer, kind].
    """
    same = [np.bitwise_and.reduce(kinds.bits(kind), axis=0) for kind in KINDS]
    share = np.stack([count_bits(bits) for bits in same], axis=-1) / kinds.neurons
    return _of_kinds(share, ("layer", "kind"), "figure 5, section 5.1.3")


def active_shares(languages: Mapping[str, Bits], neurons: int) -> xr.DataArray:
    """Compute the share of a layer's active neurons, by language (figures 2 to 4).

    Args:
        languages: activity [item, layer, byte] by language; one language is read at a time.
        neurons: width of a layer.

    Returns:
        float64 [language, item, layer].
    """
    counts = np.stack([count_bits(active & valid(neurons)) for active in languages.values()])
    attrs = {"units": NEURON_SHARE, "source": "figures 2 to 4, section 5.1.2"}
    return _of_languages(counts / neurons, languages, attrs)


def dead_shares(non_activated: Bits, ever_active: Mapping[str, Bits], neurons: int) -> xr.DataArray:
    """Share of an item's non-activated neurons that none of its tokens activates (figure 6).

    |N_non ∩ {inactive at every token}| / |N_non|.

    Args:
        non_activated: ``KindBits.non_activated`` over all languages, [item, layer, byte].
        ever_active: neurons active at any token of the item, [item, layer, byte] by language; one
            language is read at a time.
        neurons: width of a layer.

    Returns:
        float64 [language, item, layer]; NaN where the item has no non-activated neurons in the
        layer.
    """
    silent = non_activated & valid(neurons)
    count = count_bits(silent)
    total = np.where(count > 0, count, np.nan)
    shares = np.stack([count_bits(silent & ~ever) / total for ever in ever_active.values()])
    attrs = {"units": "share of non-activated neurons", "source": "figure 6, section 5.1.4"}
    return _of_languages(shares, ever_active, attrs)


def _of_kinds(share: NDArray[np.float64], dims: Sequence[str], source: str) -> xr.DataArray:
    attrs = {"units": NEURON_SHARE, "source": source}
    return xr.DataArray(share, {"kind": list(KINDS)}, dims, attrs=attrs)


def _of_languages(
    share: NDArray[np.float64], languages: Mapping[str, Bits], attrs: dict[str, str]
) -> xr.DataArray:
    dims = ("language", "item", "layer")
    return xr.DataArray(share, {"language": list(languages)}, dims, attrs=attrs)
