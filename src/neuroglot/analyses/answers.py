"""Asks a task's questions while neurons are edited."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.pieces import Piece
from neuroglot.capture.answers import judge
from neuroglot.capture.batches import EditsOf
from neuroglot.capture.questions import Question, constant_scores, encode
from neuroglot.capture.settings import EditedPositions
from neuroglot.capture.tokenise import beside
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.chat import read_chat
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.tasks.base import Item, Scoring
from neuroglot.tokens import special_tokens

PER_QUESTION = ("correct", "exact", "log_probability", "neurons")


@dataclass(frozen=True, eq=False)
class Asked:
    """One task's questions, the same items in every language.

    Attributes:
        task: id.
        scoring: scoring of the task.
        questions: questions by language.
    """

    task: str
    scoring: Scoring
    questions: Mapping[str, Sequence[Question]]

    @cached_property
    def judged(self) -> NDArray[np.intp]:
        """Indices of language and item of every question that can be judged, ``[question, 2]``."""
        return np.argwhere(
            [
                [question.judgeable(self.scoring) for question in of_language]
                for of_language in self.questions.values()
            ]
        )

    def all_judged(self) -> list[Question]:
        """The questions that can be judged, ordered by language."""
        by_language = list(self.questions.values())
        return [by_language[language][item] for language, item in self.judged]

    def obstacles(self, model: Path) -> str:
        """Say why questions cannot be judged, in how many items, with the first as an example."""
        asked = [question for each in self.questions.values() for question in each]
        empty = sum(not question.complete for question in asked)
        alike = [q for q in asked if q.complete and not q.judgeable(self.scoring)]
        reasons = [f"in {empty} of {len(asked)} the prompt or an answer has no token"] * (empty > 0)
        if alike:
            shown = _tokenizer(model).id_to_token(alike[0].candidates[0][0])
            reasons.append(
                f"in {len(alike)} of {len(asked)} all candidates begin with the same token (in the "
                f"first of them {shown!r}), so that ranking first tokens tells nothing"
            )
        return " and ".join(reasons)

    def identity(self) -> list[Any]:
        """Everything the answers depend on, except the model and its edits."""
        return [[astuple(question) for question in self.all_judged()], self.scoring]

    def by_item(self, answers: Piece, variants: Sequence[str], facts: Sequence[str]) -> xr.Dataset:
        """Label answers for ``measures.answers.answer_statistics``.

        Args:
            answers: result of ``Examiner.ask`` for these questions.
            variants: names of the variants, in the order of ``answers``.
            facts: the fact that each item asks for, see ``Item.fact``.

        Returns:
            PER_QUESTION and ``log_probability_per_token``, ``[variant, language, item]``; ``guess``
            and ``constant``, ``[language, item]``; NaN where a question cannot be judged.
            Coordinate ``fact(item)``.
        """
        languages, items = self.judged.T
        tokens = np.array([len(question.gold[0]) for question in self.all_judged()])
        per_token = {"log_probability_per_token": answers["log_probability"] / tokens}
        shape = len(variants), len(self.questions), len(facts)
        dims = ("variant", "language", "item")
        values = {}
        for name, by_question in {**answers, **per_token}.items():
            full = np.full(shape, np.nan)
            full[:, languages, items] = by_question
            values[name] = (dims, full)
        guess, constant = np.full((2, *shape[1:]), np.nan)
        for language, of_language in enumerate(self.questions.values()):
            judged = items[languages == language]
            questions = [of_language[item] for item in judged]
            guess[language, judged] = [question.guess(self.scoring) for question in questions]
            constant[language, judged] = constant_scores(questions, self.scoring)
        coords = {
            "variant": list(variants),
            "language": list(self.questions),
            "fact": ("item", list(facts)),
        }
        blind = {"guess": (dims[1:], guess), "constant": (dims[1:], constant)}
        return xr.Dataset({**values, **blind}, coords)


_tokenizer = lru_cache(maxsize=1)(read_tokenizer)  # reading takes a second, for every task


def encoded(
    model: Path, task: str, items: Mapping[str, Sequence[Item]]
) -> dict[str, list[Question]]:
    """Turn a task's items, by language, into the token ids of the model in a folder.

    Where the tokenizer puts a language's tag beside each text, it is that of the items' language;
    a decoder begins with that of the answers' language.

    Raises:
        NeuroglotError: a prompt and its answer are too long for the model; a language has no tag;
            items are asked in a chat, and the model has no chat template.
    """
    tokenizer, card = _tokenizer(model), read_card(model)
    usual = special_tokens(tokenizer.encode("a"))
    questions = {}
    for language, of_language in items.items():
        try:
            answered_in = next((item.answered_in for item in of_language), "")
            tokens = beside(card, tokenizer, usual, language, answered_in)
            questions[language] = encode(
                tokenizer,
                tokens["before"],
                of_language,
                card.context_window,
                tokens["after"] if "encoder" in card.stacks else None,
                tokens["opening"],
                read_chat(model) if any(item.chat for item in of_language) else None,
            )
        except NeuroglotError as error:
            raise NeuroglotError(f"task {task!r}, language {language!r}: {error}") from error
    return questions


@dataclass(frozen=True, eq=False, kw_only=True)
class Examiner:
    """Asks a model questions; the model is loaded when the first answers are needed.

    Attributes:
        model: folder of the model.
        device, dtype: device and precision of the model.
        positions: token positions of edits, see ``capture.answers.judge``.
        batch_tokens: number of prompt tokens per batch; None for the device's default.
    """

    model: Path
    device: str
    dtype: str
    positions: EditedPositions
    batch_tokens: int | None

    @cached_property
    def _loaded(self) -> Any:
        return load(self.model, self.device, self.dtype)

    def ask(
        self, asked: Asked, names: Sequence[str], variants: Iterable[tuple[str, EditsOf | None]]
    ) -> Piece:
        """Judge the answers to all questions that can be judged, under each variant.

        Args:
            asked: the questions.
            names: names of the variants, in the order of the result.
            variants: name and edits of each variant; a control has one entry per draw, all with
                the same name.

        Returns:
            Arrays ``[variant, question]`` named as in PER_QUESTION; the last is the number of
            edited neurons. A control has the mean over its draws, because intervals resample
            questions and not draws. NaN for a name without an entry in ``variants``.

        Raises:
            NeuroglotError: no question can be judged.
        """
        questions = asked.all_judged()
        if not questions:
            raise NeuroglotError(
                f"task {asked.task!r}: no item can be judged with the tokenizer of "
                f"{self.model.name}: {asked.obstacles(self.model)}; leave the task or the model "
                "out, or give the task's table scoring: string"
            )
        drawn, edits = zip(*variants, strict=True)
        label = f"{self.model.name} {asked.task}"
        counts = np.zeros((len(edits), len(questions)), np.int64)
        counted = [_counting(edit, of_edit) for edit, of_edit in zip(edits, counts, strict=True)]
        with progress(counts.size, "answers", label) as bar:
            answers = judge(
                self._loaded,
                questions,
                counted,
                "whole" if asked.scoring == "string" else "first",
                self.positions,
                self.batch_tokens,
                bar.update,
            )
        right = answers.written if asked.scoring == "exact" else answers.chosen
        by_draw = (right, answers.written, answers.gold_log_probability, counts)
        variant_of_draw = np.array(drawn)
        missing = np.full(len(questions), np.nan)
        return {
            quantity: np.stack(
                [
                    values[variant_of_draw == name].mean(0) if name in drawn else missing
                    for name in names
                ]
            )
            for quantity, values in zip(PER_QUESTION, by_draw, strict=True)
        }


def _counting(variant: EditsOf | None, counts: NDArray[np.int64]) -> EditsOf | None:
    """The same variant, which also writes the number of neurons it edits to ``counts [question]``.

    Controls are drawn where they are used, so counting them by themselves would draw them twice.
    """
    if variant is None:
        return None

    def counting(questions: NDArray[np.int64]) -> Sequence[Edit]:
        edits = variant(questions)
        counts[questions] = sum(edit.neurons.sum((-2, -1)) for edit in edits)
        return edits

    return counting
