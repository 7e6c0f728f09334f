"""A tiny mixture of experts with one expert for each language in its outer layers.

A language is an alphabet of its own, so that every token is of one language. The first and the last
layer have an expert for each language, which raises the likelihood of its tokens, and one that all
tokens pass through and that does nothing. The second layer is dense and does nothing. In the layers
between, experts are chosen by what a token says, which is the same in all languages.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support.tiny_checkpoints import SPECIAL, train_tokenizer

ALPHABETS: Mapping[str, str] = {"en": "abcdef", "de": "ghijkl", "fr": "mnopqr", "es": "stuvwx"}
LAYERS, EXPERTS, SLOTS, NEURONS, HIDDEN = 5, 8, 2, 4, 32
OUTER, MIDDLE, DENSE = (0, 4), (2, 3), 1
ROUTED = sorted((*OUTER, *MIDDLE))
"""Numbers of the layers with experts."""
FOR_ALL = len(ALPHABETS)
"""The expert of outer layers that all tokens pass through; those before it are the languages'."""

_LANGUAGE, _WRITTEN, _SAID, _ALWAYS = slice(0, 4), slice(4, 8), slice(8, 31), 31
"""Coordinates of the residual stream: a token's language, what experts add, what it says, and 1."""


def texts(segments: int, letters: int = 30, seed: int = 0) -> dict[str, list[str]]:
    """The same random text in every language."""
    drawn = np.random.default_rng(seed).integers(0, 6, (segments, letters))
    return {
        language: ["".join(alphabet[letter] for letter in row) for row in drawn]
        for language, alphabet in ALPHABETS.items()
    }


def write_planted(folder: Path, model_type: str = "qwen3_moe") -> Path:
    """Write the checkpoint, and return ``folder``."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    read = [text for of_language in texts(60).values() for text in of_language]
    tokenizer = train_tokenizer(read)
    config = AutoConfig.for_model(
        model_type,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        moe_intermediate_size=NEURONS,
        num_experts=EXPERTS,
        num_experts_per_tok=SLOTS,
        norm_topk_prob=True,
        mlp_only_layers=[DENSE],
        intermediate_size=8,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = AutoModelForCausalLM.from_config(config)
    tokens = [tokenizer.id_to_token(at) for at in range(tokenizer.get_vocab_size())]
    with torch.no_grad():
        _plant(model, tokens)
    model.save_pretrained(folder)
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


def _plant(model: Any, tokens: Sequence[str]) -> None:
    """Set the weights; attention adds nothing."""
    import torch

    generator = np.random.default_rng(0)
    said: dict[str, np.ndarray] = {}
    embedding, head = np.zeros((2, len(tokens), HIDDEN), np.float32)
    for number, token in enumerate(tokens):
        embedding[number, _ALWAYS] = 3.0
        for place, alphabet in enumerate(ALPHABETS.values()):
            if set(token) <= set(alphabet):
                embedding[number, _LANGUAGE][place] = 3.0
                head[number, _WRITTEN][place] = 2.0
                plain = "".join(str(alphabet.index(letter)) for letter in token)
                meant = said.setdefault(plain, generator.normal(0, 0.6, 23))
                embedding[number, _SAID] = meant
    model.model.embed_tokens.weight.copy_(torch.from_numpy(embedding))
    model.lm_head.weight.copy_(torch.from_numpy(head))
    for layer, block in enumerate(model.model.layers):
        block.self_attn.o_proj.weight.zero_()
        if layer == DENSE:
            block.mlp.down_proj.weight.zero_()
            continue
        router = np.zeros((EXPERTS, HIDDEN), np.float32)
        experts = block.mlp.experts
        experts.down_proj.zero_()
        if layer in OUTER:
            router[:FOR_ALL, _LANGUAGE] = 3 * np.eye(4)
            router[FOR_ALL, _ALWAYS] = 3.0
            router[FOR_ALL + 1 :, _SAID] = generator.normal(0, 0.1, (EXPERTS - FOR_ALL - 1, 23))
            for place in range(FOR_ALL):
                experts.gate_up_proj[place].zero_()
                experts.gate_up_proj[place, [0, NEURONS], place] = 1.0  # gate and up of neuron 0
                experts.down_proj[place, _WRITTEN.start + place, 0] = 0.25
        else:
            router[:, _SAID] = generator.normal(0, 1, (EXPERTS, 23))
        block.mlp.gate.weight.copy_(torch.from_numpy(router))
