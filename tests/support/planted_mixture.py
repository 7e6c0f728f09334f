"""Writes a mixture of experts in which some experts were built to serve one language each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from support.tiny_checkpoints import write_checkpoint

LAYERS = 3
EACH = 2  # experts of a language, and experts that a token passes through
OUTER = (0, LAYERS - 1)
"""Layers whose experts serve one language each; in the others they serve all alike."""


def write_planted(folder: Path, alphabets: Mapping[str, str]) -> Path:
    """Write the checkpoint of a model of languages that share no letter.

    In outer layers, a token of the n-th language is routed to experts 2 n and 2 n + 1. In the
    layers between, the choice does not depend on the language. A token's language is in the
    direction of its own that its embedding has; attention adds nothing.

    Args:
        folder: where to.
        alphabets: the letters of each language. Tokens with other letters have no language.
    """
    texts = [" ".join([letters] * 3) for letters in alphabets.values()]
    count = EACH * len(alphabets)
    sizes = {"num_hidden_layers": LAYERS, "num_experts": count, "num_experts_per_tok": EACH}
    write_checkpoint(folder, "olmoe", texts, **sizes)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    languages = len(alphabets)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding[:, :languages] = 0
        for token in range(len(tokenizer)):
            letters = set(tokenizer.decode([token]).strip())
            for place, alphabet in enumerate(alphabets.values()):
                if letters and letters <= set(alphabet):
                    embedding[token, place] = 4.0
        for number, layer in enumerate(model.model.layers):
            layer.self_attn.o_proj.weight.zero_()
            layer.post_attention_layernorm.weight.fill_(1.0)
            layer.mlp.experts.gate_up_proj[..., :languages] = 0  # experts know no language
            layer.mlp.experts.down_proj.mul_(0.05)
            router = layer.mlp.gate.weight
            router.copy_(torch.randn(router.shape, generator=generator))
            router[:, :languages] = 0
            if number in OUTER:
                router.mul_(0.01)
                for place in range(languages):
                    router[EACH * place : EACH * (place + 1), place] = 5.0
    model.save_pretrained(folder)
    return folder
