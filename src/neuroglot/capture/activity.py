"""Sums of what neurons do while a model reads texts: how often they fire, and how strongly."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        magnitude: sum of |act_i|, float64 ``[group, layer, neuron]``.
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

        def sink(site: str, stack: str, layer: int, value: Tensor) -> None:
            ffn, there = self._layers[stack, layer], real.to(value.device)[..., None]
            if site == self._site:
                fired = ((value > 0) & there).sum(1)
                kept.append((self.fired, ffn, fired.cpu().numpy()))
            if site == "act":
                size = (value.abs() * there).sum(1, dtype=torch.float64)
                kept.append((self.magnitude, ffn, size.cpu().numpy()))

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

        If a norm follows a layer's FFN, these are known up to a factor: see ``value_norms``.
        """
        norms = np.zeros(self.magnitude.shape[1:])
        for ffn in self._networks:
            norms[ffn.index, : ffn.neurons] = value_norms(ffn)
        return self.magnitude * norms / self.tokens[:, None, None]
