"""Writes tiny checkpoints in the files and form that two multilingual models have on the Hub.

XGLM-564M and NLLB-200-distilled-600M: weights as ``pytorch_model.bin`` alone, with tied tensors
saved under all of their names, a SentencePiece tokenizer beside ``tokenizer.json``, and
configurations of older versions of transformers.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from neuroglot.models.checkpoint import reading_sentencepiece
from support.tiny_tokenizers import sentencepiece_model

FILES = {
    *("config.json", "generation_config.json", "pytorch_model.bin", "sentencepiece.bpe.model"),
    *("special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"),
}
XGLM = {
    "activation_dropout": 0,
    "activation_function": "gelu",
    "architectures": ["XGLMForCausalLM"],
    "attention_dropout": 0.1,
    "attention_heads": 2,
    "bos_token_id": 0,
    "d_model": 16,
    "decoder_start_token_id": 2,
    "dropout": 0.1,
    "eos_token_id": 2,
    "ffn_dim": 24,
    "init_std": 0.02,
    "layerdrop": 0.0,
    "max_position_embeddings": 128,
    "model_type": "xglm",
    "num_layers": 2,
    "pad_token_id": 1,
    "scale_embedding": True,
    "torch_dtype": "float16",
    "transformers_version": "4.16.0.dev0",
    "use_cache": True,
}
NLLB = {
    "activation_dropout": 0.0,
    "activation_function": "relu",
    "architectures": ["M2M100ForConditionalGeneration"],
    "attention_dropout": 0.1,
    "bos_token_id": 0,
    "d_model": 16,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "decoder_layerdrop": 0,
    "decoder_layers": 2,
    "decoder_start_token_id": 2,
    "dropout": 0.1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "encoder_layerdrop": 0,
    "encoder_layers": 2,
    "eos_token_id": 2,
    "init_std": 0.02,
    "is_encoder_decoder": True,
    "max_length": 200,
    "max_position_embeddings": 128,
    "model_type": "m2m_100",
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "scale_embedding": True,
    "tokenizer_class": "NllbTokenizer",
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
    "use_cache": True,
}
MARKS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def write_xglm(folder: Path, texts: Iterable[str]) -> Path:
    """Write a tiny random XGLM in float16, and return the folder."""
    folder.mkdir(parents=True)
    content = sentencepiece_model("unigram", byte_fallback=False, texts=texts)
    pieces = _pieces(content)
    vocabulary = [*((mark, 0.0) for mark in ("<s>", "<pad>", "</s>", "<unk>")), *pieces]
    tokenizer: Any = transformers.XGLMTokenizer(vocab=vocabulary)
    _write_tokenizer(folder, tokenizer, content, "XGLMTokenizer")
    model = _random(folder, XGLM, len(tokenizer), 0).half()
    weights = dict(model.state_dict())
    # Older versions kept this table, which is now computed.
    weights["model.embed_positions.weights"] = model.model.embed_positions.weights.detach().clone()
    _save(folder, model, weights)
    return folder


def write_nllb(
    folder: Path, texts: Iterable[str], plant: Callable[[Any, Any], None] | None = None
) -> Path:
    """Write a tiny NLLB-200 whose embedding has two rows more than the tokenizer has tokens.

    Args:
        folder: where to.
        texts: what the tokenizer is trained on.
        plant: called with the model and the tokenizer, to give neurons a known behaviour.
    """
    folder.mkdir(parents=True)
    content = sentencepiece_model("bpe", byte_fallback=False, texts=texts)
    (folder / "sentencepiece.bpe.model").write_bytes(content)
    with reading_sentencepiece():
        tokenizer: Any = transformers.NllbTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": FAIRSEQ_LANGUAGE_CODES})
    tokenizer.legacy_behaviour = True  # as when its tokenizer.json was made: the tag at the end
    tokenizer.set_src_lang_special_tokens("eng_Latn")
    _write_tokenizer(folder, tokenizer, content, "NllbTokenizer")
    model = _random(folder, NLLB, len(tokenizer) + 2, 1)
    if plant:
        with torch.no_grad():
            plant(model, tokenizer)
    _save(folder, model, dict(model.state_dict()))
    return folder


def _pieces(content: bytes) -> list[tuple[str, float]]:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_proto=content)
    return [(model.id_to_piece(n), model.get_score(n)) for n in range(3, len(model))]


def _write_tokenizer(folder: Path, tokenizer: Any, content: bytes, name: str) -> None:
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "sentencepiece.bpe.model").write_bytes(content)
    (folder / "special_tokens_map.json").write_text(json.dumps(MARKS))
    settings = {**MARKS, "tokenizer_class": name, "special_tokens_map_file": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _random(folder: Path, config: dict[str, Any], rows: int, seed: int) -> Any:
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": rows}, indent=2))
    (folder / "generation_config.json").write_text(
        json.dumps({key: config[key] for key in config if key.endswith("_token_id")})
    )
    loader: Any = (
        transformers.AutoModelForSeq2SeqLM
        if config.get("is_encoder_decoder")
        else transformers.AutoModelForCausalLM
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = loader.from_config(transformers.AutoConfig.from_pretrained(folder))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def _save(folder: Path, model: Any, weights: dict[str, Tensor]) -> None:
    for target, source in model.all_tied_weights_keys.items():
        weights[target] = weights[source]
    torch.save(OrderedDict(weights), folder / "pytorch_model.bin")
    assert {path.name for path in folder.iterdir()} == FILES
