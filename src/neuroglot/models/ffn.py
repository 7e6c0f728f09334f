"""Finds a model's feed-forward networks and records their activations."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.models.describe import Description, architecture, describe, language_config
from neuroglot.models.entry import Architecture, Stack
from neuroglot.models.experts import Experts
from neuroglot.models.recording import Recorder, Sink

SITES = ("act", "gate", "up", "out", "state", "mid")
GATED_SITES = ("gate", "up")
ROUTED_SITES = ("chosen", "weight", "router")
# The modules of a layer's FFN whose paths the table gives.
PROJECTIONS = ("w_in", "w_gate", "w_out", "activation")
NORMS = ("norm_before", "norm_after", "norm_sum")


@dataclass(frozen=True, eq=False)
class FFN:
    """One layer's feed-forward network: ``out = W_out act + b``.

    Plain: ``act = f(W_in x + b)``. Gated: ``act = f(W_gate x) * (W_up x)``.

    A layer of a mixture of experts has the neurons that every token passes through, if any, and
    then those of all its experts, expert by expert. Its output is the sum of what the former write
    and of the outputs of the experts that a token is routed to, each times the router's weight.
    Its projections and activation function are those of the former; they are None without them.

    Attributes:
        stack: ``encoder`` or ``decoder``.
        layer: number of the layer within its stack.
        index: number of the layer over all stacks, encoder first.
        neurons: width of ``act``; all experts together.
        hidden: width of the residual stream.
        block: the transformer layer.
        w_in: module of the input (plain) or up (gated) projection.
        w_gate: module of the gate projection (``w_in`` if the two are fused); None in plain FFNs.
        w_out: module of the output projection.
        activation: module of the activation function.
        experts: the layer's routed experts; None in a dense layer.
        norm_before: norm on the FFN's input, if any.
        norm_after: norm on the FFN's output before it is added to the residual stream, if any.
        norm_sum: norm on the residual stream after that addition (post-norm layers), if any.
        scale: factor of the FFN's output, behind ``norm_after``, in what the layer adds.
        architecture: the table's entry for the model.
    """

    stack: str
    layer: int
    index: int
    neurons: int
    hidden: int
    block: nn.Module
    w_in: Any
    w_gate: Any
    w_out: Any
    activation: Any
    experts: Experts | None
    norm_before: nn.Module | None
    norm_after: nn.Module | None
    norm_sum: nn.Module | None
    scale: float
    architecture: Architecture

    @property
    def gated(self) -> bool:
        """Whether ``act = f(W_gate x) * (W_up x)``."""
        return self.architecture.gated

    def output_matrix(self) -> Tensor:
        """``W_out`` [hidden, neuron]; column i is neuron i's value vector.

        A dense layer's shares the weights.
        """
        if self.experts is None:
            return self._matrix(self.w_out, self.hidden, self.neurons)
        shared = self._matrix(self.w_out, self.hidden, self.shared) if self.w_out else None
        matrices = self._checked(self.experts.output_matrices()).transpose(0, 1).flatten(1)
        return matrices if shared is None else torch.cat([shared, matrices], 1)

    def output_bias(self) -> Tensor | None:
        """The output projection's bias [hidden], or None; None if it depends on the experts."""
        bias = getattr(self.w_out, "bias", None)
        return None if bias is None else bias.detach()

    def input_matrix(self) -> Tensor:
        """``W_up`` (gated) or ``W_in`` (plain) [neuron, hidden]; a dense layer's shares weights."""
        if self.experts is None:
            return self._input_rows(self.w_in, part=1)
        return self._with_shared(self.experts.input_matrices(), self.w_in, part=1)

    def gate_matrix(self) -> Tensor:
        """``W_gate`` [neuron, hidden] of a gated FFN; a dense layer's shares the weights.

        Raises:
            NeuroglotError: if the FFN is not gated.
        """
        if self.experts:
            return self._with_shared(self.experts.gate_matrices(), self.w_gate, part=0)
        if self.w_gate is None:
            raise NeuroglotError(f"{self._name} is not gated: it has no gate matrix.")
        return self._input_rows(self.w_gate, part=0)

    @property
    def _name(self) -> str:
        return f"the FFN of {self.stack} layer {self.layer}"

    @property
    def shared(self) -> int:
        """Neurons that every token passes through; they are the layer's first."""
        return self.neurons - (self.experts.count * self.experts.neurons if self.experts else 0)

    def _input_rows(self, module: nn.Module, part: int) -> Tensor:
        if not self.architecture.fused:
            return self._matrix(module, self.shared, self.hidden)
        return self._matrix(module, 2 * self.shared, self.hidden).chunk(2)[part]

    def _with_shared(self, matrices: Tensor, module: nn.Module | None, part: int) -> Tensor:
        rows = self._checked(matrices).flatten(0, 1)
        return rows if module is None else torch.cat([self._input_rows(module, part), rows])

    def _matrix(self, module: nn.Module, rows: int, columns: int) -> Tensor:
        stored: Tensor = module.weight  # type: ignore[assignment]
        weight = stored.detach().T if self.architecture.conv1d else stored.detach()
        return self._checked(weight, rows, columns)

    def _checked(self, weight: Tensor, *shape: int) -> Tensor:
        """Refuse a matrix that is not in memory, quantised or not of this shape, if it is given."""
        if weight.is_meta:
            raise NeuroglotError(
                f"{self._name}: its weights are not in memory. Load the model without offloading."
            )
        if not weight.is_floating_point() or (shape and weight.shape != shape):
            raise NeuroglotError(
                f"{self._name}: expected a floating-point matrix {list(shape or weight.shape)}, "
                f"found {weight.dtype} {list(weight.shape)}. Load the model without quantisation."
            )
        return weight


