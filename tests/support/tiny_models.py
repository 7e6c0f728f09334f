"""Builds a tiny random model of every supported architecture, offline and in milliseconds.

Every parameter is random, also biases and norm gains, so that no term of a formula can hide
behind a zero or a one. ``NAMES`` are the table's architectures, and after a colon the variants
that a configuration can choose.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.models.ffn import ffns

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

_VISION = {
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_QWEN_VISION = {
    "depth": 1,
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_heads": 2,
    "out_hidden_size": HIDDEN,
    "patch_size": 14,
}
_DELTA = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
_MAMBA = {
    "mamba_d_ssm": 16,
    "mamba_n_heads": 2,
    "mamba_d_state": 8,
    "mamba_d_conv": 3,
    "mamba_chunk_size": 4,
}
_GEMMA4 = {**_LLAMA, "global_head_dim": 8, "hidden_size_per_layer_input": 0}
_PER_LAYER = {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": VOCABULARY}
_SHARED = {
    **_GEMMA4,
    **_PER_LAYER,
    "num_hidden_layers": LAYERS + 2,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "use_double_wide_mlp": True,
}
_LFM2 = {**_LLAMA, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [1]}
_GPT_NEO = {
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_layers": LAYERS,
    "num_heads": 2,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 4,
    "max_position_embeddings": 64,
}
_MULTIPLIERS = {
    "residual_multiplier": 0.3,
    "embedding_multiplier": 2.0,
    "attention_multiplier": 0.5,
    "logits_scaling": 4.0,
}
_WINDOWS = ["sliding_attention", "full_attention"]
_BERT = {
    "hidden_size": HIDDEN,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
_MODERNBERT = {
    **_BERT,
    "layer_types": _WINDOWS,
    "local_attention": 4,
    "cls_token_id": 1,
    "sep_token_id": 2,
}
_MROPE = {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}}


def _multimodal(text: Mapping[str, Any], vision: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"text_config": {**_COMMON, **text}, "vision_config": vision, **more}


_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "apertus": _LLAMA,
    "arcee": _LLAMA,
    "arcee:biased": {**_LLAMA, "mlp_bias": True},
    "aya_vision": _multimodal(
        {**_LLAMA, "model_type": "cohere2"},
        {**_VISION, "model_type": "siglip_vision_model"},
        image_token_index=VOCABULARY - 1,
    ),
    "bart": _BART,
    "bert": _BERT,
    "bloom": _BLOOM,
    "bloom:post_norm": {**_BLOOM, "apply_residual_connection_post_layernorm": True},
    "cohere": _LLAMA,
    "cohere2": _LLAMA,
    "cohere2_vision": _multimodal(
        {**_LLAMA, "model_type": "cohere2"},
        {**_VISION, "model_type": "siglip_vision_model"},
        alignment_intermediate_size=NEURONS,
        image_token_id=VOCABULARY - 1,
    ),
    "ernie4_5": _LLAMA,
    "ernie4_5:biased": {**_LLAMA, "use_bias": True},
    "eurobert": _LLAMA,
    "eurobert:biased": {**_LLAMA, "mlp_bias": True},
    "exaone4": {**_LLAMA, "sliding_window": 4, "sliding_window_pattern": 2},
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
    "falcon_h1": {**_LLAMA, **_MAMBA, "mlp_multipliers": [0.7, 0.3]},
    "falcon_h1:biased": {
        **_LLAMA,
        **_MAMBA,
        "mlp_multipliers": [1.5, 2.0],
        "mlp_bias": True,
        "mamba_proj_bias": True,
        "mamba_rms_norm": True,
        "embedding_multiplier": 3.0,
        "lm_head_multiplier": 0.5,
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
    "gemma4": _multimodal(
        _SHARED,
        {**_VISION, "num_key_value_heads": 2, "head_dim": 8},
        audio_config=None,
        image_token_id=VOCABULARY - 1,
    ),
    "gemma4_text": _GEMMA4,
    "gemma4_text:per_layer": {**_GEMMA4, **_PER_LAYER},
    "gemma4_text:shared": _SHARED,
    "glm": _LLAMA,
    "glm4": _LLAMA,
    "gpt2": _GPT,
    "gpt2:default_width": {key: value for key, value in _GPT.items() if key != "n_inner"},
    "gpt_bigcode": _GPT,
    "gpt_bigcode:default_width": {key: value for key, value in _GPT.items() if key != "n_inner"},
    "gpt_neo": _GPT_NEO,
    "gpt_neo:default_width": {
        key: value for key, value in _GPT_NEO.items() if key != "intermediate_size"
    },
    "gpt_neox": _NEOX,
    "gpt_neox:sequential": {**_NEOX, "use_parallel_residual": False},
    "gptj": {**_GPT, "rotary_dim": 4},
    "granite": {**_LLAMA, **_MULTIPLIERS},
    "granite:biased": {**_LLAMA, **_MULTIPLIERS, "mlp_bias": True},
    "hunyuan_v1_dense": _LLAMA,
    "jais2": _LLAMA,
    "lfm2": _LFM2,
    "lfm2:adjusted": {
        **_LFM2,
        "block_auto_adjust_ff_dim": True,
        "block_multiple_of": 5,
        "conv_bias": True,
    },
    "llama": _LLAMA,
    "llama:biased": {**_LLAMA, "mlp_bias": True},
    "m2m_100": _BART,
    "marian": _BART,
    "mbart": _BART,
    "ministral3": _LLAMA,
    "mistral": _LLAMA,
    "mistral3": _multimodal(
        {**_LLAMA, "model_type": "ministral3"},
        {**_VISION, "model_type": "pixtral", "head_dim": 8},
        image_token_index=VOCABULARY - 1,
    ),
    "modernbert": _MODERNBERT,
    "modernbert:biased": {**_MODERNBERT, "mlp_bias": True, "norm_bias": True},
    "mpt": {"d_model": HIDDEN, "n_heads": 2, "n_layers": LAYERS, "max_seq_len": 64},
    "mt5": _T5,
    "nemotron": _LLAMA,
    "nemotron:biased": {**_LLAMA, "mlp_bias": True},
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "olmo3": {**_LLAMA, "sliding_window": 4, "layer_types": _WINDOWS},
    "opt": _OPT,
    "opt:post_norm": {**_OPT, "do_layer_norm_before": False},
    "phi": _LLAMA,
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen2_5_vl": _multimodal(
        {**_LLAMA, **_MROPE},
        {**_QWEN_VISION, "fullatt_block_indexes": [0]},
        image_token_id=VOCABULARY - 1,
        video_token_id=VOCABULARY - 2,
    ),
    "qwen3": _LLAMA,
    "qwen3_5": _multimodal(
        {**_LLAMA, **_DELTA, **_MROPE},
        _QWEN_VISION,
        image_token_id=VOCABULARY - 1,
        video_token_id=VOCABULARY - 2,
    ),
    "qwen3_5_text": {**_LLAMA, **_DELTA},
    "qwen3_vl": _multimodal(
        {**_LLAMA, **_MROPE},
        {**_QWEN_VISION, "deepstack_visual_indexes": [0]},
        image_token_id=VOCABULARY - 1,
        video_token_id=VOCABULARY - 2,
    ),
    "seed_oss": _LLAMA,
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
    "xlm-roberta": {**_BERT, "pad_token_id": 1, "bos_token_id": 0},
}

NAMES = tuple(_SETTINGS)
ENCODERS = ("bert", "eurobert", "modernbert", "xlm-roberta")
"""Model types that are encoders without a decoder."""
DEEP_HEADS = ("bert", "modernbert", "modernbert:biased", "xlm-roberta")
"""Those whose heads have layers of their own."""
# What a reader of each norm's forward pass finds; all others multiply by their weight.
_GAIN_IS_ONE_PLUS_WEIGHT = ("gemma", "gemma2", "gemma3", "gemma3_text", "nemotron", "qwen3_5")
_GAIN_IS_ONE = ("olmo",)


def _causal(name: str) -> bool:
    family = name.split(":")[0]
    return family not in ENCODERS and not tiny_config(name).is_encoder_decoder


def tiny_config(name: str, **changes: Any) -> Any:
    """The configuration of one of ``NAMES``, with ``changes`` to its settings."""
    common = {} if "text_config" in _SETTINGS[name] else _COMMON
    return transformers.AutoConfig.for_model(
        name.split(":")[0], **{**common, **_SETTINGS[name], **changes}
    )


def checkpoint_config(name: str, vocabulary: int) -> Any:
    """The configuration of one of ``NAMES`` for texts: with more tokens and positions."""
    common = {} if "text_config" in _SETTINGS[name] else _COMMON
    settings = _enlarged({**common, **_SETTINGS[name]}, vocabulary)
    return transformers.AutoConfig.for_model(name.split(":")[0], **settings)


def _enlarged(settings: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    enlarged: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            enlarged[key] = _enlarged(value, vocabulary)
        elif key.startswith("vocab_size"):
            enlarged[key] = vocabulary
        elif key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            enlarged[key] = 512
        elif key.startswith(("image_token_i", "video_token_i")):
            enlarged[key] = 3  # <unk>, which no text has
        else:
            enlarged[key] = value
    return enlarged


def tiny_model(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of one of ``NAMES`` with its language-modelling head, in evaluation mode."""
    config = tiny_config(name, **changes)
    model = loader_of(config).from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            gain = "norm" in key or "ln_" in key
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.copy_(1 + noise / 3 if gain and key.endswith("weight") else noise / 3)
        for key, buffer in model.named_buffers():
            if key.endswith("layer_scalar"):  # of Gemma 4, in the checkpoint like a parameter
                buffer.copy_(0.5 + torch.rand(1, generator=generator))
    return model


