"""Builds tiny random mixtures of experts, and computes their layers literally: token by token."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp
from typing import Any

import torch
import transformers
from torch import Tensor

from support.tiny_models import HIDDEN, VOCABULARY, loader_of

EXPERTS = 6
SLOTS = 2
NEURONS = 12

_COMMON = {
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_size": HIDDEN,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "num_hidden_layers": 2,
    "max_position_embeddings": 64,
    "num_experts_per_tok": SLOTS,
}
_DENSE = 24  # neurons of dense layers
_QWEN3 = {"num_experts": EXPERTS, "moe_intermediate_size": NEURONS, "intermediate_size": _DENSE}
_NEXT = {
    **_QWEN3,
    "shared_expert_intermediate_size": 10,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
_LOCAL = {"num_local_experts": EXPERTS, "intermediate_size": NEURONS}
_DEEPSEEK = {
    "n_routed_experts": EXPERTS,
    "moe_intermediate_size": NEURONS,
    "intermediate_size": _DENSE,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "num_hidden_layers": 3,
    "kv_lora_rank": 8,
    "q_lora_rank": None,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 2,
    "routed_scaling_factor": 1.7,
    "n_group": 3,
    "topk_group": 2,
}
_GLM = {key: value for key, value in _DEEPSEEK.items() if "lora" not in key and "dim" not in key}
_COHERE = {"num_experts": EXPERTS, "intermediate_size": NEURONS, "layer_types": None}
_GRANITE = {
    **_LOCAL,
    "shared_intermediate_size": 10,
    "layer_types": ["linear_attention", "full_attention"],
    "mamba_n_heads": 4,
    "mamba_d_state": 8,
    "mamba_d_conv": 3,
    "mamba_expand": 2,
    "mamba_chunk_size": 4,
    "residual_multiplier": 0.3,
    "embedding_multiplier": 2.0,
    "attention_multiplier": 0.5,
    "logits_scaling": 4.0,
}

_GEMMA4 = {
    **_QWEN3,
    "enable_moe_block": True,
    "top_k_experts": SLOTS,
    "global_head_dim": 8,
    "hidden_size_per_layer_input": 0,
}
_VISION = {
    "depth": 1,
    "hidden_size": HIDDEN,
    "intermediate_size": _DENSE,
    "num_heads": 2,
    "out_hidden_size": HIDDEN,
    "patch_size": 14,
}

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "cohere2_moe": _COHERE,
    "cohere2_moe:averaged": {**_COHERE, "num_shared_experts": 2, "first_k_dense_replace": 1},
    "cohere2_moe:sigmoid": {
        **_COHERE,
        "num_shared_experts": 1,
        "shared_expert_combination_strategy": "sum",
        "expert_selection_fn": "sigmoid",
    },
    "deepseek_v2": {**_DEEPSEEK, "topk_method": "greedy"},
    "deepseek_v2:groups": {**_DEEPSEEK, "topk_method": "group_limited_greedy"},
    "deepseek_v3": {**_DEEPSEEK, "n_group": 2, "topk_group": 1},
    "gemma4_text:experts": _GEMMA4,
    "glm4_moe": {**_GLM, "n_group": 1, "topk_group": 1},
    "gpt_oss": {**_LOCAL, "swiglu_limit": 0.6},
    "granitemoehybrid": _GRANITE,
    "mixtral": _LOCAL,
    "olmoe": {"num_experts": EXPERTS, "intermediate_size": NEURONS},
    "olmoe:normalised": {
        "num_experts": EXPERTS,
        "intermediate_size": NEURONS,
        "norm_topk_prob": True,
    },
    "phimoe": {**_LOCAL, "router_jitter_noise": 0.2},
    "qwen3_5_moe": {
        "text_config": {
            **_COMMON,
            **_NEXT,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]},
        },
        "vision_config": _VISION,
        "image_token_id": VOCABULARY - 1,
        "video_token_id": VOCABULARY - 2,
    },
    "qwen3_5_moe_text": _NEXT,
    "qwen3_moe": {**_QWEN3, "norm_topk_prob": True},
    "qwen3_moe:some_dense": {**_QWEN3, "num_hidden_layers": 4, "decoder_sparse_step": 2},
    "qwen3_moe:listed": {**_QWEN3, "num_hidden_layers": 3, "mlp_only_layers": [0]},
    "qwen3_next": _NEXT,
}
MIXTURES = tuple(_SETTINGS)


def mixture_config(name: str, **changes: Any) -> Any:
    """The configuration of one of ``MIXTURES``, with ``changes`` to its settings."""
    common = {} if "text_config" in _SETTINGS[name] else _COMMON
    settings = {**common, **_SETTINGS[name], **changes}
    return transformers.AutoConfig.for_model(name.split(":")[0], **settings)


def mixture(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of one of ``MIXTURES`` with its head; no parameter is 0, no gain 1."""
    config = mixture_config(name, **changes)
    model = loader_of(config).from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 3 if "norm" in key else noise / 3)
        for key, buffer in model.named_buffers():
            if key.endswith("e_score_correction_bias"):  # in checkpoints like a parameter
                buffer.copy_(torch.randn(buffer.shape, generator=generator) / 3)
            if key.endswith("layer_scalar"):  # of Gemma 4, likewise
                buffer.copy_(0.5 + torch.rand(1, generator=generator))
    return model


