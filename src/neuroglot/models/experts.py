"""Computes routed experts so that they can be recorded and edited.

transformers computes experts through one interface. While somebody looks at a layer's experts,
``_computed``, which is registered there, computes them; else the function that the model chose.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.entry import Mixture

NeuronSite = Literal["gate", "up", "act"]

_NAME = "neuroglot"


@dataclass(frozen=True, eq=False)
class Routed:
    """Values of the neurons of a layer with routed experts in one pass.

    Those of routed experts have a row for each token and slot. Rows are sorted by expert, and those
    of one expert by token.

    Attributes:
        values: [row, neuron of the expert].
        token: each row's token, int64 [row].
        expert: each row's expert, int64 [row].
        weight: the router's weight of the expert at the token [row].
        counts: rows of each expert, int64 [expert].
        shape: items and tokens of each in the pass; ``token`` counts through both.
        shared: values of the neurons that every token passes through [item, time, neuron]; None
            without such neurons.
        shared_weight: what multiplies the output of these [item, time, 1]; None: 1.
    """

    values: Tensor
    token: Tensor
    expert: Tensor
    weight: Tensor
    counts: Tensor
    shape: tuple[int, int]
    shared: Tensor | None = None
    shared_weight: Tensor | None = None

    def at(self, tokens: Tensor) -> "Routed":
        """The rows of these tokens, each given once; they are tokens 0, 1, … of one item there."""
        place = torch.full((self.shape[0] * self.shape[1],), -1, device=self.token.device)
        place[tokens] = torch.arange(len(tokens), device=place.device)
        token = place[self.token]
        kept = torch.nonzero(token >= 0)[:, 0]
        expert = self.expert[kept]
        return Routed(
            self.values[kept],
            token[kept],
            expert,
            self.weight[kept],
            torch.bincount(expert, minlength=len(self.counts)),
            (1, len(tokens)),
            _at(self.shared, tokens),
            _at(self.shared_weight, tokens),
        )

    def whole(self) -> Tensor:
        """Values of all neurons at all tokens [item, time, neuron]: shared ones, then by expert.

        They are 0 where a token was not routed to the expert.
        """
        tokens, experts, neurons = self.shape[0] * self.shape[1], len(self.counts), self._neurons
        whole = self.values.new_zeros(tokens, experts, neurons)
        whole[self.token, self.expert] = self.values
        of_experts = whole.view(*self.shape, experts * neurons)
        return of_experts if self.shared is None else torch.cat([self.shared, of_experts], -1)

    def map(self, change: Callable[[Tensor, Tensor | float], Tensor]) -> "Routed":
        """Change values, given them and what multiplies their output, which broadcasts to them."""
        shared, weight = self.shared, self.shared_weight
        return replace(
            self,
            values=change(self.values, self.weight[:, None]),
            shared=None if shared is None else change(shared, 1.0 if weight is None else weight),
        )

    def sum_by_fold(self, folds: Tensor) -> Tensor:
        """Sum values over the tokens of each fold, in their own precision.

        ``folds`` are ``[fold, token]``, 1 if the token is in the fold, else 0; a token is in one.

        Returns:
            ``[fold, neuron]``, in the order of ``whole``.
        """
        experts = len(self.counts)
        group = folds.argmax(0)[self.token] * experts + self.expert
        sums = self.values.new_zeros(len(folds) * experts, self._neurons)
        sums.index_add_(0, group, self.values)
        of_experts = sums.view(len(folds), experts * self._neurons)
        if self.shared is None:
            return of_experts
        of_shared = folds.to(self.shared.dtype) @ self.shared.flatten(0, 1)
        return torch.cat([of_shared, of_experts], -1)

    def largest(self, items: Tensor, count: int) -> Tensor:
        """Find each neuron's largest value among the tokens of each item.

        Args:
            items: each token's item, int64 ``[token]``; the tokens are those of ``at``.
            count: number of items.

        Returns:
            ``[item, neuron]``, in the order of ``whole``; a neuron is 0 at a token that is not
            routed to its expert.
        """
        experts = len(self.counts)
        group = items[self.token] * experts + self.expert
        best = _largest(self.values, group, count * experts)
        routed = torch.bincount(group, minlength=count * experts)
        tokens = torch.bincount(items, minlength=count).repeat_interleave(experts)
        best = torch.where((routed == tokens)[:, None], best, best.clamp_min(0))
        of_experts = best.view(count, experts * self._neurons)
        if self.shared is None:
            return of_experts
        return torch.cat([_largest(self.shared.flatten(0, 1), items, count), of_experts], -1)

    @property
    def _neurons(self) -> int:
        return self.values.shape[1]


def _largest(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """The largest of the values [row, width] of each group of rows, [group, width]; else -inf."""
    none = values.new_full((groups, values.shape[1]), -torch.inf)
    return none.index_reduce_(0, group, values, "amax")


def _at(values: Tensor | None, tokens: Tensor) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)[tokens][None]


@dataclass(frozen=True, eq=False)
class Experts:
    """The routed experts of one layer.

    Attributes:
        module: holds their weights.
        router: chooses among them.
        outputs: modules whose outputs, added up, are the output of the layer's FFN.
        count: number of experts.
        slots: how many a token passes through.
        neurons: neurons of one expert.
        norms: of the outputs of shared neurons and of routed experts, before these are added up.
        shared_gate: gives the logit of what multiplies the shared neurons' output, or None.
        mixture: the table's entry.
    """

    module: Any
    router: nn.Module
    outputs: tuple[nn.Module, ...]
    count: int
    slots: int
    neurons: int
    norms: tuple[nn.Module, ...]
    shared_gate: nn.Module | None
    mixture: Mixture

    def output_matrices(self) -> Tensor:
        """``W_out`` of each expert [expert, hidden, neuron]. Shares the weights."""
        stored: Tensor = self.module.down_proj.detach()
        return stored.mT if self.module.is_transposed else stored

    def input_matrices(self) -> Tensor:
        """``W_up`` of each expert [expert, neuron, hidden]."""
        return self._inputs(1)

    def gate_matrices(self) -> Tensor:
        """``W_gate`` of each expert [expert, neuron, hidden]."""
        return self._inputs(0)

    def _inputs(self, part: int) -> Tensor:
        stored: Tensor = self.module.gate_up_proj.detach()
        rows = stored.mT if self.module.is_transposed else stored
        parts = (
            rows.chunk(2, dim=1) if self.module.is_concatenated else (rows[:, ::2], rows[:, 1::2])
        )
        return parts[part]

    def probabilities(self, scores: Tensor) -> Tensor:
        """The router's probabilities, float32 [token, expert], which add up to 1."""
        if self.mixture.scores == "softmax":
            return scores.float().softmax(-1)
        if self.mixture.scores == "sigmoid":
            opened = scores.float().sigmoid()
            return opened / opened.sum(-1, keepdim=True)
        return scores.float()


