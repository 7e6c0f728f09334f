"""Lets a model go on from many prompts at once, its neurons edited by prompt."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.capture.context import Context, pad
from neuroglot.capture.perplexity import check_readable
from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import language_config
from neuroglot.models.intervene import Edit, intervened

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# From the numbers of a batch's prompts to its edits, for these prompts in this order.
EditsOf = Callable[[NDArray[np.int64]], Sequence[Edit]]
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    edits: EditsOf | None = None,
    positions: Literal["all", "prompt"] = "all",
    batch_tokens: int | None = None,
) -> list[list[int]]:
    """Go on from every prompt, always with the likeliest next token.

    Only the logits decide: penalties and sampling that a checkpoint asks for are left out. Prompts
    are padded on the left, and keys and values are kept, so that each token is read once. One
    batch may hold prompts whose neurons are edited differently: edits have neurons of their own
    for each item.

    Args:
        model: a causal language model with its head.
        prompts: token ids, special tokens included.
        new_tokens: tokens to generate; fewer where the model ends a text before.
        edits: what is edited, told the numbers of a batch's prompts; None edits nothing.
        positions: ``all``, also while generated tokens are read; or ``prompt``, only while the
            prompt is.
        batch_tokens: tokens kept at once, padding and those to be generated included, halved when
            memory runs out; by default 1024 on a CPU and 8192 on a GPU. It changes logits by
            rounding only.

    Returns:
        The generated ids of each prompt, without the token that ends a text.

    Raises:
        NeuroglotError: an encoder-decoder; an empty prompt; more tokens than the model can read;
            logits that are not numbers; not enough memory for one prompt.
    """
    if not all(len(prompt) for prompt in prompts):
        raise NeuroglotError("there is no text to go on from; give a prompt of at least one token")
    for prompt in prompts:
        check_readable(model, len(prompt) + new_tokens, "shorten the prompt or its continuation")
    budget = batch_budget(model, 1024, batch_tokens)
    generated: list[list[int]] = [[] for _ in prompts]

    def run(group: NDArray[np.int64]) -> None:
        own = [prompts[number] for number in group]
        found = _batch(model, own, new_tokens, edits(group) if edits else (), positions)
        for number, ids in zip(group, found, strict=True):
            generated[number] = ids

    def too_long(number: int) -> str:
        return (
            f"a prompt and continuation of {lengths[number]} tokens; shorten them, or use a device "
            "with more memory"
        )

    lengths = [len(prompt) + new_tokens for prompt in prompts]
    in_batches(lengths, budget, run, too_long)
    return generated


def _batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    edits: Sequence[Edit],
    positions: Literal["all", "prompt"],
) -> list[list[int]]:
    ids, real = pad(prompts, left=True)
    ends = torch.tensor(sorted(end_of_text(model)), dtype=torch.long)
    ended = torch.zeros(len(prompts), dtype=torch.bool)
    columns: list[Tensor] = []  # of generated tokens, [item]
    context = Context.empty(model, len(prompts))
    with intervened(model, edits):
        context = context.read(ids[:, :-1], real[:, :-1])
    last, one = ids[:, -1:], torch.ones(len(prompts), 1, dtype=torch.long)
    while len(columns) < new_tokens and not ended.all():
        with intervened(model, edits if positions == "all" or not columns else ()):
            logits, context = context.predict(last, one)
        best = _likeliest(logits[:, -1]).cpu()
        ended |= torch.isin(best, ends)
        columns.append(best)
        last = best[:, None]
    return [_until(row, ends) for row in (torch.stack(columns, 1) if columns else ids[:, :0])]


def _likeliest(logits: Tensor) -> Tensor:
    """The token of the highest logit, [item]."""
    highest, tokens = logits.max(-1)
    if not torch.isfinite(highest).all():
        raise NeuroglotError(
            "the model's logits hold NaN or infinity, so no next token is the likeliest; set "
            "capture.dtype to float32 or bfloat16, or edit neurons less strongly"
        )
    return tokens


def _until(row: Tensor, ends: Tensor) -> list[int]:
    found = torch.isin(row, ends).nonzero()
    return [int(token) for token in (row[: int(found[0])] if len(found) else row)]


def continued(tokenizer: "Tokenizer", prompt: Sequence[int], generated: Sequence[int]) -> str:
    """What generated tokens add to a prompt's text.

    Both are decoded together: a prompt may end within a character, or before a space that a
    tokenizer writes between tokens only.
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
