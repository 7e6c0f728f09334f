"""Builds tiny random mixtures of experts, and computes their layers literally: token by token."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import Tensor

from support.tiny_models import HIDDEN, VOCABULARY

EXPERTS = 5
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
_QWEN3 = {"num_experts": EXPERTS, "moe_intermediate_size": NEURONS, "intermediate_size": 24}

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "mixtral": {"num_local_experts": EXPERTS, "intermediate_size": NEURONS},
    "olmoe": {"num_experts": EXPERTS, "intermediate_size": NEURONS},
    "olmoe:normalised": {
        "num_experts": EXPERTS,
        "intermediate_size": NEURONS,
        "norm_topk_prob": True,
    },
    "qwen3_moe": {**_QWEN3, "norm_topk_prob": True},
    "qwen3_moe:some_dense": {**_QWEN3, "num_hidden_layers": 4, "decoder_sparse_step": 2},
    "qwen3_moe:listed": {**_QWEN3, "num_hidden_layers": 3, "mlp_only_layers": [0]},
}

MIXTURES = tuple(_SETTINGS)
_NORMALISED = ("mixtral", "olmoe:normalised", "qwen3_moe")


def mixture_config(name: str, **changes: Any) -> Any:
    """The configuration of one of ``MIXTURES``, with ``changes`` to its settings."""
    settings = {**_COMMON, **_SETTINGS[name], **changes}
    return transformers.AutoConfig.for_model(name.split(":")[0], **settings)


def mixture(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random model of one of ``MIXTURES`` with its head; no parameter is 0, no gain 1."""
    config = mixture_config(name, **changes)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + noise / 3 if "norm" in key else noise / 3)
    return model


mixture_of = cache(mixture)
"""``mixture``, for tests that leave the model as they found it."""


@dataclass(frozen=True)
class Literal:
    """What a routed layer does with its input, computed token by token in float64.

    Attributes:
        probabilities, weights: [token, expert]; weights are 0 where the expert is not chosen.
        gate, up, act: by token and expert, of chosen experts, [neuron].
        out: [token, hidden].
    """

    probabilities: Tensor
    weights: Tensor
    gate: dict[tuple[int, int], Tensor]
    up: dict[tuple[int, int], Tensor]
    act: dict[tuple[int, int], Tensor]
    out: Tensor


def literal(name: str, block: Any, x: Tensor, forbidden: tuple[int, ...] = ()) -> Literal:
    """Compute a routed layer of one of ``MIXTURES`` from its input ``x`` [token, hidden].

    Experts in ``forbidden`` are left out of the choice.
    """
    weights_of, x = block.mlp, x.detach().double()
    made = Literal(
        torch.zeros(len(x), EXPERTS).double(),
        torch.zeros(len(x), EXPERTS).double(),
        {},
        {},
        {},
        torch.zeros_like(x),
    )
    for token, state in enumerate(x):
        logits = [float(row.double() @ state) for row in weights_of.gate.weight.detach()]
        if forbidden:
            logits = [-torch.inf if e in forbidden else each for e, each in enumerate(logits)]
        probabilities = torch.tensor(logits).double().exp()
        probabilities /= probabilities.sum()
        made.probabilities[token] = probabilities
        order = sorted(range(EXPERTS), key=lambda expert: -float(probabilities[expert]))
        chosen = order[:SLOTS]
        total = float(sum(probabilities[expert] for expert in chosen))
        for expert in chosen:
            weight = probabilities[expert] / (total if name in _NORMALISED else 1.0)
            rows = weights_of.experts.gate_up_proj[expert].detach().double()
            columns = weights_of.experts.down_proj[expert].detach().double()
            before, up = rows[:NEURONS] @ state, rows[NEURONS:] @ state
            gate = before / (1 + torch.exp(-before))
            made.weights[token, expert] = weight
            made.gate[token, expert], made.up[token, expert] = gate, up
            made.act[token, expert] = gate * up
            made.out[token] += weight * (columns @ (gate * up))
    return made
