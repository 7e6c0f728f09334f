"""Builds a tiny random model of every supported architecture, offline and in milliseconds.

Every parameter is random, also biases and norm gains, so that no term of a formula can hide
behind a zero or a one. ``NAMES`` are the table's architectures, and after a colon the variants
that a configuration can choose.
"""

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import Tensor

VOCABULARY = 40
LAYERS = 2
HIDDEN = 16
NEURONS = 24

_COMMON = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LLAMA = {
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
}
_GPT = {"n_embd": HIDDEN, "n_inner": NEURONS, "n_layer": LAYERS, "n_head": 2, "n_positions": 64}
_NEOX = {key: value for key, value in _LLAMA.items() if "key_value" not in key}
_BLOOM = {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": 2}
_FALCON = {
    "hidden_size": HIDDEN,
    "ffn_hidden_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
}
_OPT = {
    "hidden_size": HIDDEN,
    "word_embed_proj_dim": HIDDEN,
    "ffn_dim": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
_BART = {
    "d_model": HIDDEN,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS + 1,
    "encoder_ffn_dim": NEURONS,
    "decoder_ffn_dim": NEURONS,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 64,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
_T5 = {
    "d_model": HIDDEN,
    "d_kv": 8,
    "d_ff": NEURONS,
    "num_layers": LAYERS,
    "num_decoder_layers": LAYERS + 1,
    "num_heads": 2,
    "decoder_start_token_id": 0,
}
_GEMMA3_VISION = {
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "bart": _BART,
    "bloom": _BLOOM,
    "bloom:post_norm": {**_BLOOM, "apply_residual_connection_post_layernorm": True},
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "falcon": {**_FALCON, "bias": False},
    "falcon:biased": {**_FALCON, "bias": True},
    "falcon:sequential": {**_FALCON, "parallel_attn": False, "alibi": True},
    "falcon:two_norms": {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 1},
    "falcon:one_norm": {
        **_FALCON,
        "new_decoder_architecture": True,
        "num_kv_heads": 1,
        "num_ln_in_parallel_attn": 1,
    },
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3": {
        "text_config": {**_COMMON, **_LLAMA},
        "vision_config": _GEMMA3_VISION,
        "mm_tokens_per_image": 4,
        "image_token_index": VOCABULARY - 1,
    },
    "gemma3_text": _LLAMA,
    "glm": _LLAMA,
    "glm4": _LLAMA,
    "gpt2": _GPT,
    "gpt2:default_width": {key: value for key, value in _GPT.items() if key != "n_inner"},
    "gpt_neox": _NEOX,
    "gpt_neox:sequential": {**_NEOX, "use_parallel_residual": False},
    "gptj": {**_GPT, "rotary_dim": 4},
    "llama": _LLAMA,
    "llama:biased": {**_LLAMA, "mlp_bias": True},
    "m2m_100": _BART,
    "marian": _BART,
    "mbart": _BART,
    "mistral": _LLAMA,
    "mt5": _T5,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "opt": _OPT,
    "opt:post_norm": {**_OPT, "do_layer_norm_before": False},
    "phi": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "stablelm:parallel": {**_LLAMA, "use_parallel_residual": True},
    "starcoder2": _LLAMA,
    "t5": _T5,
    "t5:gated": {**_T5, "feed_forward_proj": "gated-gelu"},
    "umt5": _T5,
    "xglm": {
        "d_model": HIDDEN,
        "ffn_dim": NEURONS,
        "num_layers": LAYERS,
        "attention_heads": 2,
        "max_position_embeddings": 64,
        "decoder_start_token_id": 2,
    },
}

NAMES = tuple(_SETTINGS)


def tiny_config(name: str, **changes: Any) -> Any:
    """The configuration of one of ``NAMES``, with ``changes`` to its settings."""
    common = {} if name == "gemma3" else _COMMON
    return transformers.AutoConfig.for_model(
        name.split(":")[0], **{**common, **_SETTINGS[name], **changes}
    )


def tiny_model(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of one of ``NAMES`` with its language-modelling head, in evaluation mode."""
    config = tiny_config(name, **changes)
    if config.is_encoder_decoder:
        loader: Any = transformers.AutoModelForSeq2SeqLM
    elif config.model_type == "gemma3":
        loader = transformers.AutoModelForImageTextToText
    else:
        loader = transformers.AutoModelForCausalLM
    model = loader.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            gain = "norm" in key or "ln_" in key
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.copy_(1 + noise / 3 if gain and key.endswith("weight") else noise / 3)
    return model


def tiny_inputs(model: Any, batch: int = 2, time: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """Random unpadded token ids [batch, time]; the decoder's are one position shorter."""
    generator = torch.Generator().manual_seed(seed)

    def ids(length: int) -> Tensor:
        return torch.randint(5, VOCABULARY - 1, (batch, length), generator=generator)

    inputs = {"input_ids": ids(time), "attention_mask": torch.ones(batch, time, dtype=torch.long)}
    return (
        {**inputs, "decoder_input_ids": ids(time - 1)}
        if model.config.is_encoder_decoder
        else inputs
    )
