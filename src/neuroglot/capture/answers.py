"""Judges a model's answers while its neurons are edited, without reading prompts again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.batches import batch_budget, in_batches
from neuroglot.capture.context import Context, pad
from neuroglot.capture.head import predict
from neuroglot.capture.questions import Question
from neuroglot.capture.settings import EditedPositions
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config, recurrent
from neuroglot.models.intervene import Edit, intervened

# Takes the numbers of a batch's questions; returns the edits for these items in this order.
Variant = Callable[[NDArray[np.int64]], Sequence[Edit]]
Scored = Literal["first", "whole"]

# For each string of a batch under a variant: ln p of its first token; ln p of the whole string, NaN
# if not computed; and whether each of its tokens is the likeliest.
Judged = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers to each question under each variant.

    Attributes:
        gold_log_probability: ``[variant, item]``, ln p(string of the right answer | prompt), nats.
        candidate_log_probability: ``[variant, item, candidate]``, nats; NaN where a question has
            fewer candidates than others.
        chosen: ``[variant, item]``, 1 if a gold answer scores higher than every wrong candidate,
            1 / m if it is one of m candidates that score highest, else 0. If first tokens are
            scored, candidates with the same first token score the same.
        written: ``[variant, item]``, whether greedy decoding writes a gold answer: each token of
            one gold answer is the likeliest, the first in a tie.
    """

    gold_log_probability: NDArray[np.float64]
    candidate_log_probability: NDArray[np.float64]
    chosen: NDArray[np.float64]
    written: NDArray[np.bool_]


def judge(
    model: Any,
    questions: Sequence[Question],
    variants: Sequence[Variant | None],
    scored: Scored,
    positions: EditedPositions = "last",
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
) -> Answers:
    """Let a model answer questions under several variants of edited neurons.

    Answers are teacher-forced. The log-softmax of their tokens comes from ``capture.head.predict``
    and is summed in float64. With ``positions="last"`` neurons are edited at the prompt's last
    token and at the answer's tokens. The tokens before the last are read once, and every variant
    continues from their keys and values. Special tokens around a prompt are never edited.

    An encoder-decoder's encoder reads the prompt, with the special tokens after it, and its decoder
    answers from its start token or, if there is one, from the language tag after it. Neurons of the
    encoder are edited at the prompt, those of the decoder at that token and at the answer's tokens.

    Args:
        model: a causal language model or an encoder-decoder, with its head.
        questions: every prompt and answer has ids (``Question.complete``).
        variants: each returns the edits for a batch, given the numbers of its questions; None edits
            nothing.
        scored: candidates are scored by their ``first`` token or as a ``whole``.
        positions: ``last``; ``all`` edits the whole prompt and the answer; ``prompt`` edits the
            whole prompt but not the answer, and nothing in a decoder behind an encoder. With
            ``all`` and ``prompt`` each variant reads the prompt again.
        batch_tokens: prompt tokens run at once, padding included, halved when memory runs out; by
            default 2048 on a CPU and 8192 on a GPU. It changes the result by rounding only.
        update: called with the number of judged answers, questions times variants.

    Raises:
        NeuroglotError: a question without ids or too long for the model; a log-probability that is
            not a number; not enough memory for one question.
    """
    _check(model, questions, scored)
    judging = _Judging(model, variants, scored, positions)
    shape = len(variants), len(questions)
    most = max((len(question.candidates) for question in questions), default=0)
    gold, scores = np.zeros(shape), np.full((*shape, most), np.nan)
    written = np.zeros(shape, bool)
    budget = batch_budget(model, 2048, batch_tokens)

    def run(group: NDArray[np.int64]) -> None:
        batch = _Batch(questions, group, left=not model.config.is_encoder_decoder)
        for row, (first, whole, likeliest) in enumerate(list(judging.batch(batch))):
            candidates = np.append(first if scored == "first" else whole, np.nan)[batch.candidates]
            gold[row, group] = whole[batch.gold]
            scores[row, group, : candidates.shape[1]] = candidates
            written[row, group] = [likeliest[strings].any() for strings in batch.golds]
        if update:
            update(len(group) * len(variants))

    lengths, alike = [len(question.prompt) for question in questions], recurrent(model.config)
    in_batches(lengths, budget, run, "question {}", alike=alike)
    right = np.zeros((len(questions), most), bool)
    for row, question in zip(right, questions, strict=True):
        row[: len(question.candidates)] = [
            candidate in question.gold for candidate in question.candidates
        ]
    return Answers(gold, scores, _share_of_top(scores, right), written)