def ffns(model: Any) -> list[FFN]:
    """The feed-forward networks of a model, encoder first.

    Args:
        model: a Hugging Face model, with or without its language-modelling head.

    Raises:
        NeuroglotError: as ``check_supported``; or the model lacks a module that the table names, or
            has another number of layers than its configuration.
    """
    entry, sizes = architecture(model.config), describe(model.config)
    scales = _scales(entry, language_config(model.config))
    blocks = [
        (stack.name, layer, block)
        for stack in entry.stacks
        for layer, block in enumerate(_descend(_stack_module(model, stack), stack.layers))
    ]
    if len(blocks) != sizes["layers"]:
        raise NeuroglotError(
            f"{type(model).__name__} has {len(blocks)} layers, its configuration says "
            f"{sizes['layers']}."
        )
    return [
        FFN(
            stack=stack,
            layer=layer,
            index=index,
            neurons=_neurons(block, entry, sizes, index),
            hidden=sizes["hidden"],
            block=block,
            scale=scales[_is_routed(sizes, index)],
            architecture=entry,
            experts=_experts(block, entry, sizes, index),
            **_modules(block, entry, sizes, index),
        )
        for index, (stack, layer, block) in enumerate(blocks)
    ]


def _modules(
    block: nn.Module, entry: Architecture, sizes: Description, index: int
) -> dict[str, Any]:
    """The modules that an entry names, of one layer; None where it names none."""
    if entry.bare:
        _call_module(block, entry, sizes["activation"])
    paths = {name: getattr(entry, name) for name in (*PROJECTIONS, *NORMS)}
    if entry.mixture and _is_routed(sizes, index):
        paths |= entry.mixture.shared or dict.fromkeys(PROJECTIONS)
    return {name: _descend(block, path) if path else None for name, path in paths.items()}


def _scales(entry: Architecture, language: Any) -> dict[bool, float]:
    """The factors of dense layers (False) and of those with routed experts (True)."""
    scales = {False: entry.scale, True: entry.mixture and entry.mixture.scale}
    return {routed: scale(language) if scale else 1.0 for routed, scale in scales.items()}


def _is_routed(sizes: Description, index: int) -> bool:
    return bool(sizes["experts"] and sizes["experts"][index])


