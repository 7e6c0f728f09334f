"""Judges a model's answers while its neurons are edited, without reading prompts again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.batches import EditsOf, batch_budget, edits_of_runs, in_batches
from neuroglot.capture.questions import Question
from neuroglot.capture.scoring import Prompts, Scores, String, score
from neuroglot.capture.settings import EditedPositions
from neuroglot.errors import NeuroglotError, not_finite
from neuroglot.models.card import context_window
from neuroglot.models.describe import language_config, recurrent
from neuroglot.models.intervene import edited_rows

Scored = Literal["first", "whole"]


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
    variants: Sequence[EditsOf | None],
    scored: Scored,
    positions: EditedPositions = "last",
    batch_tokens: int | None = None,
    update: Callable[[int], Any] | None = None,
) -> Answers:
    """Let a model answer questions under several variants of edited neurons.

    Answers are teacher-forced. The log-softmax of their tokens comes from ``capture.head.predict``
    and is summed in float64. With ``positions="last"`` neurons are edited at the prompt's last
    token and at the answer's tokens, and the tokens before the last are read once for all variants
    of a batch. Special tokens around a prompt are never edited. A batch holds questions under
    several variants; a variant that edits nothing of a question gives what another one gave that
    edited nothing.

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
        batch_tokens: prompt tokens in memory at once, padding included, those of a prompt once for
            each variant; halved when memory runs out. By default 8192, but 2048 on a CPU where
            prompts are read for each variant. It changes the result by rounding only.
        update: called with the number of judged answers, questions times variants.

    Raises:
        NeuroglotError: a question without ids or too long for the model; a log-probability that is
            not a number; not enough memory for one question.
    """
    _check(model, questions, scored)
    shape = len(variants), len(questions)
    most = max((len(question.candidates) for question in questions), default=0)
    gold, scores = np.zeros(shape), np.full((*shape, most), np.nan)
    written = np.zeros(shape, bool)
    unedited: dict[int, int] = {}  # for a question, a judged variant that edits nothing of it
    encodes = model.config.is_encoder_decoder

    def run(group: NDArray[np.int64]) -> None:
        numbers, places = np.divmod(group, len(variants))
        edits = edits_of_runs(variants, numbers, places)
        source, plain = places.copy(), dict[int, int]()
        for row in np.flatnonzero(~edited_rows(edits, len(group))):
            number, place = int(numbers[row]), int(places[row])
            source[row] = unedited.get(number, plain.setdefault(number, place))
        if len(rows := np.flatnonzero(source == places)):
            batch = _Batch([questions[number] for number in numbers[rows]], scored)
            prompts = Prompts(batch.questions, numbers[rows], left=not encodes)
            of_rows = [edit.rows(rows) for edit in edits]
            found = score(model, prompts, batch.strings, of_rows, positions)
            batch.check(found, numbers[rows])
            candidates = np.append(found.log_probability, np.nan)[batch.candidates]
            judged = places[rows], numbers[rows]
            gold[judged] = found.log_probability[[golds[0] for golds in batch.golds]]
            scores[*judged, : candidates.shape[1]] = candidates
            written[judged] = [found.likeliest[golds].any() for golds in batch.golds]
        for values in (gold, scores, written):
            values[places, numbers] = values[source, numbers]
        unedited.update(plain)
        if update:
            update(len(group))

    lengths, alike = [len(question.prompt) for question in questions], recurrent(model.config)
    again = encodes or positions != "last"  # whether prompts are read for each variant
    budget = batch_budget(model, 2048 if again else 8192, batch_tokens)
    in_batches(lengths, budget, run, "question {}", alike=alike, times=len(variants))
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
    """The answers of questions that are judged together, each of a question's answers once.

    Attributes:
        questions: the question of each row; several rows may have the same.
        strings: each answer's row and tokens: all of a right answer's, and of a candidate those
            that are scored.
        golds: for each row, the indices of its right answers in ``strings``.
        candidates: ``[row, candidate]``, indices in ``strings``; -1 if there is no candidate.
    """

    def __init__(self, questions: Sequence[Question], scored: Scored) -> None:
        self.questions = questions
        end = 1 if scored == "first" else None
        index: dict[tuple[int, String], int] = {}

        def indices(row: int, answers: Sequence[Sequence[int]]) -> NDArray[np.int64]:
            return np.array([index.setdefault((row, tuple(a)), len(index)) for a in answers])

        self.golds = [indices(row, question.gold) for row, question in enumerate(questions)]
        most = max(len(question.candidates) for question in questions)
        self.candidates = np.full((len(questions), most), -1)
        for row, question in enumerate(questions):
            scored_of = [answer[:end] for answer in question.candidates]
            self.candidates[row, : len(scored_of)] = indices(row, scored_of)
        self.strings = [*index]

    def check(self, found: Scores, numbers: NDArray[np.int64]) -> None:
        """Refuse what is not finite; ``numbers`` are the questions', ``[row]``."""
        bad = ~np.isfinite(found.log_probability)
        if bad.any():
            number = numbers[self.strings[bad.argmax()][0]]
            raise not_finite(f"question {number}: the probability of an answer", "logits")
