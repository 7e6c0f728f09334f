"""Computes a model's perplexity on held-out text."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config
from neuroglot.tokens import Tokens

if TYPE_CHECKING:
    from torch import Tensor


def windows(tokens: Tokens, window: int, most: int | None) -> NDArray[np.int64]:
    """Join a corpus' segments and cut the tokens into windows; drop an incomplete last window.

    Args:
        tokens: the corpus' tokens, without special tokens.
        window: tokens in a window.
        most: how many windows, from the first, are kept; None keeps all.

    Returns:
        Token ids ``[window, position]``.

    Raises:
        NeuroglotError: the corpus is shorter than one window.
    """
    count = len(tokens.token_id) // window
    if not count:
        raise NeuroglotError(
            f"the text has {len(tokens.token_id)} tokens, too few for one window of {window}; "
            "lower perplexity.window or give more held-out text"
        )
    count = count if most is None else min(count, most)
    return tokens.token_id[: count * window].reshape(count, window).astype(np.int64)


def predicted(windows: NDArray[np.int64], before: Sequence[int]) -> int:
    """The number of tokens that are predicted in each window.

    All tokens are predicted if a special token precedes them, else all but the first.
    """
    return int(windows.shape[1]) - (0 if before else 1)


def perplexity(nll: NDArray[np.float64], tokens: int) -> float:
    """``exp(sum of nll / tokens)``: ``nll`` in nats, ``tokens`` the number of predicted tokens."""
    return math.exp(float(nll.sum()) / tokens)


def negative_log_likelihood(
    model: Any,
    windows: NDArray[np.int64],
    before: Sequence[int],
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
) -> NDArray[np.float64]:
    """``-sum_t ln p(token t | tokens before it)`` of every window, in nats ``[window]``.

    The model reads ``before`` and then a window, and predicts the window's tokens (all but the
    first if ``before`` is empty). Logits are the model's own, in its precision. Their log-sum-exp
    is float32 within a block of the vocabulary and float64 over the blocks. Only one block's
    logits are in memory.

    Args:
        model: a causal language model with its head.
        windows: token ids ``[window, position]``.
        before: special tokens that the tokenizer puts before a text.
        batch_tokens: tokens run at once, halved when memory runs out; by default 512 on a CPU and
            8192 on a GPU. It changes the result by rounding only.
        update: called with the number of tokens that were read, without special tokens.

    Raises:
        NeuroglotError: an encoder-decoder; windows that are too long for the model or leave nothing
            to predict; a result that is not finite; not enough memory for one window.
    """
    import torch

    check_readable(model, len(before) + windows.shape[1], "lower perplexity.window")
    if predicted(windows, before) < 1:
        raise NeuroglotError(
            "a window of one token leaves nothing to predict; raise perplexity.window"
        )
    device = next(model.parameters()).device
    start = np.tile(np.asarray(before, np.int64), (len(windows), 1))
    sequences = torch.from_numpy(np.concatenate([start, windows], axis=1))
    # Larger than in recording: every batch reads the head's weights, often most of the model's.
    budget = batch_budget(model, 512, batch_tokens)
    losses = np.zeros(len(windows))

    def run(group: NDArray[np.int64]) -> None:
        batch = sequences[torch.from_numpy(group)].to(device)
        losses[group] = _window_losses(model, batch, max(1, len(before))).cpu().numpy()
        if not np.isfinite(losses[group]).all():
            window = group[np.argmin(np.isfinite(losses[group]))]
            raise not_finite(f"the likelihood of window {window}", "logits")
        if update:
            update(len(group) * windows.shape[1])

    lengths = [sequences.shape[1]] * len(windows)
    in_batches(lengths, budget, run, "one window and its special tokens", "lower perplexity.window")
    return losses


def check_readable(model: Any, length: int, advice: str) -> None:
    """Refuse a text of ``length`` tokens that a model cannot read from left to right at once.

    Raises:
        NeuroglotError: an encoder-decoder, or more tokens, special ones included, than its context
            window holds; suggests ``advice``.
    """
    if model.config.is_encoder_decoder:
        raise NeuroglotError(
            f"{model.config.model_type!r} is an encoder-decoder, and perplexity and continuations "
            "are defined for causal language models; leave the perplexity section out of this "
            "model's configuration"
        )
    limit = context_window(language_config(model.config).to_dict())
    if limit is not None and length > limit:
        raise NeuroglotError(
            f"{length} tokens are to be read at once, special tokens included, and the model's "
            f"context window holds {limit}; {advice}"
        )


def _window_losses(model: Any, ids: "Tensor", first: int) -> "Tensor":
    """Sum the losses of the tokens from position ``first`` on, float64 ``[window]``."""
    import torch

    from neuroglot.capture.head import predict

    with torch.inference_mode():
        output = model.base_model(input_ids=ids, use_cache=False, return_dict=True)
    states = output.last_hidden_state[:, first - 1 : -1].flatten(0, 1)  # [window * token, hidden]
    targets = ids[:, first:]
    predictions = predict(model, states, torch.arange(len(states)), targets.flatten())
    losses = predictions.total - predictions.chosen.double()
    return losses.view(targets.shape).sum(1)