def _experts(
    block: nn.Module, entry: Architecture, sizes: Description, index: int
) -> Experts | None:
    """The routed experts of one layer, or None."""
    if entry.mixture is None or not _is_routed(sizes, index):
        return None
    gate = entry.mixture.shared_gate
    return Experts(
        module=_descend(block, entry.mixture.experts),
        router=_descend(block, entry.mixture.router),
        outputs=tuple(_descend(block, path) for path in entry.mixture.outputs),
        count=sizes["experts"][index],
        slots=sizes["slots"],
        neurons=sizes["expert_neurons"],
        norms=tuple(_descend(block, path) for path in entry.mixture.norms or ()),
        shared_gate=_descend(block, gate) if gate else None,
        mixture=entry.mixture,
    )


def _neurons(block: nn.Module, entry: Architecture, sizes: Description, index: int) -> int:
    """Neurons of one layer: as wide as its modules, or as described if they do not state it."""
    described = sizes["neurons"][index]
    if _is_routed(sizes, index):
        return described
    return _inputs(_descend(block, entry.w_out), described)


def _call_module(block: nn.Module, entry: Architecture, activation: str) -> None:
    """Let a gated FFN that calls a bare function call a module instead, on which hooks can be put.

    It computes the same operations in the same order.
    """
    from transformers.activations import ACT2FN

    parent, _, name = entry.activation.rpartition(".")
    feed_forward = _descend(block, parent)
    if hasattr(feed_forward, name):
        return
    paths = (entry.w_gate, entry.w_in, entry.w_out)
    w_gate, w_in, w_out = (str(path).removeprefix(f"{parent}.") for path in paths)

    def forward(self: Any, x: Tensor) -> Any:
        function, gate, up, out = (getattr(self, part) for part in (name, w_gate, w_in, w_out))
        return out(function(gate(x)) * up(x))

    feed_forward.add_module(name, ACT2FN[activation])
    feed_forward.forward = MethodType(forward, feed_forward)


def _inputs(projection: nn.Module, described: int) -> int:
    """Input width of an output projection; ``described`` if the module does not state it."""
    widths = (getattr(projection, name, None) for name in ("in_features", "nx"))
    return next((width for width in widths if isinstance(width, int)), described)


def final_norms(model: Any) -> dict[str, nn.Module | None]:
    """Each stack's norm after its last layer, or None."""
    return {
        stack.name: getattr(_stack_module(model, stack), stack.final_norm)
        if stack.final_norm
        else None
        for stack in architecture(model.config).stacks
    }


def backbone(model: Any) -> Any:
    """The model without its head, to call if logits are not needed.

    T5, mT5 and UMT5 with a head have no such module. For them the backbone is a new module around
    the same stacks, so hooks on the model's stacks also work in the backbone.

    Raises:
        NeuroglotError: if the model has no backbone that shares its modules.
    """
    if model.base_model is not model:
        return model.base_model
    if model.get_output_embeddings() is None:
        return model
    import transformers

    auto_model: Any = transformers.AutoModel
    with torch.device("meta"):
        base = auto_model.from_config(deepcopy(model.config), trust_remote_code=False)
    for name, _ in list(base.named_children()):
        setattr(base, name, _descend(model, name))
    return base.train(model.training)


