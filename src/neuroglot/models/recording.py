"""Hooks that pass the activations of feed-forward networks to a sink."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, get_args

import torch
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.experts import Experts, Looking, NeuronSite, Routed

if TYPE_CHECKING:
    from neuroglot.models.ffn import FFN

Sink = Callable[[str, str, int, Any], None]
"""Takes a site, a stack, a layer and a Tensor; ``Routed`` of the neurons of routed experts."""


class Handle(Protocol):
    """A hook, or a look at experts."""

    def remove(self) -> None:
        """Take it away."""


@dataclass
class Recorder:
    """The hooks of one ``record``, and the sites that they have reached."""

    sites: frozenset[str]
    sink: Sink
    handles: list[Handle] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)
    expected: set[tuple[str, str, int]] = field(default_factory=set)
    seen: set[tuple[str, str, int]] = field(default_factory=set)
    shape: tuple[int, int] = (0, 0)  # batch and time of the layer that is running
    contribution: Tensor | None = None  # the FFN's, while a parallel layer runs

    def watch(self, stack: str, module: nn.Module) -> None:
        """Note that ``stack`` has run when ``module``, which holds its layers, has run."""
        self._after(module, lambda _value: self.ran.add(stack))

    def attach(self, ffn: "FFN") -> None:
        """Hook every requested site of one layer."""
        self._before(ffn.block, self._set_shape)
        if ffn.experts:
            self._attach_experts(ffn, ffn.experts)
        else:
            self._attach_projections(ffn)
        if "mid" in self.sites:
            self._attach_mid(ffn)
        if "state" in self.sites:
            if ffn.layer == 0:
                self._before(ffn.block, self._emitter("state", ffn))
            self._after(ffn.block, self._emitter("state", ffn, offset=1))

    def _attach_projections(self, ffn: "FFN") -> None:
        for site in get_args(NeuronSite):
            if site in self.sites:
                self._watch_projections(site, ffn, self._emitter(site, ffn))
        if "out" in self.sites:
            emit_out = self._emitter("out", ffn)
            self._after(ffn.w_out, lambda out: emit_out(_kept(out, ffn)))

    def _watch_projections(
        self, site: NeuronSite, ffn: "FFN", see: Callable[[Tensor], object]
    ) -> None:
        if site == "act":
            self._before(ffn.w_out, see)
        elif site == "gate":
            self._after(ffn.activation, see)
        else:
            fused = ffn.architecture.fused
            self._after(ffn.w_in, lambda out: see(out.chunk(2, dim=-1)[1] if fused else out))

    def _attach_experts(self, ffn: "FFN", experts: Experts) -> None:
        for site in get_args(NeuronSite):
            if site in self.sites:
                self._attach_neurons(site, ffn, experts)
        if "out" in self.sites:
            self._after_all(experts.outputs, self._emitter("out", ffn))
        emitters = {
            site: self._emitter(site, ffn)
            for site in ("chosen", "weight", "router")
            if site in self.sites
        }

        def of_router(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            scores, weights, chosen = output
            none = torch.zeros_like(scores, dtype=torch.float32)
            made = {
                "chosen": lambda: none.scatter(1, chosen, 1.0),
                "weight": lambda: none.scatter(1, chosen, weights.float()),
                "router": lambda: experts.probabilities(scores),
            }
            for site, emit in emitters.items():
                emit(made[site]())

        if emitters:
            self.handles.append(experts.router.register_forward_hook(of_router))

    def _attach_neurons(self, site: NeuronSite, ffn: "FFN", experts: Experts) -> None:
        """Join what routed experts and shared neurons of a layer do, whichever comes first."""
        emit, parts = self._emitter(site, ffn), dict[str, Any]()
        wanted = 1 + bool(ffn.w_out) + bool(experts.shared_gate)

        def join(**part: Any) -> None:
            parts.update(part)
            if len(parts) == wanted:
                emit(replace(parts.pop("routed"), shape=self.shape, **parts))
                parts.clear()

        def keep_shared(values: Tensor) -> None:
            join(shared=values.view(*self.shape, -1))

        self.handles.append(Looking.at(experts, site, lambda routed: join(routed=routed)))
        if ffn.w_out:
            self._watch_projections(site, ffn, keep_shared)
        if experts.shared_gate:
            self._after(
                experts.shared_gate,
                lambda logit: join(shared_weight=logit.view(*self.shape, 1).sigmoid()),
            )

    def _attach_mid(self, ffn: "FFN") -> None:
        emit = self._emitter("mid", ffn)
        if not ffn.architecture.parallel:
            self._before(ffn.norm_before or ffn.w_in, emit)
            return

        def keep(value: Tensor) -> None:
            self.contribution = _kept(value, ffn)

        def subtract(state: Tensor) -> None:
            contribution, self.contribution = self.contribution, None
            if contribution is not None:
                emit(state - ffn.scale * contribution.view_as(state))

        if ffn.experts:
            self._after_all(ffn.experts.outputs, keep)
        else:
            self._after(ffn.w_out, keep)
        self._after(ffn.block, subtract)

    def check(self, name: str) -> None:
        """Check that every stack of the model ``name`` that ran has reached all its hooks.

        Raises:
            NeuroglotError: names the first site and layer that were not reached.
        """
        missing = sorted(key for key in self.expected - self.seen if key[1] in self.ran)
        if missing:
            site, stack, layer = missing[0]
            raise NeuroglotError(
                f"{name} ran, but {len(missing)} of the recorded places were never reached, first "
                f"site {site!r} of {stack} layer {layer}: its forward pass bypasses the modules "
                "that neuroglot/models/architectures.py names. Correct the entry, or load the "
                "model without replaced (fused) kernels."
            )

    def _emitter(self, site: str, ffn: "FFN", offset: int = 0) -> Callable[[Any], None]:
        key = (site, ffn.stack, ffn.layer + offset)
        self.expected.add(key)

        def emit(value: Tensor | Routed) -> None:
            self.seen.add(key)
            # OPT and mixtures of experts flatten batch and time inside their layers.
            if isinstance(value, Tensor) and value.ndim == 2:
                value = value.view(*self.shape, -1)
            self.sink(*key, value)

        return emit

    def _set_shape(self, value: Tensor) -> None:
        self.shape = (value.shape[0], value.shape[1])

    def _before(self, module: nn.Module, see: Callable[[Tensor], object]) -> None:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            see(args[0] if args else kwargs["hidden_states"])

        self.handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def _after(self, module: nn.Module, see: Callable[[Tensor], object]) -> None:
        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            see(output[0] if isinstance(output, tuple) else output)

        self.handles.append(module.register_forward_hook(hook))

    def _after_all(self, modules: tuple[nn.Module, ...], see: Callable[[Tensor], object]) -> None:
        """See the sum of what modules put out, when the last of them has run."""
        parts: list[Tensor] = []

        def collect(part: Tensor) -> None:
            parts.append(part)
            if len(parts) == len(modules):
                whole = sum(parts[1:], parts[0])
                parts.clear()
                see(whole)

        for module in modules:
            self._after(module, collect)


def _kept(out: Tensor, ffn: "FFN") -> Tensor:
    """An FFN's output, copied if the layer later adds to it in place."""
    return out.clone() if ffn.architecture.out_overwritten else out
