"""The ranked lists of transfer neurons, chosen on all common segments and on each half of them.

The lists that are chosen on all segments are the result. What neurons do to these very segments is
measured with the lists of the halves, each on the half that did not choose it.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import hypergeom

from neuroglot.analyses.transfer.measures.transfer import layer_ranges, top_neurons
from neuroglot.measures.matching import Mask

TYPES = ("type1", "type2")
"""Type 1 neurons move states into the shared space, Type 2 neurons to a language's own space."""

ALL, HALVES = "all", ("first", "second")
PARTS = (ALL, *HALVES)
"""The segments that neurons are chosen on, or described on: all common ones, or a half of them."""
OTHER_HALF = dict(zip(HALVES, reversed(HALVES), strict=True))


def ranked(
    scores: Mapping[str, NDArray[np.float32]],
    type1_layers: float,
    top_fraction: float,
    top_n: int | None = None,
) -> xr.Dataset:
    """Rank each language's neurons of each type over the layers that are searched for the type.

    Args:
        scores: by language, [part, layer, neuron] by PARTS; each layer has the scores of the type
            that it is searched for. NaN for padding neurons.
        type1_layers: share of the layers, see ``layer_ranges``.
        top_fraction: length of a list as a share of the neurons in the layers that are searched.
        top_n: length of every list, in place of ``top_fraction``.

    Returns:
        ``score(type, language, layer, neuron)`` on all segments, a difference of cosines, NaN in
        layers of the other type and for padding neurons; ``rank_layer``, ``rank_neuron`` and
        ``rank_score(part, type, language, rank)``, highest first, with layers and neurons from 0
        and ranks from 1 (beyond the end of the type's list -1, and NaN as score);
        ``neurons(type, language, layer)``, the listed neurons of a layer; and
        ``list_length(type)``. What the halves' lists have in common: ``halves_jaccard(type,
        language)`` and ``halves_jaccard_chance(type)``, of two random lists.
    """
    by_language = np.stack(list(scores.values()), 1)  # [part, language, layer, neuron]
    layers = by_language.shape[2]
    score = np.full((len(TYPES), *by_language.shape), np.nan, np.float32)
    for of_type, searched in zip(score, layer_ranges(layers, type1_layers), strict=True):
        of_type[:, :, searched] = by_language[:, :, searched]
    candidates = np.isfinite(score[:, 0, 0]).sum((1, 2))
    lengths = np.maximum(np.round(top_fraction * candidates), 1).astype(int)
    if top_n is not None:
        lengths[:] = top_n
    shape = (len(PARTS), len(TYPES), len(scores), lengths.max())
    layer, neuron = np.full((2, *shape), -1, np.int32)
    highest = np.full(shape, np.nan, np.float32)
    for row, length in enumerate(lengths):
        for part, place in np.ndindex(len(PARTS), len(scores)):
            at = (part, row, place, slice(length))
            layer[at], neuron[at], highest[at] = top_neurons(score[row, part, place], length)
    in_layer = (layer[0, ..., None] == np.arange(layers)).sum(2, dtype=np.int32)
    by_rank = ("part", "type", "language", "rank")
    unit = "difference of cosines"
    lists = xr.Dataset(
        {
            "score": (("type", "language", "layer", "neuron"), score[:, 0], {"units": unit}),
            "rank_layer": (by_rank, layer, {"units": "index of layer"}),
            "rank_neuron": (by_rank, neuron, {"units": "index of neuron"}),
            "rank_score": (by_rank, highest, {"units": unit}),
            "neurons": (("type", "language", "layer"), in_layer, {"units": "neurons"}),
            "list_length": ("type", lengths, {"units": "neurons"}),
        },
        {
            "part": list(PARTS),
            "type": list(TYPES),
            "language": list(scores),
            "layer": np.arange(layers),
            "rank": np.arange(1, lengths.max() + 1),
        },
    )
    chance = [expected_jaccard(*sizes) for sizes in zip(lengths, candidates, strict=True)]
    units = {"units": "share of neurons"}
    return lists.assign(
        halves_jaccard=(("type", "language"), _halves_jaccard(lists), units),
        halves_jaccard_chance=("type", chance, units),
    )


def expected_jaccard(length: int, candidates: int) -> float:
    """Give the expected Jaccard index of two random lists of this length.

    E[k / (2n - k)], where the number k of common neurons is hypergeometric.
    """
    common = np.arange(length + 1)
    chance = hypergeom(candidates, length, length).pmf(common)
    return float(chance @ (common / (2 * length - common)))


def _halves_jaccard(lists: xr.Dataset) -> NDArray[np.float64]:
    """Divide the neurons that both halves list by those that either lists, [type, language]."""
    jaccard = [
        [
            np.divide(*((first & second).sum(), (first | second).sum()))
            for first, second in (
                [listed(lists, name, language, part=half) for half in HALVES]
                for language in lists["language"].values.tolist()
            )
        ]
        for name in TYPES
    ]
    return np.array(jaccard)


def listed(
    lists: xr.Dataset, neuron_type: str, language: str, top: int | None = None, part: str = ALL
) -> Mask:
    """Mark a language's first neurons of a type, bool [layer, neuron].

    Args:
        lists: result of ``ranked``.
        neuron_type: one of TYPES.
        language: a language other than the pivot.
        top: number of neurons, from the highest score; None for the whole list.
        part: one of PARTS, the segments that the neurons were chosen on.
    """
    at = {"part": part, "type": neuron_type, "language": language}
    layer, neuron = (lists[f"rank_{name}"].sel(at).values[:top] for name in ("layer", "neuron"))
    mask = np.zeros((lists.sizes["layer"], lists.sizes["neuron"]), bool)
    mask[layer[layer >= 0], neuron[layer >= 0]] = True
    return mask


def by_layer(lists: xr.Dataset) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Convert the lists to ``{type: {language: {layer: [neurons]}}}``, with ascending neurons.

    Layers are strings that count from 1; all layers of a type are included. Neurons count from 0.
    """
    searched = lists["score"].isel(neuron=0).notnull()

    def of_language(neuron_type: str, language: str) -> dict[str, list[int]]:
        mask = listed(lists, neuron_type, language)
        layers = np.flatnonzero(searched.sel(type=neuron_type, language=language))
        return {str(layer + 1): np.flatnonzero(mask[layer]).tolist() for layer in layers}

    languages = lists["language"].values.tolist()
    return {
        neuron_type: {language: of_language(neuron_type, language) for language in languages}
        for neuron_type in TYPES
    }
