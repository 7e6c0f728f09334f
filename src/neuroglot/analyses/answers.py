"""Asks a task's questions while neurons are edited, and sums up the answers by language."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.pieces import Piece
from neuroglot.capture.answers import Variant, judge
from neuroglot.capture.questions import Question
from neuroglot.measures.bootstrap import interval
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.steps.inputs import Inputs

FOUND = ("correct", "exact", "log_probability", "neurons")


@dataclass(frozen=True, eq=False)
class Asked:
    """One task's questions, the same items in every language.

    Attributes:
        task: id.
        scoring: of the task.
        questions: by language.
    """

    task: str
    scoring: str
    questions: Mapping[str, Sequence[Question]]

    @cached_property
    def judged(self) -> NDArray[np.intp]:
        """``[question, 2]``: place of the language and of the item of all that can be judged."""
        found = [[judgeable(one, self.scoring) for one in own] for own in self.questions.values()]
        return np.argwhere(found)

    def all_judged(self) -> list[Question]:
        """The questions that can be judged, language after language."""
        own = list(self.questions.values())
        return [own[language][item] for language, item in self.judged]

    def identity(self) -> list[Any]:
        """What the answers depend on but for the model and its edits."""
        return [[[q.prompt, q.gold, q.candidates] for q in self.all_judged()], self.scoring]


def judgeable(question: Question, scoring: str) -> bool:
    """Say whether an item can tell a right answer from wrong ones.

    Not where a prompt or an answer has no token, nor, where first tokens are ranked, if the right
    answer begins with the same token as all other candidates.
    """
    if not question.complete:
        return False
    first = {answer[0] for answer in question.candidates}
    return scoring != "rank" or len(first) > 1


def chance(question: Question, scoring: str) -> float:
    """How often a guess among the candidates is right; 0 where the answer is written freely."""
    if scoring == "exact":
        return 0.0
    first = {answer[0] for answer in question.candidates}
    return 1 / (len(first) if scoring == "rank" else len(question.candidates))


class Examiner:
    """Has a model answer; it is loaded when the first answers are not kept yet."""

    def __init__(self, inputs: Inputs, settings: dict[str, Any], positions: Any) -> None:
        self._inputs, self._settings, self._positions = inputs, settings, positions
        self._model: Any = None

    def ask(
        self, asked: Asked, names: Sequence[str], variants: Iterable[tuple[str, Variant | None]]
    ) -> Piece:
        """Judge the answers to all questions that can be judged under each variant.

        Args:
            asked: the questions.
            names: of the variants, in the order wanted.
            variants: name and edits of each; a control has one for each draw, of the same name.

        Returns:
            By the names of FOUND, the last being how many neurons are edited,
            ``[variant, question]``; of a control the mean of its draws, since questions, not draws,
            are what is resampled.
        """
        settings, questions = self._settings, asked.all_judged()
        if self._model is None:
            self._model = load(self._inputs.model, settings["device"], settings["dtype"])
        drawn, edits = zip(*variants, strict=True)
        label = f"{self._inputs.model.name} {asked.task}"
        with progress(len(questions) * len(edits), "answers", label) as bar:
            answers = judge(
                self._model,
                questions,
                edits,
                "whole" if asked.scoring == "string" else "first",
                self._positions,
                self._inputs.execution.batch_tokens,
                bar.update,
            )
        right = answers.written if asked.scoring == "exact" else answers.gold_rank == 0
        edited = np.stack([_changed(variant, len(questions)) for variant in edits])
        rows = dict(
            zip(FOUND, (right, answers.written, answers.gold_log_probability, edited), strict=True)
        )
        chosen = np.array(drawn)
        return {
            name: np.stack([values[chosen == one].mean(0) for one in names])
            for name, values in rows.items()
        }


def _changed(variant: Variant | None, questions: int) -> NDArray[np.int64]:
    """How many neurons a variant changes, ``[question]``, one question in memory at a time."""
    if variant is None:
        return np.zeros(questions, np.int64)
    edits = (variant(np.array([place])) for place in range(questions))
    return np.array([sum(int(edit.neurons.sum(dtype=int)) for edit in own) for own in edits])


def control(variant: str) -> str:
    """Name a variant's control: ``random_x`` of ``without_x``, ``random_y`` of any other ``y``."""
    return f"random_{variant.removeprefix('without_')}"


def summed_up(asked: Asked, found: Piece, variants: Sequence[str], replicates: int) -> xr.Dataset:
    """Average a task's answers over items, ``[variant, language]``, and state what bounds them.

    Beside each mean of ``accuracy`` and ``log_probability`` stand its ``…_difference`` from the
    variant ``baseline`` and its ``…_excess`` over the variant's ``control``, NaN where it has none.
    Both are means of each item's own difference: variants judge the same items, which are drawn
    together, so that what an item is worth in all of them does not widen the interval.

    Args:
        asked: the questions, of all languages.
        found: what ``Examiner.ask`` gives of them.
        variants: names, in the order of ``found``.
        replicates: bootstrap samples of items.
    """
    languages, items = asked.judged.T
    shape = len(variants), len(asked.questions), len(next(iter(asked.questions.values())))
    coords = {"variant": list(variants), "language": list(asked.questions)}
    values = {}
    for name, by_question in found.items():
        full = np.full(shape, np.nan)
        full[:, languages, items] = by_question
        values[name] = xr.DataArray(full, coords, ("variant", "language", "item"))
    guess = np.full(shape[1:], np.nan)
    guess[languages, items] = [chance(one, asked.scoring) for one in asked.all_judged()]
    judged = np.isfinite(guess).sum(1)
    variables: dict[str, tuple[Any, str]] = {
        **_compared("accuracy", values["correct"], "share of items", replicates),
        **_compared("log_probability", values["log_probability"], "nats", replicates),
        "exact_accuracy": (values["exact"].mean("item"), "share of items"),
        "neurons": (values["neurons"].mean("item"), "neurons"),
        "chance": (xr.DataArray(guess, dims=("language", "item")).mean("item"), "share of items"),
        "items": (xr.DataArray(judged, dims="language"), "items"),
        "excluded": (xr.DataArray(shape[2] - judged, dims="language"), "items"),
    }
    return xr.Dataset(
        {
            name: variable.drop_attrs().assign_attrs(units=units)
            for name, (variable, units) in variables.items()
        },
        coords=coords,
    )


def _compared(
    name: str, values: xr.DataArray, units: str, replicates: int
) -> dict[str, tuple[xr.DataArray, str]]:
    """Means of ``values(variant, language, item)``, less the baseline's, and less the control's."""
    controls = values.reindex(variant=[control(str(one)) for one in values["variant"].values])
    by_item = {
        name: values,
        f"{name}_difference": values - values.sel(variant="baseline", drop=True),
        f"{name}_excess": values - controls.assign_coords(variant=values["variant"]),
    }
    bounds = {key: interval(own, replicates) for key, own in by_item.items()}
    means = {key: own.mean("item") for key, own in by_item.items()}
    found = {
        name + end: one
        for name, mean in means.items()
        for end, one in zip(("", "_low", "_high"), (mean, *bounds[name]), strict=True)
    }
    return {key: (one, units) for key, one in found.items()}
