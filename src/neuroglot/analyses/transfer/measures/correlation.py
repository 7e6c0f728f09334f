"""How well neurons separate a language, or its family, from the other languages (transfer).

Arrays are numpy arrays for one layer, if nothing else is said. Sums are float64.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.controls import DONE, DRAWN, controlled
from neuroglot.analyses.transfer.measures.lists import HALVES, TYPES, listed
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import named_bounds
from neuroglot.measures.finite import check_finite

GROUPINGS = ("language", "family")
LISTS = tuple(f"{done}_{name}".removeprefix("without_") for name in TYPES for done in DONE)
"""The lists, and by the first words of ``controls.DONE`` what they are compared with."""
BLOCK_VALUES = 1 << 22  # activations per block: 32 MB in float64


def language_groups(
    languages: Sequence[str], every: Sequence[str], family: Mapping[str, str], segments: int
) -> NDArray[np.bool_]:
    """Mark the rows that belong to a language, and the rows that belong to its family.

    Args:
        languages: languages for which groups are made.
        every: all languages, in the order of their rows.
        family: family of every language.
        segments: number of rows of each language.

    Returns:
        bool [grouping, language, row], by GROUPINGS.
    """
    of_language = [[other == language for other in every] for language in languages]
    of_family = [[family[other] == family[language] for other in every] for language in languages]
    return np.repeat(np.array([of_language, of_family]), segments, axis=-1)


def group_ratios(values: NDArray[np.floating], groups: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute ``correlation_ratio`` for each group; NaN for a group of all rows.

    Args:
        values: activations [row, neuron].
        groups: [grouping, language, row].

    Returns:
        float64 [grouping, language, neuron].
    """
    partial = ~groups.all(-1)
    ratio = np.full((*groups.shape[:-1], values.shape[1]), np.nan)
    ratio[partial] = correlation_ratio(values, groups[partial])
    return ratio


def correlation_ratio(
    values: NDArray[np.floating], group: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Compute the share of a neuron's variance that membership in a group explains (transfer).

    η² = SS_between / SS_total. With the deviations d from the mean over all n rows, and n₁ rows in
    the group, SS_between = (Σ_group d)² n / (n₁ (n - n₁)) and SS_total = Σ d².

    Args:
        values: finite activations [row, neuron].
        group: true for rows in the group, [..., row]; rows must be in it and outside it.

    Returns:
        float64 [..., neuron] in [0, 1]; 0 where the values are all equal.
    """
    _check_groups(values, group)
    inside = group.sum(axis=-1, keepdims=True)
    rows, neurons = values.shape
    ratio = np.empty((*group.shape[:-1], neurons))
    step = max(1, BLOCK_VALUES // rows)
    for start in range(0, neurons, step):
        block = slice(start, start + step)
        d = values[:, block].astype(np.float64)
        d -= d[0].copy()  # equal values give exactly zero
        d -= d.mean(axis=0)
        total = np.einsum("rn,rn->n", d, d)
        between = (group.astype(np.float64) @ d) ** 2 * rows / (inside * (rows - inside))
        ratio[..., block] = np.minimum(between / np.where(total > 0, total, np.inf), 1)
    return ratio


def mean_ratios(
    ratio: NDArray[np.float64], lists: xr.Dataset, tops: Sequence[int], seeds: int
) -> xr.Dataset:
    """Average the ratios over the first neurons of each list, and over as many others.

    The list that one half of the segments chose is judged by the ratios in the other half; results
    are means of both. A ratio of n segments is 1 / (n - 1) by chance, also in the controls.

    Args:
        ratio: [half, grouping, language, layer, neuron] in the segments of each half, with the
            languages of ``lists``; NaN for padding neurons.
        lists: result of the step ``neurons``.
        tops: numbers of neurons, from the highest score; a shorter list is taken whole.
        seeds: number of draws of random neurons and of those that fire about as often.

    Returns:
        ``mean_ratio(type, grouping, language, top)`` with LISTS as types. Drawn neurons have the
        mean over draws, and the lowest and highest draw as ``mean_ratio_control_low`` and
        ``…_high``. NaN where too few neurons have partners of like contribution. Units: share of
        variance. ``matched_share`` and ``matched_contribution(type, language, top)``, of TYPES.
    """
    languages = lists["language"].values.tolist()
    shape = (len(LISTS), len(GROUPINGS), len(languages), len(tops))
    mean, low, high = np.full((3, *shape), np.nan)
    shares = np.full((2, len(LISTS), len(languages), len(tops)), np.nan)
    judged = ratio[::-1]  # the half that did not choose, for each of HALVES
    for column, row, name in product(range(len(tops)), range(len(languages)), TYPES):
        chosen = {half: listed(lists, name, languages[row], tops[column], half) for half in HALVES}
        edited = controlled(chosen, lists, languages[row], seeds)
        shares[:, LISTS.index(name), row, column] = (
            edited.matched_share,
            edited.matched_contribution,
        )
        for done, draws in edited.masks.items():
            at = (LISTS.index(f"{done}_{name}".removeprefix("without_")), slice(None), row, column)
            of_draws = np.array(
                [
                    [
                        of_half[:, row, mask].mean(-1)
                        for of_half, mask in zip(judged, draw, strict=True)
                    ]
                    for draw in draws
                ]
            )  # [draw, half, grouping]
            if len(of_draws):
                mean[at] = of_draws.mean((0, 1))
            if done in DRAWN:
                low[at], high[at] = of_draws.mean(1).min(0), of_draws.mean(1).max(0)
    dims, units = ("type", "grouping", "language", "top"), {"units": "share of variance"}
    ends = ((dims, end, units) for end in (low, high))
    return xr.Dataset(
        {
            "mean_ratio": (dims, mean, units),
            **named_bounds("mean_ratio_control", ends),
            "matched_share": (("type", *dims[2:]), shares[0], {"units": "share of neurons"}),
            "matched_contribution": (
                ("type", *dims[2:]),
                shares[1],
                {"units": "share of contribution"},
            ),
        },
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
