"""Finds where in a forward pass neurons are edited: at which tokens, of which items and experts."""

from typing import Literal

import torch
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.experts import Routed

Positions = Tensor | Literal["all", "last"]


class Places:
    """Where values [item, time, neuron] of a layer's first neurons are edited.

    All that it gives broadcasts to these.
    """

    def __init__(self, layer: int, items: int, time: int, width: int) -> None:
        self._layer, self._items, self._time, self._width = layer, items, time, width

    def columns(self, positions: Positions, device: torch.device) -> Tensor | None:
        """Mask of the edited columns; None for all."""
        items, time = self._items, self._time
        if isinstance(positions, str):
            if positions == "all" or time == 1:
                return None
            return self._at(torch.arange(time, device=device).expand(items, -1) == time - 1)
        if positions.shape != (items, time):
            raise NeuroglotError(
                f"the mask of positions is for passes of {list(positions.shape)} [item, time]; "
                f"this one is of {[items, time]}."
            )
        return self._at(positions.to(device))

    def neurons(self, chosen: Tensor) -> Tensor:
        """Mask of the edited neurons, from those of a layer, [neuron] or [item, neuron]."""
        if chosen.ndim == 2 and len(chosen) != self._items:
            raise NeuroglotError(
                f"an edit of layer {self._layer} has neurons for {len(chosen)} items, and the "
                f"batch has {self._items}."
            )
        return self._of(chosen)

    def of_items(self, value: Tensor) -> Tensor:
        """An edit's values, from [item]."""
        return value[:, None, None]

    def _at(self, positions: Tensor) -> Tensor:
        return positions[..., None]

    def _of(self, chosen: Tensor) -> Tensor:
        chosen = chosen[..., : self._width]
        return chosen[:, None] if chosen.ndim == 2 else chosen


class RoutedPlaces(Places):
    """Where the values [row, neuron] of routed experts are edited."""

    def __init__(self, layer: int, routed: Routed) -> None:
        super().__init__(layer, *routed.shape, len(routed.counts) * routed.values.shape[1])
        self._routed, self._item = routed, routed.token // routed.shape[1]

    def of_items(self, value: Tensor) -> Tensor:
        return value[self._item][:, None]

    def _at(self, positions: Tensor) -> Tensor:
        return positions.flatten()[self._routed.token][:, None]

    def _of(self, chosen: Tensor) -> Tensor:
        of_experts = chosen[..., -self._width :]  # behind shared neurons
        by_expert = of_experts.reshape(*chosen.shape[:-1], len(self._routed.counts), -1)
        expert = self._routed.expert
        return by_expert[self._item, expert] if chosen.ndim == 2 else by_expert[expert]
