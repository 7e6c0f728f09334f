"""Sums of what routed experts do while a model reads texts: how often, and with what weight."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, float64

from neuroglot.models.ffn import ffns, record


class ExpertActivity:
    """Counts choices and sums weights of every routed expert, over the tokens of groups of texts.

    Sums are kept on the CPU, in 64 bits, and take as much memory for long texts as for short ones.

    Attributes:
        layers: numbers over all stacks of the layers with routed experts, in their order.
        tokens: tokens read, int64 ``[group]``.
        chosen: tokens routed to the expert, int64 ``[group, layer, expert]``.
        weight: sum of the router's weights, float64 ``[group, layer, expert]``.
    """

    def __init__(self, model: Any, group: NDArray[np.int64]) -> None:
        """Begin with nothing read.

        Args:
            model: a mixture of experts.
            group: number of the group of each text, such as its language, ``[text]``.
        """
        routed = [ffn for ffn in ffns(model) if ffn.experts]
        self.layers = [ffn.index for ffn in routed]
        self._places = {(ffn.stack, ffn.layer): place for place, ffn in enumerate(routed)}
        widest = max(ffn.experts.count for ffn in routed if ffn.experts)
        self._group, groups = group, int(group.max()) + 1
        self.tokens = np.zeros(groups, np.int64)
        self.chosen = np.zeros((groups, len(routed), widest), np.int64)
        self.weight = np.zeros(self.chosen.shape)

    @contextmanager
    def reading(self, model: Any, texts: NDArray[np.int64], real: Tensor) -> Iterator[None]:
        """Count in one forward pass inside the block; nothing is kept if the block fails.

        Args:
            model: the model, which reads these texts.
            texts: numbers of the texts, ``[row]``.
            real: the tokens that count, bool ``[row, time]``.
        """
        kept: list[tuple[NDArray[Any], int, NDArray[Any]]] = []

        def sink(site: str, stack: str, layer: int, value: Tensor) -> None:
            of_text = (value * real.to(value.device)[..., None]).sum(1, dtype=float64)
            sums = self.chosen if site == "chosen" else self.weight
            kept.append((sums, self._places[stack, layer], of_text.cpu().numpy()))

        with record(model, {"chosen", "weight"}, sink):
            yield
        group = self._group[texts]
        for sums, place, of_text in kept:
            np.add.at(sums[:, place, : of_text.shape[1]], group, of_text.astype(sums.dtype))
        np.add.at(self.tokens, group, real.sum(1).cpu().numpy())

    def frequency(self) -> NDArray[np.float64]:
        """Share of a group's tokens that are routed to the expert, ``[group, layer, expert]``."""
        return self.chosen / self.tokens[:, None, None]

    def contribution(self) -> NDArray[np.float64]:
        """The router's weight of the expert, mean over a group's tokens; 0 where not routed."""
        return self.weight / self.tokens[:, None, None]
