"""Lets a model continue many prompts at once, with its neurons edited for each prompt."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.batches import EditsOf, batch_budget, in_batches
from neuroglot.capture.context import Context, pad
from neuroglot.capture.head import predict
from neuroglot.capture.perplexity import check_readable
from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import language_config, recurrent
from neuroglot.models.intervene import Edit, intervened

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    edits: EditsOf | None = None,
    positions: Literal["all", "prompt"] = "all",
    batch_tokens: int | None = None,
    special: int = 0,
) -> list[list[int]]:
    """Continue every prompt by greedy decoding.

    Penalties and sampling that a checkpoint asks for are ignored. Prompts are padded on the left;
    a model with recurrent layers reads only prompts of equal length together.
    Keys and values are kept, so that each token is read once. Prompts of one batch may have
    different edited neurons, because an edit can choose neurons for each item.

    Args:
        model: a causal language model with its head.
        prompts: token ids, special tokens included.
        new_tokens: tokens to generate; fewer if the model ends the text earlier.
        edits: returns the edits for the prompts of a batch, given their numbers; None edits
            nothing.
        positions: ``all`` edits neurons at prompt and generated tokens; ``prompt`` only at prompt
            tokens.
        batch_tokens: tokens in a batch, with padding and the tokens to generate, halved when memory
            runs out; by default 8192. It changes logits by rounding only.
        special: number of special tokens at the start of each prompt, which are never edited.

    Returns:
        The generated ids of each prompt, without the end-of-text token.

    Raises:
        NeuroglotError: an encoder-decoder; an empty prompt; more tokens than the model can read;
            logits that are not numbers; not enough memory for one prompt.
    """
    if not all(len(prompt) for prompt in prompts):
        raise NeuroglotError("there is no text to go on from; give a prompt of at least one token")
    for prompt in prompts:
        check_readable(model, len(prompt) + new_tokens, "shorten the prompt or its continuation")
    # A step computes one token of each prompt: products are fast only with hundreds of prompts.
    budget = batch_budget(model, 8192, batch_tokens)
    generated: list[list[int]] = [[] for _ in prompts]

    def run(group: NDArray[np.int64]) -> None:
        together = [prompts[number] for number in group]
        chosen = edits(group) if edits else ()
        continued = _batch(model, together, new_tokens, chosen, positions, special)
        for number, ids in zip(group, continued, strict=True):
            generated[number] = ids

    lengths = [len(prompt) + new_tokens for prompt in prompts]
    alike = recurrent(model.config)
    in_batches(lengths, budget, run, "a prompt with its continuation", "shorten them", alike)
    return generated


def _batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    edits: Sequence[Edit],
    positions: Literal["all", "prompt"],
    special: int,
) -> list[list[int]]:
    ids, real = pad(prompts, left=True)
    edited = real.cumsum(1) > special
    ends = torch.tensor(sorted(end_of_text(model)), dtype=torch.long)
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    columns: list[Tensor] = []  # generated tokens, [item] each
    context = Context.empty(model, len(prompts))
    with intervened(model, edits, edited[:, :-1]):
        context = context.read(ids[:, :-1], real[:, :-1])
    last, last_real = ids[:, -1:], real[:, -1:]
    while len(columns) < new_tokens and not ended.all():
        with intervened(model, edits if positions == "all" or not columns else (), edited[:, -1:]):
            states, context = context.states(last, last_real)
        best = _likeliest(model, states[:, -1])
        ended |= torch.isin(best, ends)
        columns.append(best)
        last, edited = best[:, None], torch.ones(len(prompts), 1, dtype=torch.bool)
    return [_until(row, ends) for row in (torch.stack(columns, 1) if columns else ids[:, :0])]


def _likeliest(model: Any, states: Tensor) -> Tensor:
    """The token with the highest logit after each of the states ``[item, hidden]``, ``[item]``."""
    nothing = torch.zeros(0, dtype=torch.long)
    predictions = predict(model, states, nothing, nothing)
    if not torch.isfinite(predictions.total).all():
        raise NeuroglotError(
            "the model's logits hold NaN or infinity, so no next token is the likeliest; set "
            "capture.dtype to float32 or bfloat16, or edit neurons less strongly"
        )
    return predictions.likeliest.cpu()


def _until(row: Tensor, ends: Tensor) -> list[int]:
    """The tokens before the first that is in ``ends``."""
    at = torch.isin(row, ends).nonzero()
    return [int(token) for token in (row[: int(at[0])] if len(at) else row)]


def continued(tokenizer: "Tokenizer", prompt: Sequence[int], generated: Sequence[int]) -> str:
    """The text that generated tokens add to a prompt.

    Prompt and generated tokens are decoded together: a prompt may end within a character, or before
    a space that the tokenizer writes only between tokens.
    """
    whole = tokenizer.decode([*prompt, *generated])
    begun = tokenizer.decode(list(prompt)).rstrip(_REPLACEMENT)
    alone: str = tokenizer.decode(list(generated))
    return str(whole[len(begun) :]) if whole.startswith(begun) else alone


def end_of_text(model: Any) -> set[int]:
    """The tokens that end a text."""
    settings = getattr(model, "generation_config", None)
    end = getattr(settings, "eos_token_id", None)
    if end is None:
        end = language_config(model.config).eos_token_id
    return set(end) if isinstance(end, list | tuple) else {end} - {None}
