"""How well neurons separate a language, or its family, from the other languages (transfer).

Arrays are numpy arrays for one layer. Sums are float64.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.lists import TYPES, controls, listed
from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import layer_widths
from neuroglot.measures.bootstrap import named_bounds
from neuroglot.measures.finite import check_finite

GROUPINGS = ("language", "family")
LISTS = (*TYPES, *(f"random_{kind}" for kind in TYPES))
BLOCK_VALUES = 1 << 22  # activations per block: 32 MB in float64


def language_groups(
    languages: Sequence[str], every: Sequence[str], family: Mapping[str, str], segments: int
) -> NDArray[np.bool_]:
    """Mark the rows that belong to a language, and the rows that belong to its family.

    Args:
        languages: languages for which groups are made.
        every: all languages, in the order of their rows; all have the same number of rows.
        family: family of every language.
        segments: number of rows per language.

    Returns:
        bool [grouping, language, row], by GROUPINGS.
    """
    of_language = [[other == one for other in every] for one in languages]
    of_family = [[family[other] == family[one] for other in every] for one in languages]
    return np.repeat(np.array([of_language, of_family]), segments, axis=-1)


def group_ratios(values: NDArray[np.floating], groups: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute ``correlation_ratio`` for each group; NaN for a group of all rows.

    Args:
        values: activations [row, neuron].
        groups: [grouping, language, row].

    Returns:
        float64 [grouping, language, neuron].

    Raises:
        NeuroglotError: as ``correlation_ratio``, except for groups of all rows.
    """
    told = ~groups.all(-1)
    ratio = np.full((*groups.shape[:-1], values.shape[1]), np.nan)
    ratio[told] = correlation_ratio(values, groups[told])
    return ratio


def correlation_ratio(
    values: NDArray[np.floating], group: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the share of a neuron's variance that membership in a group explains (transfer).

    η² = SS_between / SS_total. With the deviations d from the mean over all n rows, and n₁ rows in
    the group, SS_between = (Σ_group d)² n / (n₁ (n - n₁)) and SS_total = Σ d².

    Args:
        values: activations [row, neuron].
        group: true for rows in the group, [..., row]; all groups share the sums of squares.

    Returns:
        float64 [..., neuron] in [0, 1]; 0 where the values are all equal.

    Raises:
        NeuroglotError: rows differ in number, a value is not finite, or a group has all rows or
            none.
    """
    _check_groups(values, group)
    inside = group.sum(axis=-1, keepdims=True)
    rows = len(values)
    ratio = np.empty((*group.shape[:-1], values.shape[1]))
    step = max(1, BLOCK_VALUES // rows)
    for start in range(0, values.shape[1], step):
        some = slice(start, start + step)
        d = values[:, some].astype(np.float64)
        d -= d[0].copy()  # equal values give exactly zero
        d -= d.mean(axis=0)
        total = np.einsum("rn,rn->n", d, d)
        between = (group.astype(np.float64) @ d) ** 2 * rows / (inside * (rows - inside))
        ratio[..., some] = np.minimum(between / np.where(total > 0, total, np.inf), 1)
    return ratio


def mean_ratios(
    ratio: NDArray[np.float64], lists: xr.Dataset, tops: Sequence[int], seeds: int
) -> xr.Dataset:
    """Average the ratios over the first neurons of each list, and over as many random neurons.

    Args:
        ratio: [grouping, language, layer, neuron], with the languages of ``lists``; NaN for
            padding neurons.
        lists: result of ``lists.ranked``.
        tops: numbers of neurons, from the highest score.
        seeds: number of draws of random neurons.

    Returns:
        ``mean_ratio(type, grouping, language, top)`` with LISTS as types. Random neurons have the
        mean over draws, and the lowest and highest draw as ``mean_ratio_control_low`` and
        ``…_high``. Units: share of variance.
    """
    languages, widths = lists["language"].values.tolist(), layer_widths(lists["score"])
    dims = ("type", "grouping", "language", "top")
    found = np.full((3, len(LISTS), len(GROUPINGS), len(languages), len(tops)), np.nan)
    for kind, name in enumerate(TYPES):
        for place, language in enumerate(languages):
            for column, top in enumerate(tops):
                own = listed(lists, name, language, top)
                found[0, kind, :, place, column] = ratio[:, place, own].mean(-1)
                drawn = controls(own, language, seeds, widths)
                means = np.array([ratio[:, place, mask].mean(-1) for mask in drawn])
                random = found[:, LISTS.index(f"random_{name}"), :, place, column]
                random[:] = means.mean(0), means.min(0), means.max(0)
    mean, *ends = ((dims, one, {"units": "share of variance"}) for one in found)
    return xr.Dataset(
        {"mean_ratio": mean, **named_bounds("mean_ratio_control", ends)},
        {
            "type": list(LISTS),
            "grouping": list(GROUPINGS),
            "language": languages,
            "top": ("top", list(tops), {"units": "neurons"}),
        },
    )


def _check_groups(values: NDArray[np.floating], group: NDArray[np.bool_]) -> None:
    if group.shape[-1] != len(values):
        raise NeuroglotError(
            f"{len(values)} rows of activations, but groups of {group.shape[-1]} rows: "
            "take both of the same rows"
        )
    if not group.any(axis=-1).all() or group.all(axis=-1).any():
        raise NeuroglotError(
            "a correlation ratio needs rows inside and outside the group; add a language that is "
            "not in it"
        )
    check_finite(values, "an activation")
