"""Shares of a layer's neurons by kind, and of active and dead neurons: by item and their means.

The paper gives means over items. The bootstrap resamples the values by item, which never hold more
than ``[item, layer]`` by kind or language. Activity is packed bits, uint8 [item, layer, byte].
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

Shares = tuple[xr.DataArray, xr.DataArray]
"""A share of neurons: its mean over items, and by item."""

NEURON_SHARE = "share of neurons"


def kind_shares(kinds: KindBits) -> Shares:
    """Compute the share of each kind among a layer's neurons (sharing, figures 2 to 4).

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        Mean, float64 [layer, kind], and by item, [item, layer, kind]; both sum to 1 over kinds.
    """
    counts, source = kind_counts(kinds), "figures 2 to 4, section 5.1.1"
    mean = counts.sum(axis=0) / (len(counts) * kinds.neurons)
    return (
        _of_kinds(mean, ("layer", "kind"), source),
        _of_kinds(counts / kinds.neurons, ("item", "layer", "kind"), source),
    )


def overlap(kinds: KindBits) -> xr.DataArray:
    """Share of a layer's neurons that have the same kind in all items (sharing, figure 5).

    The paper shows it beside the mean share of ``kind_shares``, which it never exceeds.

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        float64 [layer, kind].
    """
    same = [np.bitwise_and.reduce(kinds.bits(kind), axis=0) for kind in KINDS]
    share = np.stack([count_bits(bits) for bits in same], axis=-1) / kinds.neurons
    return _of_kinds(share, ("layer", "kind"), "figure 5, section 5.1.3")


def active_shares(languages: Mapping[str, Bits], neurons: int) -> Shares:
    """Compute the share of a layer's active neurons, by language (figures 2 to 4).

    Args:
        languages: activity [item, layer, byte] by language; one language is read at a time.
        neurons: width of a layer.

    Returns:
        Mean, float64 [language, layer], and by item, [language, item, layer].
    """
    counts = np.stack([count_bits(active & valid(neurons)) for active in languages.values()])
    attrs = {"units": NEURON_SHARE, "source": "figures 2 to 4, section 5.1.2"}
    by_item = _of_languages(counts / neurons, languages, attrs)
    mean = counts.sum(axis=1) / (counts.shape[1] * neurons)
    return by_item.isel(item=0).copy(data=mean), by_item


def dead_shares(non_activated: Bits, ever_active: Mapping[str, Bits], neurons: int) -> Shares:
    """Share of an item's non-activated neurons that none of its tokens activates (figure 6).

    |N_non ∩ {inactive at every token}| / |N_non|.

    Args:
        non_activated: ``KindBits.non_activated`` over all languages, [item, layer, byte].
        ever_active: neurons active at any token of the item, [item, layer, byte] by language; one
            language is read at a time.
        neurons: width of a layer.

    Returns:
        Mean over the items that have non-activated neurons in the layer, float64 [layer, language],
        and by item, [language, item, layer]; NaN where there are no non-activated neurons.
    """
    silent = non_activated & valid(neurons)
    count = count_bits(silent)
    total = np.where(count > 0, count, np.nan)
    shares = np.stack([count_bits(silent & ~ever) / total for ever in ever_active.values()])
    attrs = {"units": "share of non-activated neurons", "source": "figure 6, section 5.1.4"}
    by_item = _of_languages(shares, ever_active, attrs)
    return by_item.mean("item", keep_attrs=True).transpose("layer", "language"), by_item


def _of_kinds(share: NDArray[np.float64], dims: Sequence[str], source: str) -> xr.DataArray:
    attrs = {"units": NEURON_SHARE, "source": source}
    return xr.DataArray(share, {"kind": list(KINDS)}, dims, attrs=attrs)


def _of_languages(
    share: NDArray[np.float64], languages: Mapping[str, Bits], attrs: dict[str, str]
) -> xr.DataArray:
    dims = ("language", "item", "layer")
    return xr.DataArray(share, {"language": list(languages)}, dims, attrs=attrs)
