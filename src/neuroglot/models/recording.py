"""Hooks that pass the activations of feed-forward networks to a sink."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuroglot.errors import NeuroglotError

if TYPE_CHECKING:
    from neuroglot.models.ffn import FFN

Sink = Callable[[str, str, int, Tensor], None]


@dataclass
class Recorder:
    """The hooks of one ``record``, and the sites that they have reached."""

    sites: frozenset[str]
    sink: Sink
    handles: list[RemovableHandle] = field(default_factory=list)
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
        if "act" in self.sites:
            self._before(ffn.w_out, self._emitter("act", ffn))
        if "gate" in self.sites:
            self._after(ffn.activation, self._emitter("gate", ffn))
        if "up" in self.sites:
            emit = self._emitter("up", ffn)
            fused = ffn.architecture.fused
            self._after(ffn.w_in, lambda out: emit(out.chunk(2, dim=-1)[1] if fused else out))
        if "out" in self.sites:
            emit_out = self._emitter("out", ffn)
            self._after(ffn.w_out, lambda out: emit_out(_kept(out, ffn)))
        if "mid" in self.sites:
            self._attach_mid(ffn)
        if "state" in self.sites:
            if ffn.layer == 0:
                self._before(ffn.block, self._emitter("state", ffn))
            self._after(ffn.block, self._emitter("state", ffn, offset=1))

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
                emit(state - contribution.view_as(state))

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

    def _emitter(self, site: str, ffn: "FFN", offset: int = 0) -> Callable[[Tensor], None]:
        key = (site, ffn.stack, ffn.layer + offset)
        self.expected.add(key)

        def emit(value: Tensor) -> None:
            self.seen.add(key)
            # OPT flattens batch and time inside its layers.
            self.sink(*key, value.view(*self.shape, -1) if value.ndim == 2 else value)

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


def _kept(out: Tensor, ffn: "FFN") -> Tensor:
    """An FFN's output, copied if the layer later adds to it in place."""
    return out.clone() if ffn.architecture.out_overwritten else out
