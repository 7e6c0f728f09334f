"""Computes hidden states of segments in memory, while neurons are edited."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.batches import batch_budget, edits_of_runs, in_batches
from neuroglot.capture.blocks import Recording
from neuroglot.capture.context import Context, pad
from neuroglot.capture.engine import Engine
from neuroglot.capture.inputs import Batch
from neuroglot.capture.settings import ExecutionSettings, Pool
from neuroglot.errors import NeuroglotError, not_finite, unknown_name
from neuroglot.models.describe import causal, recurrent
from neuroglot.models.ffn import FFN, ffns, record
from neuroglot.models.intervene import Edit, intervened
from neuroglot.tokens import Tokens


def represent(
    model: Any,
    text: Tokens,
    pool: Pool = "last",
    edits: Sequence[Edit] = (),
    positions: Literal["all", "last"] = "all",
    batch_tokens: int | None = None,
) -> NDArray[np.float32]:
    """Compute the residual stream that represents each segment, while neurons are edited.

    Without edits the result equals the rows ``state`` or ``mean`` that ``capture.record`` stores,
    up to rounding, because batches may differ.

    Args:
        model: in evaluation mode, with or without its head.
        text: the segments.
        pool: ``last``, the state of a segment's last token, or ``mean``, the mean over its tokens.
            Special tokens do not count.
        edits: edits for all segments alike or for each segment; the items of an ``Edit`` are the
            segments.
        positions: the edited tokens: ``all`` tokens that the model reads, special tokens included,
            or each segment's ``last``. An encoder-decoder's decoder reads the segment again.
        batch_tokens: tokens run at once, halved when memory runs out; by default as in a recording.

    Returns:
        ``[state, segment, hidden]``: state 0 is the embeddings' output, and state l + 1 the output
        of layer l, before the final norm. An encoder-decoder has the encoder's states, then the
        decoder's.

    Raises:
        NeuroglotError: an unknown pool or unknown positions; an edit that does not fit; states that
            are not finite; not enough memory for one segment.
    """
    if pool not in get_args(Pool):
        raise NeuroglotError(unknown_name("pool", pool, get_args(Pool)))
    if positions not in ("all", "last"):
        raise NeuroglotError(unknown_name("positions", positions, ("all", "last")))
    for edit in edits:
        if edit.neurons.ndim == 3 and len(edit.neurons) != len(text.segment_ids):
            raise NeuroglotError(
                f"an edit has neurons for {len(edit.neurons)} segments, and the text has "
                f"{len(text.segment_ids)}."
            )

    def during(batch: Batch) -> AbstractContextManager[None]:
        # Every segment has one row, so a row's place is the segment's number.
        of_batch = [edit.rows(batch.picked["rows"].places) for edit in edits]
        if positions == "all":
            return intervened(model, of_batch)
        return _at_rows(engine, of_batch, batch)

    engine = Engine(model, ExecutionSettings(batch_tokens=batch_tokens), during)
    site = "state" if pool == "last" else "mean"
    recording = Recording((site,), "last token of each segment", store_dtype="float32")
    return engine.rows(text, recording)[site]


def represent_variants(
    model: Any,
    text: Tokens,
    variants: Sequence[Sequence[Edit]],
    pool: Pool = "last",
    positions: Literal["all", "last"] = "all",
    batch_tokens: int | None = None,
) -> NDArray[np.float32]:
    """Run ``represent`` under several sets of edits: ``[variant, state, segment, hidden]``.

    If ``positions`` and ``pool`` are both ``last`` and the model is causal, the tokens before the
    last are read once in each batch. A batch's rows are segments under a variant each, and all go
    on from these keys and values. ``variants`` holds the edits of each variant; other arguments and
    errors are those of ``represent``.
    """
    if positions == "last" and pool == "last" and causal(model.config):
        return _from_last_tokens(model, text, variants, batch_tokens)
    return np.stack(
        [represent(model, text, pool, edits, positions, batch_tokens) for edits in variants]
    )


def _from_last_tokens(
    model: Any, text: Tokens, variants: Sequence[Sequence[Edit]], batch_tokens: int | None
) -> NDArray[np.float32]:
    after = len(text.after)
    sequences = [ids[: len(ids) - after] for ids in text.sequences()]
    layers, hidden = len(ffns(model)), ffns(model)[0].hidden
    states = np.empty((len(variants), layers + 1, len(sequences), hidden), np.float32)
    of_variants = [partial(_of_texts, edits) for edits in variants]

    def run(group: NDArray[np.int64]) -> None:
        numbers, places = np.divmod(group, len(variants))
        read, row = np.unique(numbers, return_inverse=True)
        ids, real = pad([sequences[number] for number in read], left=True)
        start = Context.empty(model, len(read)).read(ids[:, :-1], real[:, :-1])
        edits = edits_of_runs(of_variants, numbers, places)

        def keep(_: str, __: str, state: int, value: Tensor) -> None:
            states[places, state, numbers] = value[:, 0].float().cpu().numpy()

        with intervened(model, edits), record(model, {"state"}, keep):
            start.rows(row).states(ids[row, -1:], real[row, -1:])

    # Products of many last tokens are far faster than of few, so a batch has many rows.
    budget = batch_budget(model, 8192, batch_tokens)
    lengths, alike = [*map(len, sequences)], recurrent(model.config)
    in_batches(lengths, budget, run, "one segment", alike=alike, times=len(variants))
    if not np.isfinite(states).all():
        raise not_finite("a state")
    return states


def _of_texts(edits: Sequence[Edit], texts: NDArray[np.int64]) -> list[Edit]:
    return [edit.rows(texts) for edit in edits]


@contextmanager
def _at_rows(engine: Engine, edits: Sequence[Edit], batch: Batch) -> Iterator[None]:
    """Edit neurons at the recorded tokens only; their positions differ between stacks."""
    with ExitStack() as stacks:
        for stack, times in batch.picked["rows"].times.items():
            mask = torch.zeros_like(batch.text[stack]).flatten()
            mask[times] = True
            of_stack = [_of_stack(edit, engine.ffns, stack) for edit in edits]
            at_rows = mask.view_as(batch.text[stack])
            stacks.enter_context(intervened(engine.model, of_stack, at_rows))
        yield


def _of_stack(edit: Edit, ffns: Sequence[FFN], stack: str) -> Edit:
    """Restrict an edit to the neurons of one stack."""
    layers = np.array([ffn.stack == stack for ffn in ffns])
    return replace(edit, neurons=edit.neurons & layers[:, None])
