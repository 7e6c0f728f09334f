"""Contribution of each kind of neuron to the FFN's output (sharing, section 6.1).

Arrays are numpy arrays for one or several layers and languages. Sums are float64. The argument
``contribution`` is a result of the function of this name, [..., neuron]; ``kinds`` are the kinds of
neurons for the same items and layers, [..., byte].
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.by_fact import OF_LANGUAGES, means_bounded
from neuroglot.analyses.sharing.measures.kinds import (
    KINDS,
    KindBits,
    count_bits,
    kind_counts,
    pack,
)
from neuroglot.measures.finite import check_finite
from neuroglot.measures.selection import first_highest

SHARES = ("top_share", "mean", "sum")
"""Statistics of the contributions of each kind's neurons, see ``contribution_by_item``."""


def contribution(
    act: NDArray[np.floating], value_norm: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute each neuron's contribution to the FFN's output (sharing, equation 3).

    C_i = |A_i| ‖v_i‖ / Σ_j |A_j| ‖v_j‖ over the neurons of one layer.

    Args:
        act: activations [..., neuron].
        value_norm: ‖v_i‖ [neuron], see ``models.norms.value_norms``.

    Returns:
        float64 [..., neuron]; sums to 1 over neurons. NaN where the whole layer is silent.

    Raises:
        NeuroglotError: an activation is not finite.
    """
    check_finite(act, "an activation")
    weight = np.abs(act, dtype=np.float64) * value_norm
    total = weight.sum(axis=-1, keepdims=True)
    share: NDArray[np.float64] = weight / np.where(total > 0, total, np.nan)
    return share


def top_composition(
    contribution: NDArray[np.float64], kinds: KindBits, fraction: float = 0.05
) -> NDArray[np.float64]:
    """Compute the shares of the kinds among the top contributors (sharing, figure 8, section 6.1).

    The top contributors are the ceil(fraction · neurons) neurons of a layer with the highest
    contributions. In a tie the lower index comes first.

    Returns:
        float64 [..., kind]; sums to 1 over kinds. NaN where the layer is silent.
    """
    count = ceil(round(fraction * kinds.neurons, 9))  # 0.07 * 100 is a bit above 7
    top = pack(first_highest(contribution, count))
    by_kind = np.stack([count_bits(top & kinds.bits(kind)) for kind in KINDS], axis=-1)
    return np.where(_silent(contribution), np.nan, by_kind / count)


def sum_by_kind(contribution: NDArray[np.float64], kinds: KindBits) -> NDArray[np.float64]:
    """Add up the contributions of each kind's neurons (sharing, figure 9).

    Returns:
        float64 [..., kind], 0 for a kind without neurons; sums to 1 over kinds. NaN where the
        layer is silent.
    """
    rows = contribution.reshape(-1, kinds.neurons)
    first = np.arange(len(rows))[:, None] * len(KINDS)
    number = sum(place * kinds.mask(kind).astype(np.int8) for place, kind in enumerate(KINDS))
    bins = (first + np.reshape(number, rows.shape)).reshape(-1)
    total = np.bincount(bins, weights=rows.reshape(-1), minlength=len(rows) * len(KINDS))
    by_kind = total.reshape(*contribution.shape[:-1], len(KINDS))
    return np.where(_silent(contribution), np.nan, by_kind)


def mean_by_kind(contribution: NDArray[np.float64], kinds: KindBits) -> NDArray[np.float64]:
    """Average the contributions of each kind's neurons (sharing, figure 9).

    Returns:
        float64 [..., kind]; NaN for a kind without neurons, and where the layer is silent.
    """
    count = kind_counts(kinds)
    return sum_by_kind(contribution, kinds) / np.where(count > 0, count, np.nan)


def contribution_by_item(
    contribution: NDArray[np.float64], kinds: KindBits, top_fraction: float = 0.05
) -> xr.Dataset:
    """Summarise the contributions of each kind in a layer, by item (sharing, section 6.1).

    Args:
        contribution: of one layer and language, [item, neuron].
        kinds: of the layer, [item, byte].
        top_fraction: ``fraction`` of ``top_composition``.

    Returns:
        ``top_share``, ``mean`` and ``sum`` [item, kind], see ``top_composition``, ``mean_by_kind``
        and ``sum_by_kind``.
    """
    dims, weight = ("item", "kind"), "share of the layer's output weight"
    top = {"units": "share of top contributors", "source": "figure 8, section 6.1"}
    mean = {"units": f"{weight} per neuron", "source": "figure 9, section 6.1"}
    total = {"units": weight, "source": "figure 9, section 6.1"}
    return xr.Dataset(
        {
            "top_share": (dims, top_composition(contribution, kinds, top_fraction), top),
            "mean": (dims, mean_by_kind(contribution, kinds), mean),
            "sum": (dims, sum_by_kind(contribution, kinds), total),
        },
        coords={"kind": list(KINDS)},
    )


def contributions_bounded(by_item: xr.Dataset, facts: Sequence[str], replicates: int) -> xr.Dataset:
    """Average contributions over facts, by language and over all languages, with intervals.

    Args:
        by_item: results of ``contribution_by_item``, [layer, language, item, kind].
        facts: the fact that each item asks for, see ``by_fact``.
        replicates: bootstrap samples of facts.

    Returns:
        The means [layer, language, kind]; their means over languages, ``{name}_of_languages``
        [layer, kind]; and ``…_low`` and ``…_high`` of all. Items whose layer is silent are left
        out. ``mean`` also leaves out items without a neuron of the kind. NaN where no item is left.
    """
    average = by_item.mean("language", keep_attrs=True)
    of_languages = average.rename({name: f"{name}{OF_LANGUAGES}" for name in SHARES})
    means = means_bounded(by_item.merge(of_languages), facts, replicates)
    # The mean over languages of the means, also where an item is left out in one language only.
    return means.assign(
        {f"{name}{OF_LANGUAGES}": means[name].mean("language", keep_attrs=True) for name in SHARES}
    )


def _silent(contribution: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isnan(contribution[..., :1])
