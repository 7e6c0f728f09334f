"""Scores strings of tokens after a batch of prompts, whose neurons are edited row by row."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuroglot.capture.context import Context, pad
from neuroglot.capture.head import predict
from neuroglot.capture.questions import Question
from neuroglot.capture.settings import EditedPositions
from neuroglot.models.intervene import Edit, intervened

String = tuple[int, ...]


class Prompts:
    """The prompts of a batch, one a row; several rows may ask the same question.

    Attributes:
        ids, real: ``[row, time]``, prompts padded on one side, and their mask (0 at padding).
        text: ``[row, time]``, true at the prompts' tokens, special tokens left out.
        last: ``[row, time]``, true at the last of them.
        opening: ``[row, time]``, what a decoder behind an encoder reads before an answer.
        distinct: for each distinct question, one of its rows.
        question: for each row, its question's place in ``distinct``.
    """

    def __init__(self, questions: Sequence[Question], numbers: NDArray[np.int64], left: bool):
        """Pad the prompts of ``questions``, whose ``numbers`` are ``[row]``."""
        self.ids, self.real = pad([question.prompt for question in questions], left=left)
        before, after = torch.tensor([[q.before, q.after] for q in questions]).T[..., None]
        number = self.real.cumsum(1) * self.real  # of a prompt's tokens, from 1; 0 at padding
        end = self.real.sum(1, keepdim=True) - after
        special = torch.tensor([*{i for q in questions for i in q.special}], dtype=torch.long)
        self.last = (number > before) & (number == end)
        self.text = (
            (number > before) & (number <= end) & (self.last | ~torch.isin(self.ids, special))
        )
        self.opening = torch.tensor([question.opening for question in questions])
        _, self.distinct, self.question = np.unique(numbers, return_index=True, return_inverse=True)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model says of strings.

    Attributes:
        log_probability: float64 ``[string]``, ln p(string | prompt) in nats.
        likeliest: bool ``[string]``, whether each token is the likeliest, the first in a tie.
    """

    log_probability: NDArray[np.float64]
    likeliest: NDArray[np.bool_]


def score(
    model: Any,
    prompts: Prompts,
    strings: Sequence[tuple[int, String]],
    edits: Sequence[Edit],
    positions: EditedPositions,
) -> Scores:
    """Compute ``ln p(string | prompt)``, the sum of ``ln p(token | prompt, tokens before it)``.

    What rows have in common is read once: with ``positions="last"`` the tokens of a question before
    its prompt's last one; and what several strings after one prompt begin with. Log-probabilities
    of tokens come from ``capture.head.predict`` and are summed in float64.

    Args:
        model: a causal language model, whose prompts are padded on the left, or an encoder-decoder,
            whose prompts are padded on the right; with its head.
        prompts: what stands before the strings.
        strings: each string's row and tokens, at least one; no string twice in a row.
        edits: the edits of the rows.
        positions: where neurons are edited, see ``capture.answers.judge``.

    Raises:
        NeuroglotError: as ``intervened`` and ``predict``.
    """
    begin = _encoder if model.config.is_encoder_decoder else _prompt
    first, context = begin(model, prompts, edits, positions)
    states, tree = [first], _Tree(len(prompts.ids), strings)
    for portion in tree.portions:
        ids, real = pad([read for _, read in portion.reads])
        at_answer = [edit.rows(portion.rows) for edit in edits] if positions != "prompt" else []
        with intervened(model, at_answer):
            read, _ = context.rows(portion.rows).states(ids, real)
        states.append(read[portion.new.to(read.device)])
    predictions = predict(model, torch.cat(states), tree.states, tree.tokens)
    found = tree.states.to(predictions.total.device)
    log_probability = predictions.chosen.double() - predictions.total[found]
    likeliest = predictions.likeliest[found].cpu() == tree.tokens
    return tree.by_string(log_probability.cpu().numpy(), likeliest.numpy())


def _prompt(
    model: Any, prompts: Prompts, edits: Sequence[Edit], positions: EditedPositions
) -> tuple[Tensor, Context]:
    """Read prompts; return the states that predict the strings' first tokens, ``[row, hidden]``."""
    rows = prompts.distinct if positions == "last" else slice(None)
    ids, real = prompts.ids[rows, :-1], prompts.real[rows, :-1]
    with intervened(model, edits if positions != "last" else [], prompts.text[:, :-1]):
        context = Context.empty(model, len(ids)).read(ids, real)
    if positions == "last":
        context = context.rows(prompts.question)
    with intervened(model, edits):
        last, context = context.states(prompts.ids[:, -1:], prompts.real[:, -1:])
    return last[:, 0], context


