"""The ranked lists of transfer neurons: their length, layers and random controls."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.transfer import layer_ranges, top_neurons
from neuroglot.measures.controls import Mask, random_like

TYPES = ("type1", "type2")
"""Type 1 neurons move states into the shared space, Type 2 neurons to a language's own space."""

RANDOM = tuple(f"random_{neuron_type}" for neuron_type in TYPES)
"""As many random neurons of each layer as are listed for each type."""

VARIANTS = ("baseline", *(f"without_{neuron_type}" for neuron_type in TYPES), *RANDOM)
"""The unedited model, without the neurons of each type, and without as many random neurons."""


def list_length(top_n: int, top_fraction: float | None, neurons: int) -> int:
    """Give the length of a list: ``top_fraction`` of the model's ``neurons``, or ``top_n``."""
    return top_n if top_fraction is None else max(1, round(top_fraction * neurons))


def ranked(
    scores: Mapping[str, NDArray[np.float32]], type1_layers: float, length: int
) -> xr.Dataset:
    """Rank each language's neurons of each type over the layers that are searched for the type.

    Args:
        scores: by language, [layer, neuron]; each layer has the scores of the type that it is
            searched for. NaN for padding neurons.
        type1_layers: share of the layers, see ``layer_ranges``.
        length: length of the lists.

    Returns:
        ``score(type, language, layer, neuron)``, a difference of cosines, NaN in layers of the
        other type and for padding neurons; ``rank_layer``, ``rank_neuron`` and ``rank_score(type,
        language, rank)``, highest first, with layers and neurons from 0 and ranks from 1;
        ``neurons(type, language, layer)``, the number of listed neurons in a layer.
    """
    by_language = np.stack(list(scores.values()))  # [language, layer, neuron]
    layers = by_language.shape[1]
    score = np.full((len(TYPES), *by_language.shape), np.nan, np.float32)
    for of_type, searched in zip(score, layer_ranges(layers, type1_layers), strict=True):
        of_type[:, searched] = by_language[:, searched]
    top = [[top_neurons(of_language, length) for of_language in of_type] for of_type in score]
    layer, neuron, highest = np.moveaxis(np.array(top), 2, 0)
    layer, neuron = layer.astype(np.int32), neuron.astype(np.int32)
    in_layer = (layer[..., None] == np.arange(layers)).sum(2, dtype=np.int32)
    by_rank = ("type", "language", "rank")
    unit = "difference of cosines"
    return xr.Dataset(
        {
            "score": (("type", "language", "layer", "neuron"), score, {"units": unit}),
            "rank_layer": (by_rank, layer, {"units": "index of layer"}),
            "rank_neuron": (by_rank, neuron, {"units": "index of neuron"}),
            "rank_score": (by_rank, highest.astype(np.float32), {"units": unit}),
            "neurons": (("type", "language", "layer"), in_layer, {"units": "neurons"}),
        },
        {
            "type": list(TYPES),
            "language": list(scores),
            "layer": np.arange(layers),
            "rank": np.arange(1, length + 1),
        },
    )


def listed(lists: xr.Dataset, neuron_type: str, language: str, top: int | None = None) -> Mask:
    """Mark a language's first neurons of a type, bool [layer, neuron].

    Args:
        lists: result of ``ranked``.
        neuron_type: one of TYPES.
        language: a language other than the pivot.
        top: number of neurons, from the highest score; None for the whole list.
    """
    first = lists.sel(type=neuron_type, language=language).isel(rank=slice(top))
    mask = np.zeros((lists.sizes["layer"], lists.sizes["neuron"]), bool)
    mask[first["rank_layer"].values, first["rank_neuron"].values] = True
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


def controls(
    mask: Mask, language: str, seeds: int, widths: Sequence[int] | None = None
) -> list[Mask]:
    """Draw as many random neurons of each layer as ``mask`` [layer, neuron] has, once per seed.

    A language's draws do not depend on the other languages. ``widths`` are the layers' numbers of
    neurons; None if all layers are as wide as ``mask``.
    """
    item = zlib.crc32(language.encode())
    return [random_like(mask[None], seed, [item], widths)[0] for seed in range(seeds)]
