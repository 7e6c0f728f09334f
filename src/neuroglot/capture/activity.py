"""Sums of what neurons do while a model reads texts: how often they fire, and how strongly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.models.experts import Routed
from neuroglot.models.ffn import FFN, ffns, record
from neuroglot.models.norms import value_norms

Site = Literal["act", "gate"]


class Activity:
    """Counts firing and sums contributions of every neuron, over the tokens of each group of texts.

    Sums are kept on the CPU, in 64 bits, and take as much memory for long texts as for short ones.

    Attributes:
        tokens: tokens read, int64 ``[group]``.
        fired: tokens at which ``site`` is above zero, int64 ``[group, layer, neuron]``; 0 beyond a
            layer's width.
        magnitude: sum of |act_i|, float64 ``[group, layer, neuron]``; of an expert's neurons,
            times the router's weight of the expert.
    """

    def __init__(self, model: Any, site: Site, group: NDArray[np.int64]) -> None:
        """Begin with nothing read.

        Args:
            model: the model whose neurons are looked at.
            site: what fires if it is above zero.
            group: number of the group of each text, such as its language, ``[text]``.
        """
        self._networks, self._site, self._group = ffns(model), site, group
        groups = int(group.max()) + 1
        shape = groups, len(self._networks), max(ffn.neurons for ffn in self._networks)
        self._layers = {(ffn.stack, ffn.layer): ffn for ffn in self._networks}
        self.tokens = np.zeros(groups, np.int64)
        self.fired = np.zeros(shape, np.int64)
        self.magnitude = np.zeros(shape)

    @contextmanager
    def reading(self, model: Any, texts: NDArray[np.int64], real: Tensor) -> Iterator[None]:
        """Count in one forward pass inside the block; nothing is kept if the block fails.

        Args:
            model: the model, which reads these texts.
            texts: numbers of the texts, ``[row]``.
            real: the tokens that count, bool ``[row, time]``.
        """
        kept: list[tuple[NDArray[Any], FFN, NDArray[Any]]] = []

        def sink(site: str, stack: str, layer: int, value: Tensor | Routed) -> None:
            ffn = self._layers[stack, layer]
            if site == self._site:
                kept.append((self.fired, ffn, _fired(value, real).cpu().numpy()))
            if site == "act":
                kept.append((self.magnitude, ffn, _size(value, real).cpu().numpy()))

        with record(model, {"act", self._site}, sink):
            yield
        group = self._group[texts]
        for sums, ffn, of_text in kept:
            np.add.at(sums[:, ffn.index, : ffn.neurons], group, of_text)
        np.add.at(self.tokens, group, real.sum(1).cpu().numpy())

    def frequency(self) -> NDArray[np.float64]:
        """Share of a group's tokens at which a neuron fires, ``[group, layer, neuron]``."""
        return self.fired / self.tokens[:, None, None]

    def contribution(self) -> NDArray[np.float64]:
        """Mean of |act_i| ‖v_i‖ over a group's tokens, ``[group, layer, neuron]``.

        An expert's neurons contribute times the router's weight of the expert, and 0 at a token
        that is not routed to it.

        If a norm follows a layer's FFN, these are known up to a factor: see ``value_norms``.
        """
        norms = np.zeros(self.magnitude.shape[1:])
        for ffn in self._networks:
            norms[ffn.index, : ffn.neurons] = value_norms(ffn)
        return self.magnitude * norms / self.tokens[:, None, None]


def _fired(value: Tensor | Routed, real: Tensor) -> Tensor:
    """Real tokens of each text at which a neuron fires, [text, neuron]."""
    if isinstance(value, Routed):
        return _by_text(value, real, lambda values, _weight: (values > 0).float()).long()
    return ((value > 0) & real.to(value.device)[..., None]).sum(1)


def _size(value: Tensor | Routed, real: Tensor) -> Tensor:
    """Sum of |act| over the real tokens of each text, float64 [text, neuron]."""
    if isinstance(value, Routed):
        return _by_text(value, real, lambda values, weight: values.abs().double() * weight)
    return (value.abs() * real.to(value.device)[..., None]).sum(1, dtype=torch.float64)


def _by_text(value: Routed, real: Tensor, of: Callable[[Tensor, Tensor | float], Tensor]) -> Tensor:
    text, column = real.to(value.token.device).nonzero(as_tuple=True)
    in_text = torch.arange(len(real), device=text.device)[:, None] == text
    tokens = value.at(text * real.shape[1] + column)
    return tokens.map(of).sum_by_fold(in_text.float())
