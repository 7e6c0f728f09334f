"""The table that says where each architecture keeps its feed-forward networks.

To support an architecture, add one entry to ``ARCHITECTURES`` and one tiny configuration to
``tests/support/tiny_models.py``; the tests then check every field of the entry. If an entry
changes, only the models of that architecture are made again: ``architecture_digest`` hashes the
entry. So that it can, fields that depend on a configuration are ``attrgetter`` objects or named
functions.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from operator import attrgetter
from types import FunctionType
from typing import Any

from neuroglot.models import mixtures, readings
from neuroglot.models.entry import Architecture, Stack, Variant
from neuroglot.provenance import digest

Refusal = tuple[Callable[[Any], bool], str]


def _other_text(*model_types: str) -> Refusal:
    """Refuse a multimodal model whose language model is of none of the given types."""
    return (
        lambda text: text.model_type not in model_types,
        f"its language model (text_config) must be {' or '.join(model_types)}",
    )


def _within(entry: Architecture, *model_types: str) -> Architecture:
    """The entry of a multimodal model around a language model with ``entry``."""
    return replace(
        entry,
        stacks=tuple(replace(stack, module="language_model") for stack in entry.stacks),
        text_config="text_config",
        loader="AutoModelForImageTextToText",
        refusals=(*entry.refusals, _other_text(*model_types)),
    )


def _encoder_decoder(final_norm: str | None) -> tuple[Stack, ...]:
    """The stacks of BART and its descendants."""
    return tuple(
        Stack(
            name=name,
            module=name,
            final_norm=final_norm,
            depth=attrgetter(f"{name}_layers"),
            width=attrgetter(f"{name}_ffn_dim"),
        )
        for name in ("encoder", "decoder")
    )


_LLAMA = Architecture(
    w_in="mlp.up_proj",
    w_gate="mlp.gate_proj",
    w_out="mlp.down_proj",
    activation="mlp.act_fn",
    norm_before="post_attention_layernorm",
)
_GEMMA2 = replace(
    _LLAMA,
    norm_before="pre_feedforward_layernorm",
    norm_after="post_feedforward_layernorm",
    activation_name=attrgetter("hidden_activation"),
)
_PHI3 = Architecture(
    w_in="mlp.gate_up_proj",
    w_gate="mlp.gate_up_proj",
    w_out="mlp.down_proj",
    activation="mlp.activation_fn",
    norm_before="post_attention_layernorm",
)
_COHERE = replace(_LLAMA, norm_before="input_layernorm", parallel=True)
_BLOOM = Architecture(
    stacks=(Stack(layers="h", final_norm="ln_f", width=readings.four_times),),
    w_in="mlp.dense_h_to_4h",
    w_out="mlp.dense_4h_to_h",
    activation="mlp.gelu_impl",
    norm_before="post_attention_layernorm",
    activation_name=readings.tanh_gelu,
    variants=(
        # Here the norm's output is the residual stream.
        Variant(attrgetter("apply_residual_connection_post_layernorm"), {"norm_before": None}),
    ),
    refusals=(
        (
            readings.sliced,
            "slow_but_exact with pretraining_tp > 1 computes the output projection in slices that "
            "cannot be recorded; set slow_but_exact to false in its config.json",
        ),
    ),
)
_FALCON = Architecture(
    stacks=(Stack(layers="h", final_norm="ln_f", width=attrgetter("ffn_hidden_size")),),
    w_in="mlp.dense_h_to_4h",
    w_out="mlp.dense_4h_to_h",
    activation="mlp.act",
    norm_before="input_layernorm",
    parallel=True,
    out_overwritten=True,
    activation_name=attrgetter("activation"),
    variants=(
        Variant(
            readings.sequential,
            {
                "norm_before": "post_attention_layernorm",
                "parallel": False,
                "out_overwritten": False,
            },
        ),
        Variant(readings.own_norm, {"norm_before": "ln_mlp"}),
    ),
)
_M2M100 = Architecture(
    stacks=_encoder_decoder(final_norm="layer_norm"),
    w_in="fc1",
    w_out="fc2",
    activation="activation_fn",
    norm_before="final_layer_norm",
    activation_name=attrgetter("activation_function"),
)
_BART = replace(
    _M2M100, stacks=_encoder_decoder(final_norm=None), norm_before=None, norm_sum="final_layer_norm"
)
_OPT = replace(
    _M2M100,
    stacks=(Stack(module="decoder", final_norm="final_layer_norm", width=attrgetter("ffn_dim")),),
    variants=(Variant(readings.norm_after, {"norm_before": None, "norm_sum": "final_layer_norm"}),),
)
_T5 = Architecture(
    stacks=tuple(
        Stack(
            name=name,
            module=name,
            layers="block",
            final_norm="final_layer_norm",
            depth=attrgetter(depth),
            width=attrgetter("d_ff"),
        )
        for name, depth in (("encoder", "num_layers"), ("decoder", "num_decoder_layers"))
    ),
    w_in="layer.-1.DenseReluDense.wi",
    w_out="layer.-1.DenseReluDense.wo",
    activation="layer.-1.DenseReluDense.act",
    norm_before="layer.-1.layer_norm",
    activation_name=attrgetter("dense_act_fn"),
    variants=(
        Variant(
            attrgetter("is_gated_act"),
            {"w_gate": "layer.-1.DenseReluDense.wi_0", "w_in": "layer.-1.DenseReluDense.wi_1"},
        ),
    ),
)
_GPT2 = Architecture(
    stacks=(Stack(layers="h", final_norm="ln_f", width=readings.inner_or_four_times),),
    w_in="mlp.c_fc",
    w_out="mlp.c_proj",
    activation="mlp.act",
    norm_before="ln_2",
    conv1d=True,
    activation_name=attrgetter("activation_function"),
)
_GPT_NEOX = Architecture(
    stacks=(Stack(final_norm="final_layer_norm"),),
    w_in="mlp.dense_h_to_4h",
    w_out="mlp.dense_4h_to_h",
    activation="mlp.act",
    norm_before="post_attention_layernorm",
    variants=(Variant(attrgetter("use_parallel_residual"), {"parallel": True}),),
)
_GEMMA4 = replace(
    _GEMMA2,
    stacks=(Stack(width=readings.double_where_shared),),
    variants=(Variant(attrgetter("enable_moe_block"), {"mixture": mixtures.GEMMA4}),),
)
_OLMO2 = replace(_LLAMA, norm_before=None, norm_after="post_feedforward_layernorm")
_PLAIN = Architecture(
    w_in="mlp.up_proj",
    w_out="mlp.down_proj",
    activation="mlp.act_fn",
    norm_before="post_attention_layernorm",
)
_BERT = Architecture(
    stacks=(Stack(name="encoder", module="encoder", layers="layer", final_norm=None),),
    w_in="intermediate.dense",
    w_out="output.dense",
    activation="intermediate.intermediate_act_fn",
    norm_sum="output.LayerNorm",
    loader="AutoModelForMaskedLM",
    deep_head=True,
    unused=r"(^|\.)(pooler|cls\.seq_relationship)\.",
    refusals=(
        (attrgetter("is_decoder"), "is_decoder makes a decoder of it; set it to false"),
        (
            attrgetter("chunk_size_feed_forward"),
            "chunk_size_feed_forward cuts texts into pieces before the FFN; set it to 0",
        ),
    ),
)
_QWEN3_5 = replace(_LLAMA, recurrent=True)
_QWEN3_5_MOE = replace(_QWEN3_5, mixture=mixtures.QWEN3_NEXT, stacks=(Stack(width=readings.none),))


ARCHITECTURES: Mapping[str, Architecture] = {
    "apertus": replace(_PLAIN, norm_before="feedforward_layernorm"),
    "arcee": _PLAIN,
    "aya_vision": _within(_COHERE, "cohere", "cohere2"),
    "bart": _BART,
    "bert": _BERT,
    "bloom": _BLOOM,
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "cohere2_moe": replace(
        _COHERE,
        stacks=(Stack(width=readings.prefix_width),),
        mixture=mixtures.COHERE2,
        variants=(
            Variant(attrgetter("num_shared_experts"), {"mixture": mixtures.COHERE2_SHARED}),
            Variant(readings.by_sigmoid, {"mixture": mixtures.COHERE2_SIGMOID}),
            Variant(readings.shared_by_sigmoid, {"mixture": mixtures.COHERE2_SHARED_SIGMOID}),
        ),
    ),
    "cohere2_vision": _within(_COHERE, "cohere", "cohere2"),
    "deepseek_v2": replace(_LLAMA, mixture=mixtures.DEEPSEEK_V2),
    "deepseek_v3": replace(_LLAMA, mixture=mixtures.DEEPSEEK_V3),
    "ernie4_5": _LLAMA,
    "eurobert": replace(_LLAMA, stacks=(Stack(name="encoder"),), loader="AutoModelForMaskedLM"),
    "exaone4": _OLMO2,
    "falcon": _FALCON,
    "falcon_h1": Architecture(
        stacks=(Stack(final_norm="final_layernorm"),),
        w_in="feed_forward.up_proj",
        w_gate="feed_forward.gate_proj",
        w_out="feed_forward.down_proj",
        activation="feed_forward.act_fn",
        norm_before="pre_ff_layernorm",
        scale=readings.down_multiplier,
        recurrent=True,
    ),
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3": replace(_GEMMA2, stacks=(Stack(module="language_model"),), text_config="text_config"),
    "gemma3_text": _GEMMA2,
    "gemma4": _within(_GEMMA4, "gemma4_text"),
    "gemma4_text": _GEMMA4,
    "glm": _PHI3,
    "glm4": replace(_PHI3, norm_after="post_mlp_layernorm"),
    "glm4_moe": replace(_LLAMA, mixture=mixtures.DEEPSEEK_V3),
    "gpt2": _GPT2,
    "gpt_bigcode": replace(_GPT2, conv1d=False),
    "gpt_neo": replace(
        _GPT2,
        stacks=(Stack(layers="h", final_norm="ln_f", width=readings.given_or_four_times),),
        conv1d=False,
    ),
    "gpt_neox": _GPT_NEOX,
    "gpt_oss": replace(_LLAMA, mixture=mixtures.GPT_OSS),
    "gptj": replace(
        _GPT2, w_in="mlp.fc_in", w_out="mlp.fc_out", norm_before="ln_1", parallel=True, conv1d=False
    ),
    "granite": replace(_LLAMA, scale=readings.residual_multiplier),
    "granitemoehybrid": Architecture(
        stacks=(Stack(width=attrgetter("shared_intermediate_size")),),
        w_in=mixtures.GRANITE_SHARED["w_in"],
        w_gate=mixtures.GRANITE_SHARED["w_gate"],
        w_out=mixtures.GRANITE_SHARED["w_out"],
        activation=mixtures.GRANITE_SHARED["activation"],
        norm_before="post_attention_layernorm",
        scale=readings.residual_multiplier,
        recurrent=True,
        mixture=mixtures.GRANITE,
        variants=(Variant(readings.no_experts, {"mixture": None}),),
    ),
    "hunyuan_v1_dense": _LLAMA,
    "jais2": _PLAIN,
    "lfm2": Architecture(
        stacks=(Stack(final_norm="embedding_norm", width=readings.adjusted),),
        w_in="feed_forward.w3",
        w_gate="feed_forward.w1",
        w_out="feed_forward.w2",
        activation="feed_forward.activation",
        bare=True,
        norm_before="ffn_norm",
        activation_name=readings.silu,
        recurrent=True,
    ),
    "llama": _LLAMA,
    "m2m_100": _M2M100,
    "marian": _BART,
    "mbart": _M2M100,
    "ministral3": _LLAMA,
    "mistral": _LLAMA,
    "mistral3": _within(_LLAMA, "mistral", "ministral3"),
    "mixtral": replace(_LLAMA, mixture=mixtures.MIXTRAL),
    "modernbert": Architecture(
        stacks=(Stack(name="encoder", final_norm="final_norm"),),
        w_in="mlp.Wi",
        w_gate="mlp.Wi",
        w_out="mlp.Wo",
        activation="mlp.act",
        norm_before="mlp_norm",
        activation_name=attrgetter("hidden_activation"),
        loader="AutoModelForMaskedLM",
        deep_head=True,
    ),
    "mpt": Architecture(
        stacks=(Stack(layers="blocks", final_norm="norm_f", width=readings.four_times),),
        w_in="ffn.up_proj",
        w_out="ffn.down_proj",
        activation="ffn.act",
        norm_before="norm_2",
        activation_name=readings.exact_gelu,
    ),
    "mt5": _T5,
    "nemotron": _PLAIN,
    "olmo": _LLAMA,
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "olmoe": replace(_LLAMA, mixture=mixtures.MIXTRAL),
    "opt": _OPT,
    "phi": Architecture(
        stacks=(Stack(final_norm="final_layernorm"),),
        w_in="mlp.fc1",
        w_out="mlp.fc2",
        activation="mlp.activation_fn",
        norm_before="input_layernorm",
        parallel=True,
    ),
    "phi3": _PHI3,
    "phimoe": replace(_LLAMA, mixture=mixtures.PHIMOE),
    "qwen2": _LLAMA,
    "qwen2_5_vl": _within(_LLAMA, "qwen2_5_vl_text"),
    "qwen3": _LLAMA,
    "qwen3_5": _within(_QWEN3_5, "qwen3_5_text"),
    "qwen3_5_moe": _within(_QWEN3_5_MOE, "qwen3_5_moe_text"),
    "qwen3_5_moe_text": _QWEN3_5_MOE,
    "qwen3_5_text": _QWEN3_5,
    "qwen3_moe": replace(_LLAMA, mixture=mixtures.QWEN3),
    "qwen3_next": replace(
        _QWEN3_5, mixture=replace(mixtures.QWEN3_NEXT, routed=readings.sparse_steps)
    ),
    "qwen3_vl": _within(_LLAMA, "qwen3_vl_text"),
    "seed_oss": _LLAMA,
    "smollm3": _LLAMA,
    "stablelm": replace(
        _LLAMA,
        variants=(
            Variant(
                attrgetter("use_parallel_residual"),
                {"norm_before": "input_layernorm", "parallel": True},
            ),
        ),
    ),
    "starcoder2": Architecture(
        w_in="mlp.c_fc",
        w_out="mlp.c_proj",
        activation="mlp.act",
        norm_before="post_attention_layernorm",
    ),
    "t5": _T5,
    "umt5": _T5,
    "xglm": replace(_M2M100, stacks=(Stack(final_norm="layer_norm", width=attrgetter("ffn_dim")),)),
    "xlm-roberta": _BERT,
}


def architecture_digest(model_type: str) -> str:
    """Fingerprint the fields of a table entry that can change a result.

    Fields that are None, False or empty do not count, so that a new field changes only the entries
    that use it. Refusals do not count, because they never apply to a recorded model.

    Returns:
        16 hexadecimal digits, or "" if the table has no such entry.
    """
    entry = ARCHITECTURES.get(model_type)
    return "" if entry is None else digest(_plain(replace(entry, refusals=())))


def _plain(value: Any) -> Any:
    """Turn a part of an entry into values that JSON can hold."""
    if is_dataclass(value):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: _plain(part) for name, part in parts.items() if part}
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, FunctionType):
        code = ast.parse(inspect.getsource(value))
        for node in ast.walk(code):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
                del node.body[0]
        return ast.unparse(code)
    return repr(value) if callable(value) else value
