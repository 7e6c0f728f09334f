"""Judges the answers a model gives while its neurons are edited, without rereading the prompts."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.context import Context, pad
from neuroglot.capture.engine import out_of_memory, release_memory
from neuroglot.capture.perplexity import _end_of_text
from neuroglot.capture.questions import Question
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config
from neuroglot.models.intervene import Edit, intervened

# From the numbers of a batch's questions to its edits, for these items in this order.
Variant = Callable[[NDArray[np.int64]], Sequence[Edit]]
Scored = Literal["first", "whole"]
Edited = Literal["last", "all"]

# Of a batch under a variant: ln p of the first token and of the whole of each of its strings, the
# latter NaN where it is not asked for; and the continuations.
Judged = tuple[NDArray[np.float64], NDArray[np.float64], list[list[int]]]

_LOGITS = 1 << 26  # at once where strings are scored: 256 MB in float32


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model answers to each question under each variant.

    Attributes:
        gold_log_probability: ``[variant, item]``, ln p(string of the right answer | prompt), nats.
        candidate_log_probability: ``[variant, item, candidate]``, nats; NaN where a question has
            fewer candidates than others.
        gold_rank: ``[variant, item]``, how many candidates score higher than the right answer: 0
            is right. Where first tokens are scored, answers that share one are equals.
        continuation: greedily generated ids by variant and item, without what ends a text.
    """

    gold_log_probability: NDArray[np.float64]
    candidate_log_probability: NDArray[np.float64]
    gold_rank: NDArray[np.int64]
    continuation: list[list[list[int]]]


