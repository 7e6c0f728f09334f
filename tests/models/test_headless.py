"""Encoders that were saved without a head, as models of embeddings are."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import backbone, record
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.projection import top_tokens
from neuroglot.models.source import ModelSettings
from support.tiny_checkpoints import write_checkpoint
from support.tiny_models import ENCODERS, tiny_inputs

torch.set_num_threads(1)


def write_headless(folder: Path, name: str, pooler: bool = True) -> Path:
    """Write ``whole`` with its head, and the same model without it."""
    whole = write_checkpoint(folder / "whole", name)
    shutil.copytree(whole, folder / "headless")
    # transformers draws the pooler, which models of embeddings leave unused.
    transformers.AutoModel.from_pretrained(whole).save_pretrained(folder / "headless")
    weights = load_file(folder / "headless" / "model.safetensors")
    if not pooler:
        weights = {key: weight for key, weight in weights.items() if "pooler" not in key}
        save_file(weights, folder / "headless" / "model.safetensors", {"format": "pt"})
    return folder / "headless"


def made(source: Path) -> Any:
    normalise(ModelSettings(source=str(source)), source.with_name(f"{source.name}-made"))
    return load(source.with_name(f"{source.name}-made"), "cpu")


def acts(model: Any) -> dict[int, Tensor]:
    seen: dict[int, Tensor] = {}

    def keep(_site: str, _stack: str, layer: int, value: Tensor) -> None:
        seen[layer] = value.clone()

    with torch.no_grad(), record(model, ["act"], keep):
        backbone(model)(**tiny_inputs(model))
    return seen


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize("name", ENCODERS)
def test_neurons_are_those_of_the_whole_model(tmp_path: Path, name: str, pooler: bool) -> None:
    source = write_headless(tmp_path, name, pooler)
    model, whole = made(source), made(tmp_path / "whole")
    assert model.get_output_embeddings() is None
    assert whole.get_output_embeddings() is not None
    expected, found = acts(whole), acts(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[layer], expected[layer]) for layer in expected)


def test_no_neuron_has_a_weight_on_a_token(tmp_path: Path) -> None:
    model = made(write_headless(tmp_path, "eurobert"))
    with pytest.raises(NeuroglotError, match=r"no unembedding, .* out of lexicon\.models"):
        top_tokens(model, 3)


def test_a_layer_that_is_missing_is_still_found(tmp_path: Path) -> None:
    source = write_headless(tmp_path, "bert")
    weights = load_file(source / "model.safetensors")
    weights.pop("encoder.layer.1.output.dense.weight")
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(NeuroglotError, match=r"lack encoder\.layer\.1\.output\.dense\.weight"):
        made(source)