def _share_of_top(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give 1 / m where a right answer is among the m best, ``[variant, item]``.

    Several right answers to one question do not compete: the best of them counts.

    Args:
        scores: ``[variant, item, candidate]``; NaN where there is no candidate.
        right: ``[item, candidate]``, the right answers.
    """
    best_right = np.where(right, scores, -np.inf).max(-1, keepdims=True)
    wrong = np.where(right | np.isnan(scores), -np.inf, scores)
    tied = (wrong == best_right).sum(-1)
    share: NDArray[np.float64] = (wrong <= best_right).all(-1) / (1 + tied)
    return share


def _check(model: Any, questions: Sequence[Question], scored: Scored) -> None:
    limit = context_window(language_config(model.config).to_dict())
    for number, question in enumerate(questions):
        if not question.complete:
            raise NeuroglotError(
                f"question {number} has no token in its prompt or in one of its answers; leave it "
                "out"
            )
        if question.gold[0] not in question.candidates:
            raise NeuroglotError(f"question {number}: its right answer is not among its candidates")
        # An answer's last token is predicted, not read.
        strings = [*question.gold, *(question.candidates if scored == "whole" else ())]
        prompt, answer = len(question.prompt), max(map(len, strings))
        length = (
            # The decoder also reads its opening, and not the answer's last token.
            max(prompt, answer + max(len(question.opening), 1) - 1)
            if model.config.is_encoder_decoder
            else prompt + answer - 1
        )
        if limit is not None and length > limit:
            raise NeuroglotError(
                f"question {number}: {length} tokens are to be read at once, answer included, and "
                f"the model's context window holds {limit}; shorten the prompt"
            )


class _Batch:
    """Questions that are judged together.

    Attributes:
        group: the questions' numbers, ``[item]``.
        ids, real: ``[item, time]``, prompts padded on one side, and their mask (0 at padding).
        text: ``[item, time]``, true at the prompts' tokens, special tokens left out.
        last: ``[item, time]``, true at the last of them.
        opening: ``[item, time]``, what a decoder behind an encoder reads before an answer.
        strings: pairs of an item and one of its distinct answers.
        gold: ``[item]``, indices of the right answers in ``strings``.
        golds: for each item, the indices of all its gold answers.
        candidates: ``[item, candidate]``, indices in ``strings``; -1 if there is no candidate.
    """

    def __init__(self, questions: Sequence[Question], group: NDArray[np.int64], left: bool) -> None:
        together = [questions[number] for number in group]
        self.group = group
        self.ids, self.real = pad([question.prompt for question in together], left=left)
        before, after = torch.tensor([[q.before, q.after] for q in together]).T[..., None]
        number = self.real.cumsum(1) * self.real  # of a prompt's tokens, from 1; 0 at padding
        end = self.real.sum(1, keepdim=True) - after
        special = torch.tensor([*{i for q in together for i in q.special}], dtype=torch.long)
        self.last = (number > before) & (number == end)
        self.text = (
            (number > before) & (number <= end) & (self.last | ~torch.isin(self.ids, special))
        )
        self.opening = torch.tensor([question.opening for question in together])
        self.strings = list(
            dict.fromkeys(
                (item, tuple(answer))
                for item, question in enumerate(together)
                for answer in (*question.gold, *question.candidates)
            )
        )
        index = {string: place for place, string in enumerate(self.strings)}
        self.items = np.array([item for item, _ in self.strings])
        self.golds = [
            np.array([index[item, tuple(answer)] for answer in question.gold])
            for item, question in enumerate(together)
        ]
        self.gold = np.array([strings[0] for strings in self.golds])
        most = max(len(question.candidates) for question in together)
        self.candidates = np.full((len(together), most), -1)
        for item, question in enumerate(together):
            for place, answer in enumerate(question.candidates):
                self.candidates[item, place] = index[item, tuple(answer)]


@dataclass(frozen=True, eq=False)
class _Judging:
    """Judges batches with the arguments of one call of ``judge``."""

    model: Any
    variants: Sequence[Variant | None]
    scored: Scored
    positions: EditedPositions

    def batch(self, batch: _Batch) -> Iterator[Judged]:
        """Judge a batch under every variant."""
        continued = self.positions == "last" and not self.model.config.is_encoder_decoder
        context = self._prefix(batch) if continued else None
        for variant in self.variants:
            judged = self._variant(batch, context, variant(batch.group) if variant else [])
            bad = ~np.isfinite(judged[0]) | ~np.isfinite(judged[1][batch.gold][batch.items])
            if bad.any():
                question = batch.group[batch.items[bad][0]]
                raise not_finite(f"question {question}: the probability of an answer", "logits")
            yield judged

    def _prefix(self, batch: _Batch) -> Context:
        """Read prompts up to their last token."""
        context = Context.empty(self.model, len(batch.ids))
        return context.read(batch.ids[:, :-1], batch.real[:, :-1])

    def _variant(self, batch: _Batch, context: Context | None, edits: Sequence[Edit]) -> Judged:
        """``ln p(string | prompt) = sum over t of ln p(token t | prompt, tokens before it)``."""
        begin = self._encoder if self.model.config.is_encoder_decoder else self._prompt
        first, context = begin(batch, context, edits)
        whole = self.scored == "whole"
        asked = np.arange(len(batch.strings)) if whole else np.unique(np.concatenate(batch.golds))
        portions = list(_portions(batch, asked))
        at_answer = edits if self.positions != "prompt" else []
        states = [first, *(self._rest(batch, context, part, at_answer) for part in portions)]
        # First the strings' first tokens, then their other tokens, portion after portion.
        tokens = [answer[0] for _, answer in batch.strings]
        tokens += [token for part in portions for i in part for token in batch.strings[i][1][1:]]
        after = len(tokens) - len(batch.strings)
        rows = np.append(batch.items, len(batch.ids) + np.arange(after))
        predictions = predict(
            self.model, torch.cat(states), torch.from_numpy(rows), torch.tensor(tokens)
        )
        total = predictions.total.cpu().numpy()[rows]
        likeliest = predictions.likeliest.cpu().numpy()[rows]
        log_probability = predictions.chosen.cpu().numpy().astype(np.float64) - total
        return _by_string(batch, asked, portions, log_probability, likeliest == tokens)

    def _prompt(
        self, batch: _Batch, context: Context | None, edits: Sequence[Edit]
    ) -> tuple[Tensor, Context]:
        """Read prompts; return the states that predict the answers' first tokens."""
        if context is None:
            with intervened(self.model, edits, batch.text[:, :-1]):
                context = self._prefix(batch)
        with intervened(self.model, edits):
            last, context = context.states(batch.ids[:, -1:], batch.real[:, -1:])
        return last[:, 0], context

    def _encoder(
        self, batch: _Batch, _context: Context | None, edits: Sequence[Edit]
    ) -> tuple[Tensor, Context]:
        """Let the encoder read prompts and the decoder its opening; return as ``_prompt``."""
        where = batch.last if self.positions == "last" else batch.text
        with intervened(self.model, edits, where):
            context = Context.encoded(self.model, batch.ids, batch.real)
        opening = batch.opening
        if not opening.shape[1]:
            opening = torch.full((len(batch.ids), 1), self.model.config.decoder_start_token_id)
        answers = torch.arange(opening.shape[1]).expand_as(opening) == opening.shape[1] - 1
        with intervened(self.model, edits if self.positions != "prompt" else [], answers):
            first, context = context.states(opening, torch.ones_like(opening))
        return first[:, -1], context

    def _rest(
        self,
        batch: _Batch,
        context: Context,
        places: NDArray[np.int64],
        edits: Sequence[Edit],
    ) -> Tensor:
        """Read strings up to their last token; return the states that predict all but the first."""
        items = batch.items[places]
        ids, real = pad([batch.strings[place][1][:-1] for place in places])
        with intervened(self.model, [edit.rows(items) for edit in edits]):
            states, _ = context.rows(items).states(ids, real)
        return states[real.bool().to(states.device)]


def _portions(batch: _Batch, asked: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Cut the strings of more than one token into portions of similar length, read one at a time.

    Every string needs a copy of its prompt's cache, so a portion has at most four times as many
    strings as the batch has questions.
    """
    lengths = np.array([len(answer) for _, answer in batch.strings])
    waiting = asked[lengths[asked] > 1]
    waiting = waiting[np.argsort(lengths[waiting], kind="stable")]
    while len(waiting):
        longest = 1.25 * lengths[waiting[0]] + 1
        size = min(np.searchsorted(lengths[waiting], longest, "right"), 4 * len(batch.group))
        yield waiting[:size]
        waiting = waiting[size:]


def _by_string(
    batch: _Batch,
    asked: NDArray[np.int64],
    portions: Sequence[NDArray[np.int64]],
    log_probability: NDArray[np.float64],
    likeliest: NDArray[np.bool_],
) -> Judged:
    """Collect the tokens' results, which are in the order of ``_variant``, by string."""
    strings = len(batch.strings)
    first, greedy = log_probability[:strings], likeliest[:strings].copy()
    whole = np.full_like(first, np.nan)
    whole[asked] = first[asked]
    start = strings
    for place in np.concatenate([*portions, np.zeros(0, np.int64)]):
        others = slice(start, start + len(batch.strings[place][1]) - 1)
        whole[place] += log_probability[others].sum()
        greedy[place] &= likeliest[others].all()
        start = others.stop
    return first, whole, greedy
