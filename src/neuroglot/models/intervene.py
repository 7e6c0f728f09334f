"""Changes neurons' activations while a model runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from operator import add, mul
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.models.experts import Looking, Routed
from neuroglot.models.ffn import FFN, ffns, record
from neuroglot.models.places import Places, Positions, RoutedPlaces
from neuroglot.models.recording import Handle

Change = Callable[[Any], Tensor]
"""Takes a layer's values and gives those that replace them; see ``changed``."""
Operation = Literal["set", "scale", "add"]
EditedSite = Literal["act", "gate"]


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit of chosen neurons' values: ``value``, ``x * value`` or ``x + value`` in place of x.

    Attributes:
        neurons: true for chosen neurons, ``[layer, neuron]`` for all items alike or
            ``[item, layer, neuron]``. Layers are in the order of ``FFN.index``. The array is as
            wide as the widest layer; beyond a narrower layer's width it is false.
        operation: ``set``, ``scale`` or ``add``. Setting to 0 ablates.
        value: the same for all chosen neurons; or, for neurons ``[item, layer, neuron]``, float32
            ``[item, layer]``.
        site: whose values are edited: ``act``; or in gated models ``gate``, ``f(W_gate x)``, from
            which the model computes ``act = gate * up``.

    In a mixture of experts, neurons are edited where a token is routed to their expert. Where it is
    not, the expert is not computed, so there is nothing to edit. ``act`` is before the router's
    weight.
    """

    neurons: NDArray[np.bool_]
    operation: Operation = "set"
    value: float | NDArray[np.float32] = 0.0
    site: EditedSite = "act"

    def rows(self, items: NDArray[np.integer[Any]]) -> "Edit":
        """The edit for a batch of these items; an item may be given several times."""
        if self.neurons.ndim == 2:
            return self
        value = self.value[items] if isinstance(self.value, np.ndarray) else self.value
        return replace(self, neurons=self.neurons[items], value=value)


def edited_rows(edits: Sequence[Edit], items: int) -> NDArray[np.bool_]:
    """Whether a neuron is chosen in each of a batch's items, ``[item]``."""
    edited = np.zeros(items, bool)
    for edit in edits:
        edited |= edit.neurons.any((-2, -1))
    return edited


def side_by_side(
    parts: Sequence[tuple[NDArray[np.integer[Any]], Sequence[Edit]]], items: int
) -> list[Edit]:
    """The edits of a batch whose parts have edits of their own, each applied in its part's order.

    Args:
        parts: of each part, its items' numbers in the batch, and the edits for these items in this
            order. No item is in two parts; nothing is edited in an item that is in none.
        items: number of items in the batch.

    Raises:
        NeuroglotError: an edit has neurons for another number of items than its part has.
    """
    joined: dict[tuple[Any, ...], Edit] = {}
    for here, edits in parts:
        for place, edit in enumerate(edits):
            neurons, value = edit.neurons, edit.value
            if neurons.ndim == 3 and len(neurons) != len(here):
                raise NeuroglotError(
                    f"an edit has neurons for {len(neurons)} items, and the batch has {len(here)}."
                )
            of_items = isinstance(value, np.ndarray)
            key = place, edit.operation, edit.site, None if of_items else value
            if key not in joined:
                none = np.zeros((items, *neurons.shape[-2:]), bool)
                begun = np.zeros((items, neurons.shape[-2]), np.float32) if of_items else value
                joined[key] = replace(edit, neurons=none, value=begun)
            joined[key].neurons[here] = neurons
            if isinstance(begun := joined[key].value, np.ndarray):
                begun[here] = value
    return [joined[key] for key in sorted(joined, key=lambda key: int(key[0]))]


