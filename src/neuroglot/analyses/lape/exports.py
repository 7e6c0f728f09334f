"""Writes language neurons in the two forms other tools read: JSON, and LAPE's tensor file."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import xarray as xr

from neuroglot.analyses.lape.measures.lape import as_lists


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
    text = json.dumps(lists, ensure_ascii=False) + "\n"
    _write(json_path, lambda file: file.write(text.encode()))
    _write(tensor_path, lambda file: torch.save(tensors, file))


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            write(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
