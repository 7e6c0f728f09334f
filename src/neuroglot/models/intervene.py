"""Changes neurons' activations while a model runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import FFN, ffns, record

Change = Callable[[Tensor], Tensor]


@contextmanager
def changed(model: Any, changes: Mapping[int, Change]) -> Iterator[None]:
    """Let ``changes`` replace ``act`` in every forward pass inside the block.

    A change gets a layer's ``act`` [..., neuron] and returns what the output projection reads
    instead; it must not write to what it gets, which other modules may still use. Weights are
    neither copied nor changed. Blocks may be nested: the outer change comes first. ``record`` hands
    over the changed values if it was entered inside the block, and the original ones outside it.
    Without changes the model is left as it is.

    Args:
        model: a model in evaluation mode, with or without its head.
        changes: by flat number of the layer, as ``FFN.index``.

    Raises:
        NeuroglotError: on entry for an unknown layer or a model in training mode; on exit if a
            stack ran without reaching a layer that was to be changed.
    """
    if not changes:
        yield
        return
    handles: list[RemovableHandle] = []
    try:
        # Recording knows the layers there are, and which of them the forward passes missed.
        with record(model, {"act"}, lambda *_: None, changes):
            for ffn in ffns(model):
                if ffn.index in changes:
                    handles.append(_before(ffn.w_out, changes[ffn.index]))
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def deactivated(model: Any, neurons: Mapping[int, NDArray[np.integer[Any]]]) -> Iterator[None]:
    """Set neurons to zero: ``act[i] = 0`` at every position of every forward pass in the block.

    In a gated FFN that is ``f(W_gate x) * (W_up x) = 0``, so the neuron adds nothing to the
    residual stream. Nested blocks add up; ``record`` as in ``changed``.

    Args:
        model: a model in evaluation mode, with or without its head.
        neurons: indices of neurons by flat number of the layer, as ``FFN.index``. None at all
            leaves the model, and every bit of its output, as it is.

    Raises:
        NeuroglotError: an unknown layer or neuron; and as ``changed``.

    Example:
        >>> with deactivated(model, {0: np.array([3, 17]), 11: np.array([5])}):  # doctest: +SKIP
        ...     logits = model(ids).logits
    """
    found = ffns(model)
    changes: dict[int, Change] = {}
    for layer, indices in neurons.items():
        if not 0 <= layer < len(found):
            raise NeuroglotError(
                f"unknown layer {layer}; the model has layers 0 to {len(found) - 1}."
            )
        if len(indices):
            changes[layer] = _zero(found[layer], np.asarray(indices))
    with changed(model, changes):
        yield


@contextmanager
def forward_replaced(module: nn.Module, replacement: Callable[..., Any]) -> Iterator[None]:
    """Let ``replacement`` stand in for a module's forward pass inside the block."""
    own = module.__dict__.get("forward")  # set where accelerate moves inputs between devices
    module.forward = replacement
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def check_neurons(ffn: FFN, indices: NDArray[Any]) -> None:
    """Refuse what does not name neurons of a layer.

    Raises:
        NeuroglotError: ``indices`` are not one row of integers from 0 to below ``ffn.neurons``.
    """
    if indices.ndim != 1 or not (np.issubdtype(indices.dtype, np.integer) or not indices.size):
        raise NeuroglotError(
            f"neurons of layer {ffn.index} are named by a row of integer indices; found "
            f"{indices.dtype} {list(indices.shape)}."
        )
    outside = indices[(indices < 0) | (indices >= ffn.neurons)]
    if len(outside):
        raise NeuroglotError(
            f"unknown neuron {outside[0]} of layer {ffn.index}; it has neurons 0 to "
            f"{ffn.neurons - 1}."
        )


def _zero(ffn: FFN, indices: NDArray[Any]) -> Change:
    check_neurons(ffn, indices)
    off = torch.zeros(ffn.neurons, dtype=torch.bool)
    off[torch.from_numpy(indices.astype(np.int64))] = True

    def change(act: Tensor) -> Tensor:
        nonlocal off
        off = off.to(act.device)  # known once it runs: weights may be spread over devices
        return act.masked_fill(off, 0)

    return change


def _before(module: nn.Module, change: Change) -> RemovableHandle:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(args[0]), *args[1:])

    return module.register_forward_pre_hook(hook)
