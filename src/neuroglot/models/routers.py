"""Forbids experts to routers: the next best ones take their place."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

from neuroglot.errors import NeuroglotError
from neuroglot.models.experts import Experts
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.intervene import forward_replaced


@contextmanager
def forbidden(model: Any, experts: NDArray[np.bool_]) -> Iterator[None]:
    """Let no token be routed to some experts, in every forward pass inside the block.

    Forbidden experts have the logit -inf when a router chooses, so those with the next largest
    scores are chosen in their place, and the model's own code makes the weights of all that are
    chosen. No weights are changed. If nothing is forbidden, the model is not touched.

    Args:
        model: a mixture of experts in evaluation mode, with or without its head.
        experts: the forbidden ones, ``[layer, expert]``; layers are in the order of ``FFN.index``,
            and rows of dense layers are false.

    Raises:
        NeuroglotError: on entry if the array does not fit the model, or leaves a layer fewer
            experts than a token passes through; during a pass if a router chooses forbidden experts
            all the same, because it chooses within groups and too few are left in one.
    """
    networks = ffns(model)
    _check(experts, networks)
    with ExitStack() as stack:
        for ffn in networks:
            if ffn.experts and experts[ffn.index].any():
                row = torch.from_numpy(experts[ffn.index])
                replacement = _choosing(ffn.experts, row, ffn.index)
                stack.enter_context(forward_replaced(ffn.experts.router, replacement))
        yield


class _WithoutLogits(TorchFunctionMode):
    """Sets logits of a linear layer to -inf."""

    def __init__(self, off: Tensor) -> None:
        super().__init__()
        self._off = off

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.linear:
            return result.masked_fill(self._off.to(result.device), -torch.inf)
        return result


def _choosing(experts: Experts, off: Tensor, layer: int) -> Callable[..., Any]:
    """A router's forward pass in which some experts cannot be chosen."""
    router: Any = experts.router
    choose, name = router.forward, experts.mixture.choice_bias

    def forward(*args: Any, **kwargs: Any) -> Any:
        with _WithoutLogits(off), _biased(router, name, off) if name else nullcontext():
            scores, weights, chosen = choose(*args, **kwargs)
        if off.to(chosen.device)[chosen].any():
            raise NeuroglotError(
                f"the router of layer {layer} chooses within groups of experts, and too few of a "
                "group are left when others are forbidden; forbid fewer."
            )
        return scores, weights, chosen

    return forward


@contextmanager
def _biased(router: Any, name: str, off: Tensor) -> Iterator[None]:
    """Set the biases of experts in a router's choice to -inf inside the block."""
    bias: Tensor = getattr(router, name)
    setattr(router, name, bias.masked_fill(off.to(bias.device), -torch.inf))
    try:
        yield
    finally:
        setattr(router, name, bias)


def _check(experts: NDArray[np.bool_], networks: list[FFN]) -> None:
    counts = [ffn.experts.count if ffn.experts else 0 for ffn in networks]
    expected = (len(networks), max(counts))
    if experts.dtype != bool or experts.shape != expected:
        raise NeuroglotError(
            f"forbidden experts are bool [layer, expert] with {expected[0]} layers of "
            f"{expected[1]} experts; found {experts.dtype} {list(experts.shape)}."
        )
    for ffn, row in zip(networks, experts, strict=True):
        if ffn.experts is None and row.any():
            raise NeuroglotError(f"layer {ffn.index} is dense: it has no experts to forbid.")
        if ffn.experts and ffn.experts.count - row.sum() < ffn.experts.slots:
            raise NeuroglotError(
                f"layer {ffn.index}: a token passes through {ffn.experts.slots} experts, and "
                f"{ffn.experts.count - row.sum()} of {ffn.experts.count} would be left."
            )