@contextmanager
def intervened(model: Any, edits: Sequence[Edit], positions: Positions = "all") -> Iterator[None]:
    """Edit neurons in every forward pass inside the block.

    Edits of a layer are applied in their order, those of its gate first. An edit with
    ``[item, layer, neuron]`` needs batches of exactly these items. Blocks can be nested, and the
    outer block's edits come first. Use nested blocks to edit two stacks at different positions. If
    no neuron is chosen, the model's output is bit-identical.

    Args:
        model: a model in evaluation mode, with or without its head.
        edits: the edits to apply.
        positions: ``all``; ``last``, the last column of each pass, which is the last token of a
            prompt padded on the left, and then every generated token; or a bool mask
            ``[item, time]``, for passes of that shape.

    Raises:
        NeuroglotError: on entry if an edit does not fit the model's layers, its operation is
            unknown, it is one of the gate of a plain model, or the mask is not bool
            ``[item, time]``; during a pass if the batch does not fit the edits or the mask; and as
            ``changed``.

    Example:
        >>> shared = Edit(neurons)  # [item, layer, neuron]  # doctest: +SKIP
        >>> with intervened(model, [shared], "last"):  # doctest: +SKIP
        ...     model.generate(**prompts)
    """
    networks = ffns(model)
    for edit in edits:
        _check_edit(edit, networks)
    if isinstance(positions, str):
        if positions not in ("all", "last"):
            raise NeuroglotError(unknown_name("positions", positions, ("all", "last")))
    elif positions.dtype != torch.bool or positions.ndim != 2:
        raise NeuroglotError(
            f"positions are a bool mask [item, time]; found {positions.dtype} "
            f"{list(positions.shape)}."
        )
    with ExitStack() as stack:
        for site in get_args(EditedSite):
            of_site = [edit for edit in edits if edit.site == site]
            changes = {
                ffn.index: _edited(ffn, here, positions)
                for ffn in networks
                if (here := [edit for edit in of_site if edit.neurons[..., ffn.index, :].any()])
            }
            stack.enter_context(changed(model, changes, site))
        yield


@contextmanager
def changed(model: Any, changes: Mapping[int, Change], site: EditedSite = "act") -> Iterator[None]:
    """Let ``changes`` replace ``act`` or ``gate`` in every forward pass inside the block.

    A change takes a layer's values [item, time, neuron] and returns the tensor that the output
    projection reads instead of ``act``, or that ``up`` is multiplied by instead of ``gate``. It
    must not write into its argument, which other modules may still use. Of a layer with routed
    experts a change takes the values of shared neurons, and apart from them a ``Routed`` of the
    experts, and returns what replaces its ``values``.
    Weights are neither copied nor changed. Blocks can be nested: the outer change comes first.
    ``record`` gets the changed values if it is entered inside the block, and the original values
    if it is entered outside. Without changes the model is not touched.

    Args:
        model: a model in evaluation mode, with or without its head.
        changes: functions by the layer's number over all stacks, ``FFN.index``.
        site: what is replaced.

    Raises:
        NeuroglotError: on entry for an unknown layer, a model in training mode or the gate of a
            plain model; on exit if a stack ran without reaching a layer of ``changes``.
    """
    if not changes:
        yield
        return
    handles: list[Handle] = []
    try:
        # ``record`` checks the layers' numbers, and whether the forward passes reached them.
        with record(model, {site}, lambda *_: None, changes):
            for ffn in ffns(model):
                if ffn.index in changes:
                    handles += _hooks(ffn, changes[ffn.index], site)
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def deactivated(model: Any, neurons: Mapping[int, NDArray[np.integer[Any]]]) -> Iterator[None]:
    """Set neurons to zero: ``act[i] = 0`` at every position of every forward pass in the block.

    In a gated FFN ``act`` is ``f(W_gate x) * (W_up x)``, so the neuron adds nothing to the residual
    stream. Nested blocks deactivate the union of their neurons. ``record`` behaves as in
    ``changed``.

    Args:
        model: a model in evaluation mode, with or without its head.
        neurons: indices of neurons by the layer's number over all stacks, ``FFN.index``. Without
            neurons the model's output is bit-identical.

    Raises:
        NeuroglotError: an unknown layer or neuron; and as ``changed``.

    Example:
        >>> with deactivated(model, {0: np.array([3, 17]), 11: np.array([5])}):  # doctest: +SKIP
        ...     logits = model(ids).logits
    """
    networks = ffns(model)
    off = np.zeros((len(networks), max(ffn.neurons for ffn in networks)), bool)
    for layer, indices in neurons.items():
        if not 0 <= layer < len(networks):
            raise NeuroglotError(
                f"unknown layer {layer}; the model has layers 0 to {len(networks) - 1}."
            )
        if len(indices):
            check_neurons(networks[layer], np.asarray(indices))
            off[layer, indices] = True
    with intervened(model, [Edit(off)]):
        yield


@contextmanager
def forward_replaced(module: nn.Module, replacement: Callable[..., Any]) -> Iterator[None]:
    """Replace a module's forward pass inside the block."""
    replaced = module.__dict__.get("forward")  # set if accelerate moves inputs between devices
    module.forward = replacement
    try:
        yield
    finally:
        del module.forward
        if replaced is not None:
            module.forward = replaced