@contextmanager
def record(
    model: Any, sites: Collection[str], sink: Sink, layers: Iterable[int] | None = None
) -> Iterator[None]:
    """Pass activations of a model's FFNs to ``sink`` during every forward pass.

    ``sink(site, stack, layer, value)`` receives the model's own tensors [batch, time, width]. It
    must copy the tensors that it keeps, and must not write into them. Recording does not change the
    output, bit for bit. Hooks that were registered earlier run first, so their changes are
    recorded. Of routed experts ``act``, ``gate`` and ``up`` come as ``Routed``.

    Sites:
        act: input of the output projection [neuron].
        gate: ``f(W_gate x)`` [neuron], gated models only.
        up: ``W_up x`` [neuron], gated models only.
        out: output of the output projection, with bias, before any norm and before it is added to
            the residual stream [hidden]. (A copy in Falcon, whose layers overwrite it.) Of a layer
            with routed experts the sum of what its parts put out, in Gemma 4 behind a norm of each.
        state: the residual stream [hidden]. ``layer`` is the state's number: state 0 is the input
            of the stack's first layer, state l + 1 the output of layer l, before the final norm.
            State 0 is recorded with layer 0.
        mid: the residual stream after attention, just before the FFN's contribution is added
            [hidden]. The contribution is ``scale * norm_after(out)``, where a layer without such
            a norm or scale (Granite, Falcon-H1) has neither. ``state l + 1 = mid + contribution``;
            post-norm layers (BART, BERT, OPT 350M) then apply ``norm_sum``, and Gemma 4 adds its
            per-layer input and multiplies all by the layer's scalar. Layers that run attention and
            FFN in parallel have no such point; there ``mid`` is the layer's output minus the
            contribution, a new tensor.
        chosen: 1 where a token is routed to an expert, else 0 [expert]. This and the next two are
            float32, new tensors, of layers with routed experts alone.
        weight: the router's weight of each expert, 0 where a token is not routed to it [expert].
        router: the router's probabilities, which add up to 1 [expert]. Softmax of its logits, or
            their sigmoids divided by the sum of these. Biases and groups that only decide which
            experts are chosen have no part in them.

    Args:
        model: a model in evaluation mode, with or without its head.
        sites: which of the sites above.
        sink: called as (site, stack, layer within the stack, value).
        layers: the layers to record, by ``FFN.index``; all by default.

    Raises:
        NeuroglotError: on entry for an unknown site or layer, a gated site in a plain model or a
            model in training mode; on exit if a stack ran but a requested site was never reached.
    """
    chosen = _choose(ffns(model), layers)
    _check_sites(model, sites)
    if model.training:
        raise NeuroglotError("recording needs a model in evaluation mode; call model.eval() first.")
    recorder = Recorder(frozenset(sites), sink)
    try:
        for stack in architecture(model.config).stacks:
            recorder.watch(stack.name, _stack_module(model, stack))
        for ffn in chosen:
            recorder.attach(ffn)
        yield
    finally:
        for handle in recorder.handles:
            handle.remove()
    recorder.check(type(model).__name__)


def _choose(networks: list[FFN], layers: Iterable[int] | None) -> list[FFN]:
    wanted = set(range(len(networks)) if layers is None else layers)
    if unknown := wanted - set(range(len(networks))):
        raise NeuroglotError(
            f"unknown layer {min(unknown)}; the model has layers 0 to {len(networks) - 1}."
        )
    return [ffn for ffn in networks if ffn.index in wanted]


def _check_sites(model: Any, sites: Collection[str]) -> None:
    entry = architecture(model.config)
    for site in sites:
        if site not in (*SITES, *ROUTED_SITES):
            raise NeuroglotError(unknown_name("site", site, (*SITES, *ROUTED_SITES)))
        if site in ROUTED_SITES and not entry.mixture:
            raise NeuroglotError(
                f"site {site!r} exists in mixtures of experts only, and "
                f"{model.config.model_type!r} models are dense."
            )
        if site in GATED_SITES and not entry.gated:
            raise NeuroglotError(
                f"site {site!r} exists in gated models only, and {model.config.model_type!r} is "
                "not gated here; use 'act' instead."
            )


def _stack_module(model: Any, stack: Stack) -> Any:
    return _descend(model.base_model, stack.module)


def _descend(module: nn.Module, path: str) -> Any:
    """The module at a dotted ``path``; integers index lists and may be negative."""
    inner: Any = module
    for part in path.split(".") if path else ():
        inner = inner[int(part)] if part.lstrip("-").isdigit() else getattr(inner, part, None)
        if inner is None:
            raise NeuroglotError(
                f"{type(module).__name__} has no {path!r}. Load the whole model, not one of its "
                "parts; if it is whole, correct its entry in neuroglot/models/architectures.py."
            )
    return inner
