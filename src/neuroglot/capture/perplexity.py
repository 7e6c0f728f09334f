"""Computes a model's perplexity on held-out text, segment by segment."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.batches import EditsOf, batch_budget, in_batches
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.models.card import context_window
from neuroglot.models.describe import causal, language_config

if TYPE_CHECKING:
    from torch import Tensor

    from neuroglot.capture.activity import Activity

SHORTER = "lower perplexity.tokens_per_segment"
Sequences = Sequence[NDArray[np.int64]]
"""Token ids of each segment, [position], without special tokens."""


def predicted(segments: Sequences, before: Sequence[int]) -> NDArray[np.int64]:
    """The number of tokens that are predicted in each segment.

    All tokens are predicted if a special token precedes them, else all but the first.
    """
    lengths = np.array([len(ids) for ids in segments], np.int64)
    return lengths if before else lengths - 1


def perplexity(nll: NDArray[np.float64], tokens: NDArray[np.int64]) -> float:
    """``exp(sum of nll / sum of tokens)``.

    Args:
        nll: loss of each segment in nats, ``[segment]``.
        tokens: predicted tokens of each segment, ``[segment]``.
    """
    return math.exp(float(nll.sum()) / int(tokens.sum()))


def negative_log_likelihood(
    model: Any,
    segments: Sequences,
    before: Sequence[int],
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
    edits: EditsOf | None = None,
    activity: "Activity | None" = None,
) -> NDArray[np.float64]:
    """``-sum_t ln p(token t | tokens before it)`` of every segment, in nats ``[segment]``.

    The model reads ``before`` and then one segment, and predicts the segment's tokens (all but the
    first if ``before`` is empty). No segment is read after another, so that the losses of two
    segments are independent. Logits are the model's own, in its precision. Their log-sum-exp is
    float32 within a block of the vocabulary and float64 over the blocks. Only one block's logits
    are in memory.

    Args:
        model: a causal language model with its head.
        segments: token ids of each segment; their lengths may differ.
        before: special tokens that the tokenizer puts before a text.
        batch_tokens: tokens run at once, padding included, halved when memory runs out; by default
            512 on a CPU and 8192 on a GPU. It changes the result by rounding only.
        update: called with the number of tokens that were read, without special tokens.
        edits: returns the edits for the segments of a batch, given their numbers; None edits
            nothing. Special tokens are never edited.
        activity: gets what neurons do at the tokens of the segments.

    Raises:
        NeuroglotError: an encoder-decoder; segments that are too long for the model or leave
            nothing to predict; a result that is not finite; not enough memory for one segment.
    """
    from neuroglot.capture.context import pad
    from neuroglot.models.intervene import intervened

    check_readable(model, len(before) + max(map(len, segments), default=0), SHORTER)
    if (predicted(segments, before) < 1).any():
        raise NeuroglotError(
            "a segment of one token leaves nothing to predict; leave it out of the held-out text"
        )
    device = next(model.parameters()).device
    sequences = [np.concatenate([before, ids]).astype(np.int64) for ids in segments]
    # Larger than in recording: every batch reads the head's weights, often most of the model's.
    budget = batch_budget(model, 512, batch_tokens)
    losses = np.zeros(len(segments))

    def run(group: NDArray[np.int64]) -> None:
        ids, real = (part.to(device) for part in pad([sequences[number] for number in group]))
        text = real.bool()
        text[:, : len(before)] = False
        with ExitStack() as hooks:
            if edits:
                hooks.enter_context(intervened(model, edits(group), text))
            if activity:
                hooks.enter_context(activity.reading(model, group, text))
            losses[group] = _losses(model, ids, real, max(1, len(before))).cpu().numpy()
        if not np.isfinite(losses[group]).all():
            segment = group[np.argmin(np.isfinite(losses[group]))]
            raise not_finite(f"the likelihood of segment {segment}", "logits")
        if update:
            update(int(text.sum()))

    lengths = [len(ids) for ids in sequences]
    in_batches(lengths, budget, run, "one segment and its special tokens", SHORTER)
    return losses


def check_readable(model: Any, length: int, advice: str) -> None:
    """Refuse a text of ``length`` tokens that a model cannot read from left to right at once.

    Raises:
        NeuroglotError: an encoder, or more tokens, special ones included, than its context
            window holds; suggests ``advice``.
    """
    if not causal(model.config):
        kind = "an encoder-decoder" if model.config.is_encoder_decoder else "an encoder"
        raise NeuroglotError(
            f"{model.config.model_type!r} is {kind}, and perplexity and continuations "
            "are defined for causal language models; leave the perplexity section out of this "
            "model's configuration"
        )
    limit = context_window(language_config(model.config).to_dict())
    if limit is not None and length > limit:
        raise NeuroglotError(
            f"{length} tokens are to be read at once, special tokens included, and the model's "
            f"context window holds {limit}; {advice}"
        )


def _losses(model: Any, ids: "Tensor", real: "Tensor", first: int) -> "Tensor":
    """Sum the losses of each row's tokens from position ``first`` on, float64 ``[row]``.

    Padding stands on the right, where no token sees it.
    """
    import torch

    from neuroglot.capture.head import predict

    with torch.inference_mode():
        output = model.base_model(input_ids=ids, use_cache=False, return_dict=True)
    row, column = real[:, first:].nonzero(as_tuple=True)  # the tokens to predict
    states = output.last_hidden_state[row, column + first - 1]  # [token, hidden]
    targets = ids[row, column + first]
    predictions = predict(model, states, torch.arange(len(states)), targets)
    losses = predictions.total - predictions.chosen.double()
    return torch.zeros(len(ids), dtype=losses.dtype, device=losses.device).index_add(0, row, losses)
