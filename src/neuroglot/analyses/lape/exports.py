"""Writes language neurons in the two forms other tools read: JSON, and LAPE's tensor file."""

import json
from pathlib import Path

import xarray as xr

from neuroglot.analyses.lape.measures.lape import as_lists
from neuroglot.files import write_whole, written_whole


def write_exports(language_neuron: xr.DataArray, json_path: Path, tensor_path: Path) -> None:
    """Write ``{language: {layer: [neurons]}}`` and the same as ``List[language][layer]``.

    The tensor file holds a LongTensor for every language and layer, also where it is empty, as
    LAPE's released code reads it; ``torch.load(..., weights_only=True)`` opens it. It names no
    languages: their order is that of the JSON's keys. Layers and neurons count from 0. Each file
    appears complete or not at all.

    Args:
        language_neuron: bool [language, layer, neuron].
        json_path: of the JSON.
        tensor_path: of the tensor file.
    """
    import torch

    lists = as_lists(language_neuron)
    tensors = [
        [torch.tensor(neurons, dtype=torch.int64) for neurons in layers.values()]
        for layers in lists.values()
    ]
    write_whole(json_path, (json.dumps(lists, ensure_ascii=False) + "\n").encode())
    with written_whole(tensor_path) as temporary, temporary.open("wb") as file:
        torch.save(tensors, file)  # which would write a path's name into the file
