"""The ranked lists of transfer neurons: how long, in which layers, and as many random neurons."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.transfer import layer_ranges, top_neurons
from neuroglot.measures.controls import random_like

TYPES = ("type1", "type2")
"""Neurons into the space that languages share, and out of it to a language's own."""

VARIANTS = (
    "baseline",
    *(f"without_{kind}" for kind in TYPES),
    *(f"random_{kind}" for kind in TYPES),
)
"""A model as it is, without the neurons of either type, and without as many random ones."""

Mask = NDArray[np.bool_]


def list_length(top_n: int, top_fraction: float | None, neurons: int) -> int:
    """Say how many neurons are listed: ``top_fraction`` of a model's ``neurons``, or ``top_n``."""
    return top_n if top_fraction is None else max(1, round(top_fraction * neurons))


def ranked(
    scores: Mapping[str, NDArray[np.float32]], type1_layers: float, length: int
) -> xr.Dataset:
    """Rank each language's neurons of either type over the layers that the type is sought in.

    Args:
        scores: by language, [layer, neuron], each layer's of the type that is sought in it; NaN
            beyond a layer's neurons.
        type1_layers: share of the layers, see ``layer_ranges``.
        length: of the lists.

    Returns:
        ``score(type, language, layer, neuron)``, a difference of cosines, NaN where a type is not
        sought or a layer has no neuron; ``rank_layer``, ``rank_neuron`` and ``rank_score(type,
        language, rank)``, the highest first, layers and neurons from 0 and ranks from 1;
        ``neurons(type, language, layer)``, how many of a list are in a layer.

    Raises:
        NeuroglotError: as ``layer_ranges`` and ``top_neurons``.
    """
    layers, neurons = next(iter(scores.values())).shape
    score = np.full((len(TYPES), len(scores), layers, neurons), np.nan, np.float32)
    for kind, sought in enumerate(layer_ranges(layers, type1_layers)):
        layers_of = slice(sought.start, sought.stop)
        score[kind][:, layers_of] = np.stack([own[layers_of] for own in scores.values()])
    first = np.array([[np.stack(top_neurons(own, length)) for own in by_type] for by_type in score])
    layer, neuron = first[:, :, 0].astype(np.int32), first[:, :, 1].astype(np.int32)
    in_layer = (layer[..., None] == np.arange(layers)).sum(2, dtype=np.int32)
    by_rank = ("type", "language", "rank")
    unit = "difference of cosines"
    return xr.Dataset(
        {
            "score": (("type", "language", "layer", "neuron"), score, {"units": unit}),
            "rank_layer": (by_rank, layer, {"units": "index of layer"}),
            "rank_neuron": (by_rank, neuron, {"units": "index of neuron"}),
            "rank_score": (by_rank, first[:, :, 2].astype(np.float32), {"units": unit}),
            "neurons": (("type", "language", "layer"), in_layer, {"units": "neurons"}),
        },
        {
            "type": list(TYPES),
            "language": list(scores),
            "layer": np.arange(layers),
            "rank": np.arange(1, length + 1),
        },
    )


def listed(lists: xr.Dataset, kind: str, language: str, top: int | None = None) -> Mask:
    """Mark a language's first neurons of a type, bool [layer, neuron].

    Args:
        lists: what ``ranked`` gives.
        kind: one of TYPES.
        language: not the pivot.
        top: how many, from the highest score; None for all of the list.
    """
    own = lists.sel(type=kind, language=language).isel(rank=slice(top))
    chosen = np.zeros((lists.sizes["layer"], lists.sizes["neuron"]), bool)
    chosen[own["rank_layer"].values, own["rank_neuron"].values] = True
    return chosen


def by_layer(lists: xr.Dataset) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Write the lists as ``{type: {language: {layer: [neurons]}}}``, neurons ascending.

    Layers count from 1, as text, and each type's are all there; neurons count from 0.
    """
    sought = lists["score"].isel(neuron=0).notnull()

    def of_language(kind: str, language: str) -> dict[str, list[int]]:
        mask = listed(lists, kind, language)
        layers = np.flatnonzero(sought.sel(type=kind, language=language))
        return {str(layer + 1): np.flatnonzero(mask[layer]).tolist() for layer in layers}

    return {
        kind: {one: of_language(kind, one) for one in lists["language"].values.tolist()}
        for kind in TYPES
    }


def controls(
    own: Mask, language: str, seeds: int, widths: Sequence[int] | None = None
) -> list[Mask]:
    """Draw as many random neurons of each layer as a language's own, [layer, neuron], per seed.

    Each language has draws of its own, which no other language changes. ``widths`` are the numbers
    of the layers' neurons; None if ``own`` is as wide as all of them.
    """
    item = np.array([zlib.crc32(language.encode())])
    return [random_like(own[None], seed, item, widths)[0] for seed in range(seeds)]