def judge(
    model: Any,
    questions: Sequence[Question],
    variants: Sequence[Variant | None],
    scored: Scored,
    new_tokens: int,
    positions: Edited = "last",
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
) -> Answers:
    """Let a model answer questions, its neurons edited in one way after the other.

    Strings are teacher-forced; their tokens' log-softmax is that of the model's logits in float32,
    summed in float64. With ``positions="last"`` edits are made at the prompt's last token and at
    the answer's own tokens: a prompt is read once up to its last token, and every variant goes on
    from what was kept of it.

    Args:
        model: a causal language model with its head.
        questions: with ids in every prompt and answer (``Question.complete``).
        variants: what is edited, told the numbers of a batch's questions; None edits nothing.
        scored: whether candidates score by their ``first`` token or as a ``whole``.
        new_tokens: tokens to generate greedily at most; 0 generates nothing.
        positions: ``last``, or ``all`` to edit the whole prompt, which each variant then reads.
        batch_tokens: prompt tokens run at once, padding included, halved when memory runs out; by
            default 1024 on a CPU and 8192 on a GPU. It changes the result by rounding only.
        update: called with the number of answers that were judged, questions times variants.

    Raises:
        NeuroglotError: an encoder-decoder; a question without ids or too long for the model; a
            log-probability that is not a number; not enough memory for one question.
    """
    _check(model, questions, scored, new_tokens)
    judging = _Judging(model, variants, scored, new_tokens, positions)
    shape = len(variants), len(questions)
    most = max((len(question.candidates) for question in questions), default=0)
    gold, scores = np.zeros(shape), np.full((*shape, most), np.nan)
    continuation: list[list[list[int]]] = [[[] for _ in questions] for _ in variants]
    on_cpu = next(model.parameters()).device.type == "cpu"
    budget = batch_tokens or (1024 if on_cpu else 8192)
    waiting = deque(sorted(range(len(questions)), key=lambda i: -len(questions[i].prompt)))
    while waiting:
        longest = len(questions[waiting[0]].prompt)
        size = min(len(waiting), max(1, budget // longest))
        batch = _Batch(questions, [waiting.popleft() for _ in range(size)])
        try:
            found = list(judging.batch(batch))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise NeuroglotError(
                    f"not enough memory for question {batch.group[0]} of {longest} tokens; shorten "
                    "it, or use a device with more memory"
                ) from error
            waiting.extendleft(reversed(batch.group.tolist()))
            budget = max(1, longest * size // 2)
            release_memory()
            continue
        for row, (first, whole, generated) in enumerate(found):
            candidates = np.append(first if scored == "first" else whole, np.nan)[batch.candidates]
            gold[row, batch.group] = whole[batch.gold]
            scores[row, batch.group, : candidates.shape[1]] = candidates
            for number, ids in zip(batch.group, generated, strict=True):
                continuation[row][number] = ids
        if update:
            update(size * len(variants))
    places = [question.candidates.index(question.gold[0]) for question in questions]
    of_gold = scores[:, np.arange(len(questions)), places][..., None]
    return Answers(gold, scores, (scores > of_gold).sum(-1), continuation)


def _check(model: Any, questions: Sequence[Question], scored: Scored, new_tokens: int) -> None:
    if model.config.is_encoder_decoder:
        raise NeuroglotError(
            f"{model.config.model_type!r} is an encoder-decoder, and answers are judged as the "
            "continuations that a causal language model gives to a prompt; leave interventions out "
            "of this model's configuration"
        )
    limit = context_window(language_config(model.config).to_dict())
    for number, question in enumerate(questions):
        if not question.complete:
            raise NeuroglotError(
                f"question {number} has no token in its prompt or in one of its answers; leave it "
                "out"
            )
        if question.gold[0] not in question.candidates:
            raise NeuroglotError(f"question {number}: its right answer is not among its candidates")
        # Of an answer the last token is predicted, not read.
        strings = question.candidates if scored == "whole" else question.gold[:1]
        longest = max(new_tokens, *map(len, strings)) - 1
        length = len(question.prompt) + longest
        if limit is not None and length > limit:
            raise NeuroglotError(
                f"question {number}: {length} tokens are to be read at once, answer included, and "
                f"the model's context window holds {limit}; shorten the prompt, or generate fewer "
                "tokens"
            )


class _Batch:
    """Questions that are judged together.

    Attributes:
        group: ``[item]``, their numbers.
        ids, real: ``[item, time]``, prompts padded on the left, and 1 where there is a token.
        strings: the distinct answers of each question, with the item they belong to.
        gold: ``[item]``, places in ``strings``.
        candidates: ``[item, candidate]``, places in ``strings``; -1 for none.
    """

    def __init__(self, questions: Sequence[Question], group: Sequence[int]) -> None:
        own = [questions[number] for number in group]
        self.group = np.array(group)
        self.ids, self.real = pad([question.prompt for question in own], left=True)
        self.strings = list(
            dict.fromkeys(
                (item, tuple(answer))
                for item, question in enumerate(own)
                for answer in question.candidates
            )
        )
        places = {string: place for place, string in enumerate(self.strings)}
        self.items = np.array([item for item, _ in self.strings])
        self.gold = np.array([places[i, tuple(one.gold[0])] for i, one in enumerate(own)])
        self.candidates = np.full((len(own), max(len(one.candidates) for one in own)), -1)
        for item, one in enumerate(own):
            found = [places[item, tuple(answer)] for answer in one.candidates]
            self.candidates[item, : len(found)] = found


class _Judging:
    """What a call of ``judge`` is asked, and how one variant of a batch is judged."""

    def __init__(
        self,
        model: Any,
        variants: Sequence[Variant | None],
        scored: Scored,
        new_tokens: int,
        positions: Edited,
    ) -> None:
        self._model, self._variants, self._scored = model, variants, scored
        self._new_tokens, self._positions = new_tokens, positions

    def batch(self, batch: _Batch) -> Iterator[Judged]:
        """Judge a batch under every variant."""
        context = self._prefix(batch) if self._positions == "last" else None
        for variant in self._variants:
            judged = self._variant(batch, context, variant(batch.group) if variant else [])
            bad = ~np.isfinite(judged[0]) | ~np.isfinite(judged[1][batch.gold][batch.items])
            if bad.any():
                raise NeuroglotError(
                    f"question {batch.group[batch.items[bad][0]]}: the probability of an answer is "
                    "not finite: the model's logits hold NaN or infinity; set capture.dtype to "
                    "float32 or bfloat16"
                )
            yield judged

    def _prefix(self, batch: _Batch) -> Context:
        """Read prompts up to their last token."""
        context = Context.empty(self._model, len(batch.ids))
        return context.read(batch.ids[:, :-1], batch.real[:, :-1])

    def _variant(self, batch: _Batch, context: Context | None, edits: Sequence[Edit]) -> Judged:
        with intervened(self._model, edits):
            context = context or self._prefix(batch)
            logits, context = context.predict(batch.ids[:, -1:], batch.real[:, -1:])
            total = logits[:, 0].logsumexp(-1)  # [item]
            items = torch.from_numpy(batch.items)
            tokens = torch.tensor([answer[0] for _, answer in batch.strings])
            first = (logits[items, 0, tokens].double() - total[items].double()).cpu().numpy()
            continuation = self._continuation(context, logits)
        del logits
        whole = np.full_like(first, np.nan)
        asked = batch.gold if self._scored == "first" else np.arange(len(first))
        whole[asked] = first[asked]
        for places in self._portions(batch, asked):
            items_of = batch.items[places]
            with intervened(self._model, [edit.rows(items_of) for edit in edits]):
                whole[places] += self._rest(
                    context.rows(items_of), [batch.strings[place][1] for place in places]
                )
        return first, whole, continuation

    def _portions(self, batch: _Batch, asked: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Cut the strings of more than a token into portions to read at once, the longest first."""
        lengths = np.array([len(answer) for _, answer in batch.strings])
        waiting = asked[lengths[asked] > 1]
        waiting = waiting[np.argsort(-lengths[waiting], kind="stable")]
        columns = _LOGITS // self._model.get_output_embeddings().weight.shape[0]
        while len(waiting):
            # Each copies its prompt's cache: no more than a few times what the batch holds.
            size = min(columns // int(lengths[waiting[0]]), 4 * len(batch.group))
            yield waiting[: max(1, size)]
            waiting = waiting[max(1, size) :]

    def _rest(self, context: Context, strings: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """``sum over t > 0 of ln p(token t of the string | prompt, tokens before it)``."""
        ids, real = pad(strings)
        logits, _ = context.predict(ids[:, :-1], real[:, 1:])
        targets, counted = (one[:, 1:].to(logits.device) for one in (ids, real))
        chosen = logits.gather(-1, targets[..., None])[..., 0].double()
        found = torch.where(counted == 1, chosen - logits.logsumexp(-1).double(), 0)
        values: NDArray[np.float64] = found.sum(1).cpu().numpy()
        return values

    def _continuation(self, context: Context, logits: Tensor) -> list[list[int]]:
        ends = _end_of_text(self._model)
        found = np.zeros((len(logits), 0), np.int64)
        ended = np.zeros(len(logits), bool)
        while found.shape[1] < self._new_tokens and not ended.all():
            if found.shape[1]:
                best = torch.from_numpy(found[:, -1:])
                logits, context = context.predict(best, torch.ones_like(best))
            found = np.c_[found, logits[:, -1].argmax(-1).cpu().numpy()]
            ended |= np.isin(found[:, -1], list(ends))
        return [list(takewhile(lambda token: token not in ends, row)) for row in found.tolist()]
