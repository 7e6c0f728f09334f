"""What large models bring: many shards, heads tied and untied, padded embeddings."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from neuroglot.models.card import ModelCard, read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import WEIGHTS_INDEX, ModelSettings
from support.tiny_checkpoints import write_checkpoint
from support.tiny_models import loader_of, tiny_inputs

torch.set_num_threads(1)
SHARD = "4KB"


def make(folder: Path, tmp_path: Path, name: str = "m") -> tuple[ModelCard, Path]:
    made = tmp_path / "models" / name
    return normalise(ModelSettings(source=str(folder)), made), made


def shards_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*-of-*.safetensors"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "sharded", max_shard_size=SHARD)
    assert len(shards_of(folder)) > 5
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt2", "m2m_100", "mt5"])
def test_shards_ties_and_padding_change_no_bit(
    tmp_path: Path, model_type: str, padding: int, tied: bool
) -> None:
    tokens = write_checkpoint(tmp_path / "tokens", model_type)
    count = read_tokenizer(make(tokens, tmp_path, "tokens")[1]).get_vocab_size()
    rows = count + padding
    given: dict[str, Any] = {"rows": rows, "tie_word_embeddings": tied}
    whole = write_checkpoint(tmp_path / "whole", model_type, **given)
    cut = write_checkpoint(tmp_path / "cut", model_type, max_shard_size=SHARD, **given)
    assert len(shards_of(cut)) > 5
    (card_whole, made_whole), (card, made) = make(whole, tmp_path, "whole"), make(cut, tmp_path)
    own = loader_of(AutoConfig.from_pretrained(cut)).from_pretrained(cut).eval()
    assert card.parameters == card_whole.parameters == own.num_parameters()
    assert card.vocabulary == count
    inputs = tiny_inputs(own)
    with torch.no_grad():
        expected = own(**inputs).logits[..., :count]
        for folder in (made_whole, made):
            model = load(folder, "cpu")
            head = model.get_output_embeddings().weight
            shared = head.data_ptr() == model.get_input_embeddings().weight.data_ptr()
            assert shared == own.config.tie_word_embeddings
            assert torch.equal(model(**inputs).logits, expected)


def test_a_tied_head_may_be_written_out_in_another_shard(sharded: Path, tmp_path: Path) -> None:
    """As some published checkpoints do; equal to the embedding, it is the same model."""
    config = json.loads((sharded / "config.json").read_text())
    (sharded / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    index = json.loads((sharded / WEIGHTS_INDEX).read_text())
    places = index["weight_map"]
    embedding = load_file(sharded / places["model.embed_tokens.weight"])
    head = sharded / places["lm_head.weight"]
    save_file(
        {**load_file(head), "lm_head.weight": embedding["model.embed_tokens.weight"]},
        head,
        metadata={"format": "pt"},
    )
    _, made = make(sharded, tmp_path)
    model = load(made, "cpu")
    assert torch.equal(model.get_output_embeddings().weight, model.get_input_embeddings().weight)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    shard = shards_of(sharded)[1]
    shard.unlink()
    with pytest.raises(ValidationError, match=f"lacks {shard.name}"):
        ModelSettings(source=str(sharded))
