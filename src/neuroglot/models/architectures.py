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
from dataclasses import dataclass, fields, is_dataclass, replace
from operator import attrgetter
from types import FunctionType
from typing import Any

from neuroglot.provenance import digest


@dataclass(frozen=True)
class Stack:
    """One stack of transformer layers, as seen from the base model.

    Attributes:
        name: ``encoder`` or ``decoder``.
        module: path from the base model to the module that holds the layers; "" is the base model.
        layers: that module's attribute that holds the list of layers.
        final_norm: that module's attribute that holds the norm after the last layer, or None.
        depth: number of layers, from the configuration.
        width: neurons per layer, from the configuration.
    """

    name: str = "decoder"
    module: str = ""
    layers: str = "layers"
    final_norm: str | None = "norm"
    depth: Callable[[Any], int] = attrgetter("num_hidden_layers")
    width: Callable[[Any], int] = attrgetter("intermediate_size")


@dataclass(frozen=True)
class Variant:
    """Changes to an architecture's entry for models whose configuration satisfies ``when``."""

    when: Callable[[Any], bool]
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """Where a layer keeps its FFN. Paths start at the layer; integers in them index lists.

    Attributes:
        w_in: input projection (plain FFN) or up projection (gated FFN).
        w_out: output projection; neuron i is coordinate i of its input.
        activation: the activation function's module.
        w_gate: gate projection; None in plain FFNs. It equals ``w_in`` if one module computes both
            projections, with the gate's outputs first.
        norm_before: norm on the FFN's input, outside the residual stream.
        norm_after: norm on the FFN's output before it is added to the residual stream.
        norm_sum: norm on the residual stream after the FFN's output was added (post-norm layers).
        parallel: attention and FFN read the same state, and both outputs are added to it.
        conv1d: weights are stored [in, out] instead of [out, in].
        out_overwritten: the layer adds to the FFN's output in place after computing it.
        activation_name: the activation function's name, from the configuration.
        text_config: in a multimodal configuration, the attribute that holds the language model's
            configuration.
        variants: applied in order to the entry.
        refusals: (condition on the configuration, reason) for models that cannot be recorded.
    """

    w_in: str
    w_out: str
    activation: str
    stacks: tuple[Stack, ...] = (Stack(),)
    w_gate: str | None = None
    norm_before: str | None = None
    norm_after: str | None = None
    norm_sum: str | None = None
    parallel: bool = False
    conv1d: bool = False
    out_overwritten: bool = False
    activation_name: Callable[[Any], str] = attrgetter("hidden_act")
    text_config: str | None = None
    variants: tuple[Variant, ...] = ()
    refusals: tuple[tuple[Callable[[Any], bool], str], ...] = ()

    @property
    def gated(self) -> bool:
        """Whether ``act = f(W_gate x) * (W_up x)``."""
        return self.w_gate is not None

    @property
    def fused(self) -> bool:
        """Whether one module computes gate and up projection."""
        return self.gated and self.w_gate == self.w_in


def _inner_or_four_times(config: Any) -> int:
    """Neurons of GPT-2 and GPT-J: ``n_inner``, or 4 x hidden if it is null."""
    return int(config.n_inner or 4 * config.hidden_size)


def _four_times(config: Any) -> int:
    return int(4 * config.hidden_size)


def _tanh_gelu(_config: Any) -> str:
    return "gelu_pytorch_tanh"


def _sliced(config: Any) -> bool:
    """Whether BLOOM computes the output projection in slices, as in training."""
    return bool(config.slow_but_exact and config.pretraining_tp > 1)


def _sequential(config: Any) -> bool:
    """Whether Falcon's FFN follows attention, as in its smallest models."""
    return not config.parallel_attn and not config.new_decoder_architecture


def _own_norm(config: Any) -> bool:
    """Whether Falcon's attention and FFN have separate norms."""
    return bool(config.new_decoder_architecture and config.num_ln_in_parallel_attn in (None, 2))


def _norm_after(config: Any) -> bool:
    """Whether OPT applies its norms after each addition, as in its 350M model."""
    return not config.do_layer_norm_before


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
    stacks=(Stack(layers="h", final_norm="ln_f", width=_four_times),),
    w_in="mlp.dense_h_to_4h",
    w_out="mlp.dense_4h_to_h",
    activation="mlp.gelu_impl",
    norm_before="post_attention_layernorm",
    activation_name=_tanh_gelu,
    variants=(
        # Here the norm's output is the residual stream.
        Variant(attrgetter("apply_residual_connection_post_layernorm"), {"norm_before": None}),
    ),
    refusals=(
        (
            _sliced,
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
            _sequential,
            {
                "norm_before": "post_attention_layernorm",
                "parallel": False,
                "out_overwritten": False,
            },
        ),
        Variant(_own_norm, {"norm_before": "ln_mlp"}),
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
    variants=(Variant(_norm_after, {"norm_before": None, "norm_sum": "final_layer_norm"}),),
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
    stacks=(Stack(layers="h", final_norm="ln_f", width=_inner_or_four_times),),
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

ARCHITECTURES: Mapping[str, Architecture] = {
    "bart": _BART,
    "bloom": _BLOOM,
    "cohere": _COHERE,
    "cohere2": _COHERE,
    "falcon": _FALCON,
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3": replace(_GEMMA2, stacks=(Stack(module="language_model"),), text_config="text_config"),
    "gemma3_text": _GEMMA2,
    "glm": _PHI3,
    "glm4": replace(_PHI3, norm_after="post_mlp_layernorm"),
    "gpt2": _GPT2,
    "gpt_neox": _GPT_NEOX,
    "gptj": replace(
        _GPT2, w_in="mlp.fc_in", w_out="mlp.fc_out", norm_before="ln_1", parallel=True, conv1d=False
    ),
    "llama": _LLAMA,
    "m2m_100": _M2M100,
    "marian": _BART,
    "mbart": _M2M100,
    "mistral": _LLAMA,
    "mt5": _T5,
    "olmo": _LLAMA,
    "olmo2": replace(_LLAMA, norm_before=None, norm_after="post_feedforward_layernorm"),
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
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
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
