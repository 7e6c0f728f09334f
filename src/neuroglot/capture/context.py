"""What a model has read of a batch of texts, kept so that it can go on from it again and again."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Context:
    """What a causal language model has read.

    Reading on gives a new context and leaves this one as it is: the layers of a dynamic cache put
    new tensors in the place of theirs and write to none, so a copy may share them. That also holds
    where windows slide, whose caches could not be cut back.

    Attributes:
        model: with its head.
        cache: keys and values.
        real: int64 ``[item, column]``, 1 where there is a token and 0 in padding. Padding takes no
            position, so it may stand before a text and, where nothing is read on, after it.
    """

    model: Any
    cache: Any
    real: Tensor

    @classmethod
    def empty(cls, model: Any, items: int) -> "Context":
        """Nothing read yet, of a number of texts."""
        from transformers import DynamicCache

        cache = DynamicCache(config=model.config)
        return cls(model, cache, torch.zeros(items, 0, dtype=torch.long))

    def read(self, ids: Tensor, real: Tensor) -> "Context":
        """Read on, ``[item, time]``, without predicting anything."""
        return self._run(self.model.base_model, ids, real)[1] if ids.shape[1] else self

    def states(self, ids: Tensor, real: Tensor) -> tuple[Tensor, "Context"]:
        """Read on; the final states, after the last norm, ``[item, time, hidden]``."""
        output, context = self._run(self.model.base_model, ids, real)
        return output.last_hidden_state, context

    def predict(self, ids: Tensor, real: Tensor) -> tuple[Tensor, "Context"]:
        """Read on and predict what follows each column: logits float32 ``[item, time, token]``."""
        output, context = self._run(self.model, ids, real)
        return output.logits.float(), context

    def rows(self, items: NDArray[np.int64]) -> "Context":
        """The context of these items, each as often as it is named."""
        cache, chosen = self._cache_copy(), torch.from_numpy(items)
        cache.batch_select_indices(chosen)
        return Context(self.model, cache, self.real[chosen])

    def _cache_copy(self) -> Any:
        cache = copy(self.cache)
        cache.layers = [copy(layer) for layer in self.cache.layers]
        return cache

    def _run(self, module: Any, ids: Tensor, real: Tensor) -> tuple[Any, "Context"]:
        read = Context(self.model, self._cache_copy(), torch.cat([self.real, real], dim=1))
        inputs = {"input_ids": ids, "attention_mask": read.real}
        # BLOOM takes no positions: it has distances, which it counts in the mask.
        if "position_ids" in signature(module.forward).parameters:
            positions = (read.real.cumsum(1) - 1).clamp(min=0)
            inputs["position_ids"] = positions[:, -ids.shape[1] :]
        device = next(self.model.parameters()).device
        on_device = {name: value.to(device) for name, value in inputs.items()}
        with torch.inference_mode():
            output = module(
                **on_device, past_key_values=read.cache, use_cache=True, return_dict=True
            )
        return output, read


def pad(sequences: Sequence[Sequence[int]], left: bool = False) -> tuple[Tensor, Tensor]:
    """Pad with token 0, on the right unless on the left, and say with 1 what is no padding.

    Returns:
        Token ids and mask, both int64 ``[row, time]``.
    """
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    real = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        own = slice(width - len(sequence), None) if left else slice(len(sequence))
        ids[row, own] = torch.tensor(sequence)
        real[row, own] = 1
    return ids, real
