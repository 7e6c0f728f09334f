"""Computes log-sum-exp, likeliest token and chosen logits of final states, block by block."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.intervene import forward_replaced


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicts, without its logits.

    Attributes:
        total: float64 ``[row]``, the log-sum-exp of each row's logits.
        likeliest: int64 ``[row]``, the token with the largest logit, the first in a tie.
        chosen: float32 ``[pair]``, the requested logits.
    """

    total: Tensor
    likeliest: Tensor
    chosen: Tensor


def predict(model: Any, states: Tensor, rows: Tensor, tokens: Tensor) -> Predictions:
    """Compute the logits of states; keep the logits of some (row, token) pairs.

    Logits are the model's own, but states and weights of the head are multiplied in float32,
    whatever the model's precision: half precision would make unequal answers equal. Their
    log-sum-exp is float32 within a block of the vocabulary and float64 over the blocks. Only one
    block's logits are in memory.

    Args:
        model: a causal language model or an encoder-decoder, with its head.
        states: the states that the head reads, after the final norm, ``[row, hidden]``.
        rows: the pairs' rows, int64 ``[pair]``.
        tokens: the pairs' tokens, int64 ``[pair]``.

    Raises:
        NeuroglotError: the head is not in memory, or the model does not call its decoder.
    """
    device = states.device
    rows, tokens = rows.to(device), tokens.to(device)
    order = tokens.argsort()
    ordered = tokens[order].contiguous()
    total = torch.full((len(states),), -math.inf, dtype=torch.float64, device=device)
    highest = torch.full((len(states),), -math.inf, device=device)
    likeliest = torch.zeros(len(states), dtype=torch.long, device=device)
    chosen = torch.zeros(len(tokens), device=device)
    vocabulary, block = len(model.get_output_embeddings().weight), _block(len(states), device)
    with torch.inference_mode(), _head(model, states) as logits_of:
        for start in range(0, vocabulary, block):
            stop = min(start + block, vocabulary)
            logits = logits_of(slice(start, stop)).float()  # [row, token of the block]
            first, last = torch.searchsorted(ordered, torch.tensor([start, stop], device=device))
            pairs = order[first:last]
            chosen[pairs] = logits[rows[pairs], tokens[pairs] - start]
            largest = logits.amax(1)
            # Few rows get a new maximum in later blocks; the places of all would take ten times as
            # long.
            higher = (largest > highest).nonzero()[:, 0]
            likeliest[higher] = logits[higher].argmax(1) + start
            highest = torch.maximum(highest, largest)
            # Equals logsumexp, which makes four passes over the logits and takes twice as long.
            block_total = logits.sub_(largest[:, None]).exp_().sum(1).log_().add_(largest)
            total = torch.logaddexp(total, block_total.double())
    return Predictions(total, likeliest, chosen)


def _block(rows: int, device: torch.device) -> int:
    """Number of vocabulary tokens in a block: 1 MB of logits on a CPU, 1 GB on a GPU.

    1 MB fits a CPU's cache. With Gemma 3 270M and its 262 144 tokens this gives a quarter more
    tokens per second than all logits at once.
    """
    return max(1024, (1 << 18 if device.type == "cpu" else 1 << 28) // max(1, rows))


@contextmanager
def _head(model: Any, states: Tensor) -> Iterator[Callable[[slice], Tensor]]:
    """Let a model turn ``states`` into the logits of a part of the vocabulary.

    The model's own forward pass runs, but its decoder returns the given states
    ``[position, hidden]``, and its head is cut to the part. So scaling and soft-capping are the
    model's own; in every architecture of the table they act on each logit separately. Yields a
    function from a slice of the vocabulary to logits ``[position, token]``.
    """
    from transformers.modeling_outputs import (
        BaseModelOutput,
        BaseModelOutputWithPastAndCrossAttentions,
    )

    head = model.get_output_embeddings()
    if head.weight.is_meta:
        raise NeuroglotError(
            "the head's weights are not in memory; load the model without offloading"
        )
    given = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])
    for unread_too in ("shared_kv_states", "router_logits"):  # Gemma 4 hands them on
        setattr(given, unread_too, None)
    unread = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    inputs: dict[str, Any] = {"input_ids": unread}
    if model.config.is_encoder_decoder:
        of_encoder = BaseModelOutput(last_hidden_state=states[None, :1])
        inputs = {"decoder_input_ids": unread, "encoder_outputs": of_encoder}
    # BART and its descendants add a bias to the logits of all tokens.
    bias_of_all = getattr(model, "final_logits_bias", None)
    part, reached = slice(None), False

    def decoder_forward(*_: Any, **__: Any) -> Any:
        nonlocal reached
        reached = True
        return given

    def head_forward(hidden: Tensor) -> Tensor:
        bias = None if head.bias is None else head.bias[part].float()
        return torch.nn.functional.linear(
            hidden.to(head.weight.device).float(), head.weight[part].float(), bias
        )

    def logits_of(chosen: slice) -> Tensor:
        nonlocal part
        part = chosen
        if bias_of_all is not None:
            model.final_logits_bias = bias_of_all[:, part]
        logits: Tensor = model(**inputs, use_cache=False, return_dict=True).logits
        if not reached:
            raise NeuroglotError(
                f"the forward pass of {type(model).__name__} bypasses its decoder "
                f"({type(model.get_decoder()).__name__}), so its head cannot be run alone"
            )
        return logits[0].to(states.device)

    with (
        forward_replaced(model.get_decoder(), decoder_forward),
        forward_replaced(head, head_forward),
    ):
        try:
            yield logits_of
        finally:
            if bias_of_all is not None:
                model.final_logits_bias = bias_of_all