def loader_of(config: Any) -> Any:
    """The class of transformers that makes a model with its head."""
    if config.is_encoder_decoder:
        return transformers.AutoModelForSeq2SeqLM
    if hasattr(config, "text_config"):
        return transformers.AutoModelForImageTextToText
    if config.model_type in ENCODERS:
        return transformers.AutoModelForMaskedLM
    return transformers.AutoModelForCausalLM


def written_gain(name: str, norm: Any) -> Tensor:
    """The gain of a norm of one of ``NAMES``, float64 [hidden]."""
    family = name.split(":")[0].removesuffix("_text") if "qwen" in name else name.split(":")[0]
    if family in _GAIN_IS_ONE:
        return torch.ones(HIDDEN, dtype=torch.float64)
    weight: Tensor = norm.weight.detach().double()
    return 1 + weight if family in _GAIN_IS_ONE_PLUS_WEIGHT else weight


def written_scale(name: str) -> float:
    """The factor by which a layer of one of ``NAMES`` multiplies its FFN's output."""
    settings = _SETTINGS[name]
    factors = settings.get("mlp_multipliers", [settings.get("residual_multiplier", 1.0)])
    return float(factors[-1])


CAUSAL = tuple(name for name in NAMES if _causal(name))
"""Those of ``NAMES`` that read from left to right, without an encoder."""


def own_neurons(model: Any) -> NDArray[np.bool_]:
    """True at the neurons that each layer has, [layer, neuron of the widest layer]."""
    widths = np.array([ffn.neurons for ffn in ffns(model)])
    return np.arange(widths.max()) < widths[:, None]


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
