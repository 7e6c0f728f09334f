"""Cuts neurons out of a model's weights, which makes its forward pass smaller."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.intervene import check_neurons, forward_replaced

Keep = Sequence[NDArray[np.integer[Any]]]

# A linear layer's attributes for its sizes, in torch's Linear and transformers' Conv1D.
_INPUTS, _OUTPUTS = ("in_features", "nx"), ("out_features", "nf")


@dataclass(frozen=True)
class Savings:
    """Shares of parameters that are cut out; shared parameters count once.

    Attributes:
        ffn: share of the FFN projections' parameters, biases included.
        all: share of all of the model's parameters.
    """

    ffn: float
    all: float


@dataclass(frozen=True, eq=False)
class _Cut:
    """A module's parameter, and the entries ``index`` along ``dim`` that are kept.

    ``sizes`` are the module's attributes that state the parameter's length along ``dim``.
    """

    module: nn.Module
    name: str
    parameter: nn.Parameter
    dim: int
    index: NDArray[np.int64]
    sizes: tuple[str, ...]

    def sliced(self) -> nn.Parameter:
        index = torch.from_numpy(self.index).to(self.parameter.device)
        kept = self.parameter.detach().index_select(self.dim, index)  # contiguous: fast matmul
        return nn.Parameter(kept, requires_grad=self.parameter.requires_grad)

    def put(self, parameter: nn.Parameter) -> None:
        setattr(self.module, self.name, parameter)
        for size in self.sizes:
            setattr(self.module, size, parameter.shape[self.dim])

    @property
    def removed(self) -> int:
        size = self.parameter.shape[self.dim]
        return self.parameter.numel() // size * (size - len(self.index))


@contextmanager
def sliced(model: Any, keep: Keep) -> Iterator[None]:
    """Keep only the given neurons in a model's FFNs inside the block.

    For every layer, the rows of the input (and gate) projection and the columns of the output
    projection that belong to ``keep`` are copied, and the model computes with the copies. After the
    block the model has its own ``Parameter`` objects again. A layer that keeps no neuron adds only
    the output projection's bias. The result is that of ``deactivated`` with all other neurons, up
    to rounding. Inside the block neuron i of a layer is the original neuron ``keep[layer][i]``, so
    do not read the FFN's matrices or deactivate neurons there. Memory holds the model and the
    copies.

    Args:
        model: a model with floating-point weights in memory, with or without its head.
        keep: indices of the neurons to keep, for every layer in the order of ``FFN.index``.

    Raises:
        NeuroglotError: ``keep`` does not have one row of distinct known neurons per layer; layers
            share weights but keep different neurons; weights are quantised or not in memory.
    """
    cuts = _cuts(model, keep)
    replacements = {id(cut.parameter): cut.sliced() for cut in cuts}
    with ExitStack() as stack:
        for ffn, indices in zip(ffns(model), keep, strict=True):
            if ffn.architecture.conv1d and not len(indices):
                stack.enter_context(_bias_only(ffn.w_out))
        for cut in cuts:
            stack.callback(cut.put, cut.parameter)
            cut.put(replacements[id(cut.parameter)])
        yield


def parameters_saved(model: Any, keep: Keep) -> Savings:
    """Compute the shares of parameters that ``sliced`` cuts out; arguments and errors as there."""
    removed = sum({id(cut.parameter): cut.removed for cut in _cuts(model, keep)}.values())
    projections = {
        id(parameter): parameter.numel()
        for ffn in ffns(model)
        for module in _projections(ffn)
        for parameter in module.parameters()
    }
    # ``parameters`` gives shared parameters once.
    everything = sum(parameter.numel() for parameter in model.parameters())
    return Savings(ffn=removed / sum(projections.values()), all=removed / everything)


def _cuts(model: Any, keep: Keep) -> list[_Cut]:
    """Every parameter to slice, once per module that has it."""
    networks = ffns(model)
    if any(ffn.experts for ffn in networks):
        raise NeuroglotError(
            f"{model.config.model_type!r} is a mixture of experts; neurons of experts are not cut "
            "out of it. Forbid experts instead (models.routers)."
        )
    if len(keep) != len(networks):
        raise NeuroglotError(
            f"the model has {len(networks)} layers, but neurons to keep were given for {len(keep)}."
        )
    cuts: dict[tuple[int, str, int], _Cut] = {}
    kept_of: dict[int, tuple[FFN, NDArray[np.int64]]] = {}
    for ffn, indices in zip(networks, keep, strict=True):
        kept = _check_kept(ffn, np.asarray(indices))
        for cut in _layer_cuts(ffn, kept):
            first, kept_there = kept_of.setdefault(id(cut.parameter), (ffn, kept))
            if not np.array_equal(kept_there, kept):
                raise NeuroglotError(
                    f"layers {first.index} and {ffn.index} share their weights, so they can only "
                    "keep the same neurons."
                )
            cuts[id(cut.module), cut.name, cut.dim] = cut
    return list(cuts.values())


def _check_kept(ffn: FFN, indices: NDArray[Any]) -> NDArray[np.int64]:
    check_neurons(ffn, indices)
    if len(np.unique(indices)) != len(indices):
        raise NeuroglotError(f"layer {ffn.index}: neurons to keep are named more than once.")
    ffn.input_matrix()  # this call and the next refuse weights that cannot be sliced
    ffn.output_matrix()
    return indices.astype(np.int64)


def _layer_cuts(ffn: FFN, kept: NDArray[np.int64]) -> Iterator[_Cut]:
    rows, columns = (1, 0) if ffn.architecture.conv1d else (0, 1)
    fused = ffn.architecture.fused
    outputs = np.concatenate([kept, kept + ffn.neurons]) if fused else kept
    for module in _projections(ffn)[:-1]:
        yield _cut(module, "weight", rows, outputs, _OUTPUTS)
        if getattr(module, "bias", None) is not None:
            yield _cut(module, "bias", 0, outputs, ())
    yield _cut(ffn.w_out, "weight", columns, kept, _INPUTS)


def _cut(
    module: nn.Module, name: str, dim: int, index: NDArray[np.int64], sizes: tuple[str, ...]
) -> _Cut:
    parameter: Any = getattr(module, name)
    stated = tuple(size for size in sizes if hasattr(module, size))
    return _Cut(module, name, parameter, dim, index, stated)


def _projections(ffn: FFN) -> list[nn.Module]:
    """The FFN's projections, the output projection last; fused projections are one module."""
    separate_gate = ffn.w_gate is not None and ffn.w_gate is not ffn.w_in
    gate = [ffn.w_gate] if separate_gate else []
    return [*gate, ffn.w_in, ffn.w_out]  # type: ignore[list-item]


def _bias_only(conv1d: Any) -> AbstractContextManager[None]:
    """Let a Conv1D without inputs return its bias; its own forward pass fails, not Linear's."""
    return forward_replaced(
        conv1d, lambda x: conv1d.bias + x.new_zeros(*x.shape[:-1], conv1d.weight.shape[1])
    )
