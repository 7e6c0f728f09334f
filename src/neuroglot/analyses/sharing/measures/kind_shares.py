"""Shares of a layer's neurons by kind, and of active and dead neurons: by item and their means.

The paper gives means over items. The bootstrap resamples the values by item, which never hold more
than ``[item, layer]`` by kind or language.
"""

from collections.abc import Mapping

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
from neuroglot.errors import NeuroglotError

NEURON_SHARE = "share of neurons"
BY_KIND = ("layer", "kind")
BY_LANGUAGE = ("language", "layer")
ACTIVE = "figures 2 to 4, section 5.1.2"


def kind_share(kinds: KindBits) -> xr.DataArray:
    """Average the share of each kind among a layer's neurons over items (sharing, figures 2 to 4).

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        float64 [layer, kind]; sums to 1 over kinds.

    Raises:
        NeuroglotError: there are no items, or the dimensions differ from these.
    """
    items = _items(kinds.all_shared)
    share = kind_counts(kinds).sum(axis=0) / (items * kinds.neurons)
    return _labelled(share, BY_KIND, list(KINDS), NEURON_SHARE, "figures 2 to 4, section 5.1.1")


def kind_share_by_item(kinds: KindBits) -> xr.DataArray:
    """Give the shares that ``kind_share`` averages, float64 [item, layer, kind]; same errors."""
    _items(kinds.all_shared)
    share = kind_counts(kinds) / kinds.neurons
    dims = ("item", *BY_KIND)
    return _labelled(share, dims, list(KINDS), NEURON_SHARE, "figures 2 to 4, section 5.1.1")


def overlap(kinds: KindBits) -> xr.DataArray:
    """Share of a layer's neurons that have the same kind in all items (sharing, figure 5).

    The paper shows it beside the mean share, ``kind_share``. It never exceeds the mean share.

    Args:
        kinds: kinds of neurons, [item, layer, byte].

    Returns:
        float64 [layer, kind].

    Raises:
        NeuroglotError: as ``kind_share``.
    """
    _items(kinds.all_shared)
    same = [np.bitwise_and.reduce(kinds.bits(kind), axis=0) for kind in KINDS]
    share = np.stack([count_bits(bits) for bits in same], axis=-1) / kinds.neurons
    return _labelled(share, BY_KIND, list(KINDS), NEURON_SHARE, "figure 5, section 5.1.3")


def active_share(languages: Mapping[str, Bits], neurons: int) -> xr.DataArray:
    """Average the share of a layer's active neurons over items, by language (figures 2 to 4).

    Args:
        languages: activity [item, layer, byte] by language; one language is read at a time.
        neurons: width of a layer.

    Returns:
        float64 [language, layer].

    Raises:
        NeuroglotError: there are no languages or no items, or the dimensions differ from these.
    """
    counts = _active_counts(languages, neurons)
    share = counts.sum(axis=1) / (counts.shape[1] * neurons)
    return _labelled(share, BY_LANGUAGE, list(languages), NEURON_SHARE, ACTIVE)


def active_share_by_item(languages: Mapping[str, Bits], neurons: int) -> xr.DataArray:
    """Give the shares for ``active_share``, float64 [language, item, layer]; same errors."""
    share = _active_counts(languages, neurons) / neurons
    return _labelled(share, ("language", "item", "layer"), list(languages), NEURON_SHARE, ACTIVE)


def dead(by_item: xr.DataArray) -> xr.DataArray:
    """Average the share of non-activated neurons that no token activates (sharing, figure 6).

    Args:
        by_item: result of ``dead_by_item``, [language, item, layer].

    Returns:
        float64 [layer, language]: the mean over the items that have non-activated neurons in the
        layer; NaN in layers where no item has non-activated neurons.
    """
    values = by_item.transpose(..., "item", "layer").to_numpy()
    items = (~np.isnan(values)).sum(axis=-2)
    share = np.nansum(values, axis=-2) / np.where(items > 0, items, np.nan)
    found = _labelled(share, BY_LANGUAGE, list(by_item["language"].values), **by_item.attrs)
    return found.transpose("layer", "language")


def dead_by_item(
    non_activated: Bits, ever_active: Mapping[str, Bits], neurons: int
) -> xr.DataArray:
    """Share of an item's non-activated neurons that none of its tokens activates (figure 6).

    |N_non ∩ {inactive at every token}| / |N_non|.

    Args:
        non_activated: ``KindBits.non_activated`` over all languages, [item, layer, byte].
        ever_active: neurons active at any token of the item, [item, layer, byte] by language; one
            language is read at a time.
        neurons: width of a layer.

    Returns:
        float64 [language, item, layer]; NaN where an item has no non-activated neuron in a layer.

    Raises:
        NeuroglotError: there are no languages or no items, or two shapes differ.
    """
    _items(non_activated)
    _some(ever_active)
    own = non_activated & valid(non_activated, neurons)
    count = count_bits(own)
    shares = []
    for language, ever in ever_active.items():
        if ever.shape != non_activated.shape:
            raise NeuroglotError(
                f"language {language!r}: activity at any token is {ever.shape}, the kinds are "
                f"{non_activated.shape}; record both over the same items"
            )
        shares.append(count_bits(own & ~ever) / np.where(count > 0, count, np.nan))
    dims = ("language", "item", "layer")
    units, source = "share of non-activated neurons", "figure 6, section 5.1.4"
    return _labelled(np.stack(shares), dims, list(ever_active), units, source)


def _active_counts(languages: Mapping[str, Bits], neurons: int) -> NDArray[np.int64]:
    """Count active neurons, [language, item, layer]."""
    _some(languages)
    for active in languages.values():
        _items(active)
    return np.stack([count_bits(active & valid(active, neurons)) for active in languages.values()])


def _items(bits: Bits) -> int:
    if bits.ndim != 3 or not len(bits):
        raise NeuroglotError(
            f"expected the activity of at least one item [item, layer, byte], found {bits.shape}"
        )
    return len(bits)


def _some(languages: Mapping[str, Bits]) -> None:
    if not languages:
        raise NeuroglotError("a share by language was asked for, and there is none; name some")


def _labelled(
    share: NDArray[np.float64], dims: tuple[str, ...], names: list[str], units: str, source: str
) -> xr.DataArray:
    """Label ``share`` with the ``names`` of its kinds or languages."""
    named = "kind" if "kind" in dims else "language"
    return xr.DataArray(share, {named: names}, dims, attrs={"units": units, "source": source})
