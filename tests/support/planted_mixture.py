"""Writes a mixture of experts in which some experts were built to serve one language each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import write_checkpoint

ALPHABETS = {"de": "abcdefgh", "en": "ijklmnop", "fr": "qrstuvwx"}
SEGMENTS = 12
NEURONS = 12  # of an expert

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


@dataclass(frozen=True)
class Planted:
    """The planted model and its texts.

    Attributes:
        folder: where results go.
        model: the model's folder.
        tokens: by language, the tokens of a parallel text.
    """

    folder: Path
    model: Path
    tokens: Mapping[str, Path]


def planted(folder: Path) -> Planted:
    """Make the planted model of the languages of ``ALPHABETS``, and texts of their letters."""
    model = folder / "models" / "one"
    write_planted(folder / "checkpoint", ALPHABETS)
    normalise(ModelSettings(source=str(folder / "checkpoint")), model)
    generator = np.random.default_rng(0)
    tokens = {}
    for language, letters in ALPHABETS.items():
        segments = tuple(
            Segment(f"s{place}", "".join(generator.choice([*letters], 40)))
            for place in range(SEGMENTS)
        )
        text = folder / "corpora" / "plain" / f"{language}.parquet"
        write_parquet(Reading(segments, (), tuple(range(SEGMENTS)), SEGMENTS), text)
        tokens[language] = folder / "tokens" / "one" / "plain" / f"{language}.zarr"
        chosen = Tokenising(prefix="word", long_segments="truncate")
        write_tokens(model, text, tokens[language], chosen)
    return Planted(folder, model, tokens)
