"""How well a model predicts held-out text, and how it goes on from the beginning of one."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.engine import out_of_memory, release_memory
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config
from neuroglot.models.intervene import forward_replaced
from neuroglot.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def windows(tokens: Tokens, window: int, most: int | None) -> NDArray[np.int64]:
    """Cut a corpus into windows: its tokens in order, segments joined, what is left over dropped.

    Args:
        tokens: of the corpus; special tokens are not among them.
        window: tokens in a window.
        most: windows to keep, from the first; None keeps all.

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

    These are all if a special token stands before them, and all but the first if none does.
    """
    return int(windows.shape[1]) - (0 if before else 1)


def perplexity(nll: NDArray[np.float64], tokens: int) -> float:
    """``exp(sum of nll / tokens)``, with ``nll`` in nats and the number of predicted tokens."""
    return math.exp(float(nll.sum()) / tokens)


def negative_log_likelihood(
    model: Any,
    windows: NDArray[np.int64],
    before: Sequence[int],
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
) -> NDArray[np.float64]:
    """``-sum_t ln p(token t | tokens before it)`` of every window, in nats ``[window]``.

    The model reads ``before`` and one window at a time, and predicts the window's tokens (without
    ``before``, all but the first). Logits are the model's own, in its precision; their log-sum-exp
    is float32 within a block of the vocabulary and float64 over the blocks. Memory holds the
    logits of one block.

    Args:
        model: a causal language model with its head.
        windows: token ids ``[window, position]``.
        before: special tokens that the tokenizer puts before a text.
        batch_tokens: tokens run at once, halved when memory runs out; by default 512 on a CPU and
            8192 on a GPU. It changes the result by rounding only.
        update: called with the number of tokens that were read, special ones not counted.

    Raises:
        NeuroglotError: an encoder-decoder; windows that are too long for the model or leave nothing
            to predict; a result that is not finite; not enough memory for one window.
    """
    import torch

    _check_readable(model, len(before) + windows.shape[1], "lower perplexity.window")
    if predicted(windows, before) < 1:
        raise NeuroglotError(
            "a window of one token leaves nothing to predict; raise perplexity.window"
        )
    device = next(model.parameters()).device
    start = np.tile(np.asarray(before, np.int64), (len(windows), 1))
    sequences = torch.from_numpy(np.concatenate([start, windows], axis=1))
    # More than a recording's: every batch reads the head's weights once, which often are the most.
    budget = batch_tokens or (512 if device.type == "cpu" else 8192)
    size = max(1, budget // sequences.shape[1])
    losses: list[NDArray[np.float64]] = []
    done = 0
    while done < len(windows):
        batch = sequences[done : done + size]
        try:
            found = _window_losses(model, batch.to(device), max(1, len(before)))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if len(batch) == 1:
                raise NeuroglotError(
                    f"not enough memory for one window of {windows.shape[1]} tokens on {device}; "
                    "lower perplexity.window, or use a device with more memory"
                ) from error
            size = len(batch) // 2
            release_memory()
            continue
        losses.append(found.cpu().numpy())
        if not np.isfinite(losses[-1]).all():
            raise NeuroglotError(
                f"the likelihood of window {done + int(np.argmin(np.isfinite(losses[-1])))} is not "
                "finite: the model's logits hold NaN or infinity; set capture.dtype to float32 or "
                "bfloat16"
            )
        done += len(batch)
        if update:
            update(len(batch) * windows.shape[1])
    return np.concatenate([np.zeros(0), *losses])


def continuation(model: Any, prompt: Sequence[int], new_tokens: int) -> list[int]:
    """Let a model go on from ``prompt``, always with its likeliest next token.

    Only the logits decide: penalties and sampling that a checkpoint asks for are left out.

    Args:
        model: a causal language model with its head.
        prompt: token ids, special tokens included.
        new_tokens: tokens to generate; fewer if the model ends its text before.

    Returns:
        The generated ids, without the token that ends a text.

    Raises:
        NeuroglotError: an encoder-decoder, an empty prompt, or more tokens than the model can read.
    """
    import torch

    if not prompt:
        raise NeuroglotError("there is no text to go on from; give a prompt of at least one token")
    _check_readable(model, len(prompt) + new_tokens, "shorten the prompt or its continuation")
    device = next(model.parameters()).device
    ends = _end_of_text(model)
    generated: list[int] = []
    inputs: dict[str, Any] = {"input_ids": torch.tensor([list(prompt)], device=device)}
    with torch.inference_mode():
        for _ in range(new_tokens):
            output = model(**inputs, use_cache=True, logits_to_keep=1, return_dict=True)
            best = output.logits[:, -1].argmax(-1, keepdim=True)
            if int(best) in ends:
                break
            generated.append(int(best))
            inputs = {"input_ids": best.to(device), "past_key_values": output.past_key_values}
    return generated


def _check_readable(model: Any, length: int, advice: str) -> None:
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


def _end_of_text(model: Any) -> set[int]:
    settings = getattr(model, "generation_config", None)
    end = getattr(settings, "eos_token_id", None)
    if end is None:
        end = language_config(model.config).eos_token_id
    return set(end) if isinstance(end, list | tuple) else {end} - {None}


def _window_losses(model: Any, ids: "Tensor", first: int) -> "Tensor":
    """``[window]``, float64: the summed losses of the tokens from position ``first`` on."""
    import torch

    with torch.inference_mode():
        output = model.base_model(input_ids=ids, use_cache=False, return_dict=True)
        states = output.last_hidden_state[:, first - 1 : -1]  # [window, position, hidden]
        targets = ids[:, first:].to(states.device)
        with _head(model, states.flatten(0, 1)) as logits_of:
            vocabulary = len(model.get_output_embeddings().weight)
            return _losses(logits_of, vocabulary, targets.flatten()).view_as(targets).sum(1)


def _losses(logits_of: "Callable[[slice], Tensor]", vocabulary: int, targets: "Tensor") -> "Tensor":
    """``logsumexp(logits) - logits[target]`` of every position, a block of tokens at a time."""
    import torch

    total = torch.full(targets.shape, -math.inf, dtype=torch.float64, device=targets.device)
    chosen = torch.zeros_like(total)
    block = _block(len(targets), targets.device)
    for start in range(0, vocabulary, block):
        logits = logits_of(slice(start, start + block)).float()  # [position, token of the block]
        total = torch.logaddexp(total, logits.logsumexp(1).double())
        place = targets - start
        inside = (place >= 0) & (place < logits.shape[1])
        found = logits.gather(1, place.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        chosen = torch.where(inside, found.double(), chosen)
    return total - chosen


def _block(positions: int, device: "torch.device") -> int:
    """Tokens of the vocabulary at a time.

    On a CPU 1 MB of logits, which stay in its cache: with Gemma 3 270M and its 262 144 tokens a
    quarter more tokens per second than with all logits at once. On a GPU 1 GB.
    """
    return max(1024, (1 << 18 if device.type == "cpu" else 1 << 28) // positions)


@contextmanager
def _head(model: Any, states: "Tensor") -> "Iterator[Callable[[slice], Tensor]]":
    """Let a model turn ``states`` into the logits of a part of the vocabulary.

    The model's own forward pass runs, with the final states ``[position, hidden]`` given instead of
    computed and the head cut to that part. So scaling and soft-capping are the model's; they work
    on each logit by itself in every architecture of the table.

    Yields:
        From a slice of the vocabulary to logits ``[position, token]``.

    Raises:
        NeuroglotError: the head is not in memory, or the model does not call its decoder.
    """
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

    head = model.get_output_embeddings()
    if head.weight.is_meta:
        raise NeuroglotError(
            "the head's weights are not in memory; load the model without offloading"
        )
    given = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states[None])
    unread = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    part, reached = slice(None), False

    def decoder_forward(*_: Any, **__: Any) -> Any:
        nonlocal reached
        reached = True
        return given

    def head_forward(found: "Tensor") -> "Tensor":
        bias = None if head.bias is None else head.bias[part]
        return torch.nn.functional.linear(found.to(head.weight.device), head.weight[part], bias)

    def logits_of(chosen: slice) -> "Tensor":
        nonlocal part
        part = chosen
        logits: Tensor = model(input_ids=unread, use_cache=False, return_dict=True).logits
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
        yield logits_of
