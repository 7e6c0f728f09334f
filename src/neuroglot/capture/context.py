"""A batch of texts that a model has read, from which it can go on any number of times."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Context:
    """The texts that a causal language model, or an encoder-decoder's decoder, has read so far.

    Reading more tokens returns a new context and does not change this one. The two share keys and
    values, because the layers of a dynamic cache replace these tensors and never write into them.
    The states of recurrent layers are written into, so they are copied. (Cutting a longer cache
    back instead would not work for sliding windows.)

    Attributes:
        model: the model with its head.
        cache: keys and values.
        real: int64 ``[item, column]``, 1 at tokens and 0 at padding. Padding takes no position, so
            it can stand before a text. It can stand after a text if nothing more is read. A decoder
            behind an encoder reads no padding before a text.
        encoder: what the encoder hands to the decoder, ``[item, time, hidden]``; None in a causal
            model.
        encoder_real: 1 at the tokens that the encoder has read, 0 at padding, ``[item, time]``.
    """

    model: Any
    cache: Any
    real: Tensor
    encoder: Tensor | None = None
    encoder_real: Tensor | None = None

    @classmethod
    def empty(cls, model: Any, items: int) -> "Context":
        """The context of ``items`` texts of which nothing is read yet."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache(config=model.config)
        if cache.layers and all(cache.is_linear):
            # Models ask for the length of an attention layer's cache, even those that have none.
            cache.layers.append(DynamicLayer())  # type: ignore[no-untyped-call]
        return cls(model, cache, torch.zeros(items, 0, dtype=torch.long))

    @classmethod
    def encoded(cls, model: Any, ids: Tensor, real: Tensor) -> "Context":
        """Let an encoder read texts ``[item, time]``, padded on the right, and the decoder none."""
        from transformers import DynamicCache, EncoderDecoderCache

        device = next(model.parameters()).device
        with torch.inference_mode():
            read = model.get_encoder()(input_ids=ids.to(device), attention_mask=real.to(device))
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        nothing = torch.zeros(len(ids), 0, dtype=torch.long)
        return cls(model, cache, nothing, read.last_hidden_state, real.to(device))

    def read(self, ids: Tensor, real: Tensor) -> "Context":
        """Read tokens ``[item, time]`` without predicting anything."""
        return self._run(self.model.base_model, ids, real)[1] if ids.shape[1] else self

    def states(self, ids: Tensor, real: Tensor) -> tuple[Tensor, "Context"]:
        """Read tokens; also return the states after the final norm, ``[item, time, hidden]``."""
        decoder = self.model.base_model if self.encoder is None else self.model.get_decoder()
        output, context = self._run(decoder, ids, real)
        return output.last_hidden_state, context

    def rows(self, items: NDArray[np.int64]) -> "Context":
        """The context of these items; an item may be given several times."""
        cache, chosen = _copied(self.cache), torch.from_numpy(items)
        cache.reorder_cache(chosen)  # batch_select_indices leaves recurrent states as they are
        if self.encoder is None or self.encoder_real is None:
            return Context(self.model, cache, self.real[chosen])
        there = chosen.to(self.encoder.device)
        of_encoder = self.encoder[there], self.encoder_real[there]
        return Context(self.model, cache, self.real[chosen], *of_encoder)

    def _run(self, module: Any, ids: Tensor, real: Tensor) -> tuple[Any, "Context"]:
        read = replace(self, cache=_copied(self.cache), real=torch.cat([self.real, real], dim=1))
        inputs = {"input_ids": ids, "attention_mask": read.real}
        if self.encoder is not None and self.encoder_real is not None:
            inputs["encoder_hidden_states"] = self.encoder
            inputs["encoder_attention_mask"] = self.encoder_real
        # BLOOM takes no positions: it computes distances from the mask.
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


def _copied(cache: Any) -> Any:
    from transformers import EncoderDecoderCache

    if isinstance(cache, EncoderDecoderCache):
        of_decoder, of_encoder = cache.self_attention_cache, cache.cross_attention_cache
        return EncoderDecoderCache(_copied(of_decoder), _copied(of_encoder))
    copied = copy(cache)
    copied.layers = [_copied_layer(layer) for layer in cache.layers]
    return copied


def _copied_layer(layer: Any) -> Any:
    copied = copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):  # of a recurrent layer, by number of its state
            states = {key: _copied_state(state) for key, state in value.items()}
            setattr(copied, name, states)
    return copied


def _copied_state(state: Any) -> Any:
    return state.clone() if isinstance(state, Tensor) else state


def pad(
    sequences: Sequence[Sequence[int] | NDArray[np.int64]], left: bool = False
) -> tuple[Tensor, Tensor]:
    """Pad with token 0, on the right or on the ``left``.

    Returns:
        Token ids and mask (0 at padding, else 1), both int64 ``[row, time]``.
    """
    width = max(map(len, sequences))
    ids = torch.zeros(len(sequences), width, dtype=torch.long)
    real = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        columns = slice(width - len(sequence), None) if left else slice(len(sequence))
        ids[row, columns] = torch.tensor(sequence)
        real[row, columns] = 1
    return ids, real