Look = Callable[[Routed], Tensor | None]


def _halves(module: Any, inner: Tensor) -> tuple[Tensor, Tensor]:
    gate, up = inner.chunk(2, dim=-1)
    return module.act_fn(gate), up


def _clamped(module: Any, inner: Tensor) -> tuple[Tensor, Tensor]:
    """gpt-oss: the parts are interleaved and clamped, and 1 is added to up."""
    gate, up = inner[..., ::2].clamp(max=module.limit), inner[..., 1::2]
    return gate * torch.sigmoid(gate * module.alpha), up.clamp(-module.limit, module.limit) + 1


GATINGS: Mapping[str, Callable[[Any, Tensor], tuple[Tensor, Tensor]]] = {
    "halves": _halves,
    "clamped": _clamped,
}
"""How experts make gate and up, whose product is act, of what their input matrix gives."""


@dataclass(eq=False)
class _Looked:
    """Who looks at a module of experts: functions by site, in the order in which they came.

    ``config`` is the module's own configuration, which is put back when nobody looks any more.
    """

    config: Any
    gating: str
    looks: dict[NeuronSite, list[Look]] = field(
        default_factory=lambda: {"gate": [], "up": [], "act": []}
    )


_LOOKED: WeakKeyDictionary[nn.Module, _Looked] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Looking:
    """A look at a layer's experts, until ``remove`` is called."""

    experts: Experts
    site: NeuronSite
    look: Look

    @classmethod
    def at(cls, experts: Experts, site: NeuronSite, look: Look) -> "Looking":
        """Let ``look`` see the values of ``site`` in every pass.

        Those that came earlier look first. What ``look`` returns, if not None, takes the place of
        the values [row, neuron].
        """
        module = experts.module
        if module not in _LOOKED:
            _LOOKED[module] = _Looked(module.config, experts.mixture.gating)
            _register()
            module.config = copy(module.config)
            module.config._experts_implementation_internal = _NAME
        _LOOKED[module].looks[site].append(look)
        return cls(experts, site, look)

    def remove(self) -> None:
        """Look no longer."""
        module = self.experts.module
        looked = _LOOKED[module]
        looked.looks[self.site].remove(self.look)
        if not any(looked.looks.values()):
            module.config = looked.config
            del _LOOKED[module]


def _register() -> None:
    from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

    ALL_EXPERTS_FUNCTIONS.register(_NAME, _computed)


def _computed(
    module: Any, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor
) -> Tensor:
    """Compute experts as transformers' ``grouped_mm`` does, in the order of its operations."""
    from transformers.integrations.moe import _grouped_linear

    if module._is_expert_parallel:
        raise NeuroglotError(
            "this model's experts are spread over processes, where each sees a part of them; load "
            "the model without expert parallelism"
        )
    looked, (tokens, slots) = _LOOKED[module], top_k_index.shape
    expert, order = torch.sort(top_k_index.reshape(-1), stable=True)
    counts = torch.bincount(expert, minlength=module.num_experts)
    ends = counts.cumsum(0).int()

    def through(x: Tensor, name: str) -> Tensor:
        bias = getattr(module, f"{name}_bias")[expert] if module.has_bias else None
        weight = getattr(module, name)
        return _grouped_linear(x, weight, ends, bias=bias, is_transposed=module.is_transposed)

    token, weight = order // slots, top_k_weights.reshape(-1)[order]
    routed = Routed(hidden_states, token, expert, weight, counts, (1, tokens))

    def seen(site: NeuronSite, values: Tensor) -> Tensor:
        for look in looked.looks[site]:
            changed = look(replace(routed, values=values))
            values = values if changed is None else changed
        return values

    inner = through(hidden_states[token], "gate_up_proj")
    gate, up = GATINGS[looked.gating](module, inner)
    gate, up = seen("gate", gate), seen("up", up)
    out = through(seen("act", gate * up), "down_proj") * weight[:, None]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return out[back].view(tokens, slots, -1).sum(1).to(hidden_states.dtype)
