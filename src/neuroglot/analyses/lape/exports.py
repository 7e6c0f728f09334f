"""Writes language neurons in two forms for other tools: JSON, and LAPE's tensor file."""

import json
from pathlib import Path

import xarray as xr

from neuroglot.analyses.lape.measures.lape import as_lists
from neuroglot.files import write_whole, written_whole


def write_exports(language_neuron: xr.DataArray, json_path: Path, tensor_path: Path) -> None:
    """Write ``{language: {layer: [neurons]}}`` as JSON and ``List[language][layer]`` as tensors.

    The tensor file has a LongTensor, possibly empty, for every language and layer, in the form that
    LAPE's released code reads. ``torch.load(..., weights_only=True)`` opens it. It has no language
    names: the order of languages is the order of the JSON's keys. Layers and neurons count from 0.
    Each file appears complete or not at all.

    Args:
        language_neuron: bool [language, layer, neuron].
        json_path: path of the JSON file.
        tensor_path: path of the tensor file.
    """
    import torch

    lists = as_lists(language_neuron)
    tensors = [
        [torch.tensor(neurons, dtype=torch.int64) for neurons in layers.values()]
        for layers in lists.values()
    ]
    write_whole(json_path, (json.dumps(lists, ensure_ascii=False) + "\n").encode())
    with written_whole(tensor_path) as temporary, temporary.open("wb") as file:
        torch.save(tensors, file)  # given a path, it would write its name into the file