def _encoder(
    model: Any, prompts: Prompts, edits: Sequence[Edit], positions: EditedPositions
) -> tuple[Tensor, Context]:
    """Let the encoder read prompts and the decoder its opening; return as ``_prompt``."""
    with intervened(model, edits, prompts.last if positions == "last" else prompts.text):
        context = Context.encoded(model, prompts.ids, prompts.real)
    opening = prompts.opening
    if not opening.shape[1]:
        opening = torch.full((len(opening), 1), model.config.decoder_start_token_id)
    answers = torch.arange(opening.shape[1]).expand_as(opening) == opening.shape[1] - 1
    with intervened(model, edits if positions != "prompt" else [], answers):
        first, context = context.states(opening, torch.ones_like(opening))
    return first[:, -1], context


@dataclass(frozen=True, eq=False)
class _Portion:
    """Beginnings of strings that are read together.

    Attributes:
        reads: the row of each, and the tokens that are read.
        new: bool ``[read, time]``, true where no earlier read has the same state.
    """

    reads: Sequence[tuple[int, String]]
    new: Tensor

    @property
    def rows(self) -> NDArray[np.int64]:
        """The row of each read, ``[read]``."""
        return np.array([row for row, _ in self.reads])


class _Tree:
    """The tokens of strings after prompts, with what they begin with only once.

    A string's first token is predicted by its row's state, the number of the row; every further
    token by the state behind the token before it. These are numbered on, portion after portion.

    Attributes:
        portions: what is read.
        states, tokens: int64 ``[token]``, every token of every string and the state that predicts
            it.
    """

    def __init__(self, rows: int, strings: Sequence[tuple[int, String]]) -> None:
        state: dict[tuple[int, String], int] = {(row, ()): row for row in range(rows)}
        self.portions = []
        for reads in _portions(read_of(strings), rows):
            new = torch.zeros(len(reads), len(reads[-1][1]), dtype=torch.bool)
            for place, (row, read) in enumerate(reads):
                for end in range(1, len(read) + 1):
                    new[place, end - 1] = (row, read[:end]) not in state
                    state.setdefault((row, read[:end]), len(state))
            self.portions.append(_Portion(reads, new))
        predicted = [
            (state[row, string[:place]], token, number)
            for number, (row, string) in enumerate(strings)
            for place, token in enumerate(string)
        ]
        self._strings = len(strings)
        self.states, self.tokens, self._string = torch.tensor(predicted).T.contiguous()

    def by_string(
        self, log_probability: NDArray[np.float64], likeliest: NDArray[np.bool_]
    ) -> Scores:
        """Collect what was found of ``tokens``, in their order."""
        total, all_likeliest = np.zeros(self._strings), np.ones(self._strings, bool)
        np.add.at(total, self._string.numpy(), log_probability)
        np.logical_and.at(all_likeliest, self._string.numpy(), likeliest)
        return Scores(total, all_likeliest)


def read_of(strings: Collection[tuple[int, String]]) -> list[tuple[int, String]]:
    """What is read of strings after prompts, shortest first: all but last tokens, each once.

    Example:
        >>> read_of([(0, (5,)), (0, (6, 7)), (0, (6, 7, 8)), (1, (6, 7))])
        [(1, (6,)), (0, (6, 7))]
    """
    read = {(row, string[:-1]) for row, string in strings}
    begun = {(row, longer[:end]) for row, longer in read for end in range(len(longer))}
    return sorted(read - begun - {(row, ()) for row, _ in read}, key=lambda one: (len(one[1]), one))


def _portions(
    reads: Sequence[tuple[int, String]], rows: int
) -> Iterator[Sequence[tuple[int, String]]]:
    """Cut reads into portions of similar length, at most as many together as there are rows.

    Every read needs a copy of its row's cache.
    """
    start = 0
    for stop, (_, read) in enumerate(reads):
        if stop - start == rows or len(read) > 1.25 * len(reads[start][1]) + 1:
            yield reads[start:stop]
            start = stop
    if reads:
        yield reads[start:]