mixture_of = cache(mixture)
"""``mixture``, for tests that leave the model as they found it."""


@dataclass(frozen=True)
class Literal:
    """What a layer with routed experts does with its input, in float64.

    Neurons are shared ones, then those of each expert; they are 0 where not routed to.

    Attributes:
        probabilities, weights: [token, expert]; weights are 0 where the expert is not chosen.
        gate, up, act: [token, neuron].
        share: what multiplies the output of a neuron [token, neuron].
        out: [token, hidden].
    """

    probabilities: Tensor
    weights: Tensor
    gate: Tensor
    up: Tensor
    act: Tensor
    share: Tensor
    out: Tensor


def literal(
    name: str,
    block: Any,
    x: Tensor,
    raw: Tensor,
    config: Any,
    off: Collection[int] = (),
) -> Literal:
    """Compute a layer of one of ``MIXTURES`` from its input ``x`` [token, hidden].

    ``raw`` is its input before the norm. Experts in ``off`` are left out of the choice.
    """
    both = zip(x.detach().double(), raw.detach().double(), strict=True)
    config = config.get_text_config()
    rows = [_token(config.model_type, block, state, of, config, off) for state, of in both]
    return Literal(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _token(
    family: str, block: Any, state: Tensor, raw: Tensor, config: Any, off: Collection[int]
) -> tuple[Tensor, ...]:
    mlp = block.block_sparse_moe if family == "granitemoehybrid" else block.mlp
    owner = block if family == "gemma4_text" else mlp
    router = owner.gate if hasattr(owner, "gate") else owner.router
    read_by_experts = state
    if family == "gemma4_text":
        read_by_experts = _rms(raw, block.pre_feedforward_layernorm_2, config)
        scaled = raw / (raw.square().mean() + config.rms_norm_eps).sqrt() / HIDDEN**0.5
        logits = router.proj.weight.detach().double() @ (scaled * router.scale.detach().double())
    else:
        logits = router.weight.detach().double() @ state
    if getattr(router, "bias", None) is not None:
        logits = logits + router.bias.detach().double()
    allowed = [expert for expert in range(EXPERTS) if expert not in off]
    probabilities, chosen = _routes(family, [float(x) for x in logits], allowed, config, router)
    neurons = [_shared(family, block, mlp, state)]
    weights = torch.zeros(EXPERTS, dtype=torch.float64)
    for expert in range(EXPERTS):
        if expert in chosen:
            weights[expert] = chosen[expert]
            gate, up, columns, bias = _expert(family, owner.experts, expert, read_by_experts)
        else:
            gate = up = torch.zeros(NEURONS, dtype=torch.float64)
            columns, bias = torch.zeros(HIDDEN, NEURONS, dtype=torch.float64), 0.0
        neurons.append((gate, up, chosen.get(expert, 0.0), columns, bias))
    written = [share * (columns @ (gate * up) + bias) for gate, up, share, columns, bias in neurons]
    out = sum(written)
    if family == "gemma4_text":
        of_experts = torch.as_tensor(sum(written[1:]))
        out = _rms(written[0], block.post_feedforward_layernorm_1, config)
        out = out + _rms(of_experts, block.post_feedforward_layernorm_2, config)
    gates, ups = (torch.cat([part[place] for part in neurons]) for place in (0, 1))
    shares = [torch.full((len(part[0]),), part[2], dtype=torch.float64) for part in neurons]
    return probabilities, weights, gates, ups, gates * ups, torch.cat(shares), torch.as_tensor(out)


def _routes(
    family: str, logits: list[float], allowed: list[int], config: Any, router: Any
) -> tuple[Tensor, dict[int, float]]:
    """The router's probabilities, and the weight of each chosen expert."""
    by_sigmoid = family in ("deepseek_v3", "glm4_moe") or (
        family == "cohere2_moe" and config.expert_selection_fn == "sigmoid"
    )
    size = dict.fromkeys(range(EXPERTS), 0.0)
    for expert in allowed:
        size[expert] = 1 / (1 + exp(-logits[expert])) if by_sigmoid else exp(logits[expert])
    total = sum(size.values())
    probabilities = torch.tensor([each / total for each in size.values()], dtype=torch.float64)
    if family == "phimoe":
        return probabilities, _sparse_mixer(logits, allowed, config.router_jitter_noise)
    ranked = _ranked(family, size, allowed, config, router)
    scores = size if by_sigmoid else {e: float(probabilities[e]) for e in allowed}
    chosen = {expert: scores[expert] for expert in ranked[:SLOTS]}
    if _normalised(family, config):
        within = sum(chosen.values())
        chosen = {expert: score / within for expert, score in chosen.items()}
    if family == "gemma4_text":
        return probabilities, {e: float(router.per_expert_scale[e]) * chosen[e] for e in chosen}
    scaling = config.routed_scaling_factor if family in ("deepseek_v2", *_V3) else 1.0
    return probabilities, {expert: scaling * score for expert, score in chosen.items()}


_V3 = ("deepseek_v3", "glm4_moe")


def _normalised(family: str, config: Any) -> bool:
    if family in ("mixtral", "gpt_oss", "granitemoehybrid", "qwen3_5_moe_text", "gemma4_text"):
        return True
    if family == "cohere2_moe" and config.expert_selection_fn == "softmax":
        return True
    return family != "deepseek_v2" and bool(config.norm_topk_prob)


def _rms(x: Tensor, norm: Any, config: Any) -> Tensor:
    """Gemma 4's RMSNorm, whose gain is its weight."""
    return x / (x.square().mean() + config.rms_norm_eps).sqrt() * norm.weight.detach().double()


def _ranked(
    family: str, size: dict[int, float], allowed: list[int], config: Any, router: Any
) -> list[int]:
    """Experts in the order in which they are chosen."""
    value = dict(size)
    if family in _V3:
        value = {e: size[e] + float(router.e_score_correction_bias[e]) for e in size}
    groups = getattr(config, "n_group", 1)
    if family in _V3 or getattr(config, "topk_method", "") == "group_limited_greedy":
        per_group = EXPERTS // groups
        best = 2 if family in _V3 else 1  # of a group, by which it is judged

        def worth(group: int) -> float:
            members = range(group * per_group, (group + 1) * per_group)
            of_group = [value[e] if e in allowed else -torch.inf for e in members]
            if family not in _V3:
                of_group = [max(each, 0.0) for each in of_group]
            return sum(sorted(of_group, reverse=True)[:best])

        kept = sorted(range(groups), key=lambda group: -worth(group))[: config.topk_group]
        allowed = [e for e in allowed if e // per_group in kept]
    return sorted(allowed, key=lambda e: -value[e])


def _sparse_mixer(logits: list[float], allowed: list[int], jitter: float) -> dict[int, float]:
    """Phi-3.5-MoE: each of two choices is a softmax over logits that are near the largest."""
    chosen: dict[int, float] = {}
    for _ in range(SLOTS):
        left = [expert for expert in allowed if expert not in chosen]
        best = max(left, key=lambda expert: logits[expert])
        top = logits[best]
        near = [e for e in left if (top - logits[e]) / max(abs(logits[e]), top) <= 2 * jitter]
        chosen[best] = 1 / sum(exp(logits[expert] - top) for expert in near)
    return chosen


def _expert(
    family: str, experts: Any, expert: int, state: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | float]:
    """Gate, up, output matrix and output bias of one expert."""
    rows = experts.gate_up_proj[expert].detach().double()
    columns = experts.down_proj[expert].detach().double()
    if family != "gpt_oss":
        f = _gelu if family == "gemma4_text" else _silu
        return f(rows[:NEURONS] @ state), rows[NEURONS:] @ state, columns, 0.0
    inner = state @ rows + experts.gate_up_proj_bias[expert].detach().double()
    limit = experts.limit
    gate = torch.tensor([min(float(each), limit) for each in inner[0::2]], dtype=torch.float64)
    up = [max(min(float(each), limit), -limit) for each in inner[1::2]]
    gate = gate / (1 + torch.exp(-1.702 * gate))
    bias = experts.down_proj_bias[expert].detach().double()
    return gate, torch.tensor(up, dtype=torch.float64) + 1, columns.T, bias


def _shared(
    family: str, block: Any, mlp: Any, state: Tensor
) -> tuple[Tensor, Tensor, float, Tensor, float]:
    """Gate, up, factor and output matrix of what every token passes through."""
    if family == "granitemoehybrid":
        rows = block.shared_mlp.input_linear.weight.detach().double()
        gate, up = _silu((rows @ state)[: len(rows) // 2]), (rows @ state)[len(rows) // 2 :]
        return gate, up, 1.0, block.shared_mlp.output_linear.weight.detach().double(), 0.0
    shared = getattr(mlp, "shared_experts", getattr(mlp, "shared_expert", None))
    shared = mlp if family == "gemma4_text" else shared
    if shared is None:
        none = torch.zeros(0, dtype=torch.float64)
        return none, none, 1.0, torch.zeros(HIDDEN, 0, dtype=torch.float64), 0.0
    gate_rows, up_rows, columns = (
        getattr(shared, f"{part}_proj").weight.detach().double() for part in ("gate", "up", "down")
    )
    factor = 1.0
    if hasattr(mlp, "shared_expert_gate"):
        logit = mlp.shared_expert_gate.weight.detach().double()[0] @ state
        factor = 1 / (1 + exp(-float(logit)))
    f = _gelu if family == "gemma4_text" else _silu
    return f(gate_rows @ state), up_rows @ state, factor, columns, 0.0


def _silu(before: Tensor) -> Tensor:
    return before / (1 + torch.exp(-before))


def _gelu(before: Tensor) -> Tensor:
    inner = (2 / torch.pi) ** 0.5 * (before + 0.044715 * before**3)
    return before * (1 + torch.tanh(inner)) / 2