def check_neurons(ffn: FFN, indices: NDArray[Any]) -> None:
    """Refuse ``indices`` that do not name neurons of a layer.

    Raises:
        NeuroglotError: ``indices`` are not a 1-D array of integers from 0 to ``ffn.neurons - 1``.
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


def _hooks(ffn: FFN, change: Change, site: EditedSite) -> list[Handle]:
    shape: tuple[int, int] = (0, 0)

    def enter(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal shape
        shape = (args[0] if args else kwargs["hidden_states"]).shape[:2]

    def of_experts(routed: Routed) -> Tensor:
        return change(replace(routed, shape=shape))

    def of_layer(values: Tensor) -> Tensor:
        if values.ndim == 3:
            return change(values)
        # OPT flattens item and time inside its layers.
        return change(values.view(*shape, -1)).view_as(values)

    def of_act(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (of_layer(args[0]), *args[1:])

    def of_gate(_module: nn.Module, _args: tuple[Any, ...], gate: Tensor) -> Tensor:
        return of_layer(gate)

    handles: list[Handle] = [ffn.block.register_forward_pre_hook(enter, with_kwargs=True)]
    if ffn.experts:
        handles.append(Looking.at(ffn.experts, site, of_experts))
    if ffn.w_out is None:
        return handles
    return [
        *handles,
        ffn.w_out.register_forward_pre_hook(of_act)
        if site == "act"
        else ffn.activation.register_forward_hook(of_gate),
    ]


def _edited(ffn: FFN, edits: Sequence[Edit], positions: Positions) -> Change:
    """Make the change of a layer that applies ``edits`` in order."""
    chosen = [torch.tensor(edit.neurons[..., ffn.index, : ffn.neurons]) for edit in edits]
    values = [
        torch.tensor(edit.value[:, ffn.index]) if isinstance(edit.value, np.ndarray) else edit.value
        for edit in edits
    ]

    def change(act: Tensor | Routed) -> Tensor:
        places: Places
        if isinstance(act, Routed):
            places, edited = RoutedPlaces(ffn.index, act), act.values
        else:
            places, edited = Places(ffn.index, *act.shape), act
        columns = places.columns(positions, edited.device)
        for i, edit in enumerate(edits):
            # The device is known only now: weights may be spread over several.
            chosen[i] = chosen[i].to(edited.device)
            of_edit = values[i]
            value = places.of_items(of_edit.to(edited)) if isinstance(of_edit, Tensor) else of_edit
            neurons = places.neurons(chosen[i])
            where = neurons if columns is None else neurons & columns
            edited = torch.where(where, _OPERATIONS[edit.operation](edited, value), edited)
        return edited

    return change


_OPERATIONS: Mapping[Operation, Callable[[Tensor, Any], Any]] = {
    "set": lambda _, value: value,
    "scale": mul,
    "add": add,
}


def _check_edit(edit: Edit, networks: list[FFN]) -> None:
    if edit.operation not in get_args(Operation):
        raise NeuroglotError(unknown_name("operation", edit.operation, get_args(Operation)))
    if edit.site not in get_args(EditedSite):
        raise NeuroglotError(unknown_name("site", edit.site, get_args(EditedSite)))
    widths = [ffn.neurons for ffn in networks]
    neurons, expected = edit.neurons, (len(networks), max(widths))
    if neurons.dtype != bool or neurons.ndim not in (2, 3) or neurons.shape[-2:] != expected:
        raise NeuroglotError(
            f"an edit's neurons are bool [layer, neuron] or [item, layer, neuron] with "
            f"{expected[0]} layers of {expected[1]} neurons; found {neurons.dtype} "
            f"{list(neurons.shape)}."
        )
    if isinstance(edit.value, np.ndarray) and edit.value.shape != (len(neurons), expected[0]):
        raise NeuroglotError(
            f"an edit's value is a number, or float32 [item, layer] for neurons "
            f"[item, layer, neuron]; found {list(edit.value.shape)} for neurons "
            f"{list(neurons.shape)}."
        )
    for layer, width in enumerate(widths):
        if neurons[..., layer, width:].any():
            raise NeuroglotError(
                f"an edit changes neurons of layer {layer} beyond {width - 1}, its last one."
            )
