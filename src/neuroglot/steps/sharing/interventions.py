"""What breaks without a kind of neurons, and what is gained by converting some (tables 2, 3, 5)."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.answers import Variant, judge
from neuroglot.capture.questions import Question
from neuroglot.measures.bootstrap import interval
from neuroglot.measures.sharing import Bits, KindBits, kinds, unpack
from neuroglot.models.intervene import Edit, random_like
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.pieces import Piece, piece
from neuroglot.steps.reduce import tidy
from neuroglot.steps.sharing.prompts import (
    by_task,
    encoded,
    open_prompts,
    read_task,
)

WITHOUT = ("all_shared", "partial_shared", "specific")
CONVERTED = {
    "specific": ("specific",),
    "partial_shared": ("partial_shared",),
    "both": ("specific", "partial_shared"),
}
VARIANTS = (
    "baseline",
    *(f"without_{kind}" for kind in WITHOUT),
    *(f"random_{kind}" for kind in WITHOUT),
    *(f"converted_{kinds}" for kinds in CONVERTED),
    *(f"random_converted_{kinds}" for kinds in CONVERTED),
)


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Let the model answer every question as it is, without each kind, and with some converted."""
    scorings = settings["tasks"]
    experiment = _Experiment(inputs, settings)
    found = {}
    for one in open_prompts(inputs, scorings, settings["languages"]):
        active = one.active(settings["threshold"])
        asked = _Asked(
            one.task,
            scorings[one.task],
            encoded(inputs, one.task, read_task(inputs, one)),
            kinds(active.values(), one.neurons),
            np.stack(list(active.values())),
        )
        found[one.task] = _dataset(asked, experiment.piece(asked), settings)
    data = by_task(found).reindex(language=settings["languages"], variant=list(VARIANTS))
    return data.assign_coords(
        scoring=("task", [scorings[str(task)] for task in data["task"].values])
    ).assign_attrs(random_seeds=settings["random_seeds"], positions=settings["positions"])


@dataclass(frozen=True, eq=False)
class _Asked:
    """One task's questions in all languages, and the neurons there are to change.

    Attributes:
        questions: by language.
        kinds: of every item, ``[item, layer, byte]``.
        active: ``[language, item, layer, byte]``.
    """

    task: str
    scoring: str
    questions: Mapping[str, Sequence[Question]]
    kinds: KindBits
    active: Bits

    @cached_property
    def judged(self) -> NDArray[np.intp]:
        """``[question, 2]``: place of the language and of the item of all that can be judged."""
        found = [[judgeable(one, self.scoring) for one in own] for own in self.questions.values()]
        return np.argwhere(found)

    def all_judged(self) -> list[Question]:
        """The questions that can be judged, language after language."""
        own = list(self.questions.values())
        return [own[language][item] for language, item in self.judged]

    def variants(self, value: float, seeds: int) -> Iterator[tuple[str, Variant | None]]:
        """Give every variant of VARIANTS for the judged questions, a control once for each seed.

        Args:
            value: what converted neurons are set to.
            seeds: draws of a control.
        """

        def without(kind: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            mask = self.kinds[self.judged[places, 1]].mask(kind)
            return [Edit(control(mask, seed, places), "set", 0.0)]

        def converted(name: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            languages, items = self.judged[places].T
            own = self.kinds[items]
            mask = np.logical_or.reduce([own.mask(kind) for kind in CONVERTED[name]])
            mask &= ~unpack(self.active[languages, items], self.kinds.neurons)
            return [Edit(control(mask, seed, places), "set", value)]

        def control(
            mask: NDArray[np.bool_], seed: int | None, places: NDArray[np.int64]
        ) -> NDArray[np.bool_]:
            return mask if seed is None else random_like(mask, seed, places)

        yield "baseline", None
        for kind in WITHOUT:
            yield f"without_{kind}", partial(without, kind, None)
            for seed in range(seeds):
                yield f"random_{kind}", partial(without, kind, seed)
        for name in CONVERTED:
            yield f"converted_{name}", partial(converted, name, None)
            for seed in range(seeds):
                yield f"random_converted_{name}", partial(converted, name, seed)


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


class _Experiment:
    """The model, loaded when the first piece is not there yet."""

    def __init__(self, inputs: Inputs, settings: dict[str, Any]) -> None:
        self._inputs, self._settings = inputs, settings
        self._model: Any = None

    def piece(self, asked: _Asked) -> Piece:
        """Judge one task's answers, or read how they were judged before."""
        settings = self._settings
        keys = ("threshold", "positions", "converted_offset", "random_seeds", "device", "dtype")
        origin = digest(
            [
                self._inputs.card().sha256,
                [[one.prompt, one.gold, one.candidates] for one in asked.all_judged()],
                asked.scoring,
                _digest(asked),
                {key: settings[key] for key in keys},
                fingerprint(__name__),
            ]
        )
        path = self._inputs.pieces / f"{asked.task}.npz"
        return piece(path, origin, partial(self._measure, asked))

    def _measure(self, asked: _Asked) -> Piece:
        """``[variant, question]`` of the judged questions; of a control the mean of its seeds.

        Questions, not draws, are what is resampled.
        """
        settings, questions = self._settings, asked.all_judged()
        if self._model is None:
            self._model = load(self._inputs.model, settings["device"], settings["dtype"])
        value = settings["threshold"] + settings["converted_offset"]
        names, variants = zip(*asked.variants(value, settings["random_seeds"]), strict=True)
        label = f"{self._inputs.model.name} {asked.task}"
        with progress(len(questions) * len(variants), "answers", label) as bar:
            answers = judge(
                self._model,
                questions,
                variants,
                "whole" if asked.scoring == "string" else "first",
                settings["positions"],
                self._inputs.execution.batch_tokens,
                bar.update,
            )
        right = answers.written if asked.scoring == "exact" else answers.gold_rank == 0
        rows = {
            "correct": right,
            "exact": answers.written,
            "log_probability": answers.gold_log_probability,
            "neurons": np.stack([_changed(variant, len(questions)) for variant in variants]),
        }
        chosen = np.array(names)
        return {
            name: np.stack([values[chosen == one].mean(0) for one in VARIANTS])
            for name, values in rows.items()
        }


def _changed(variant: Variant | None, questions: int) -> NDArray[np.int64]:
    """How many neurons a variant changes, ``[question]``, one question in memory at a time."""
    if variant is None:
        return np.zeros(questions, np.int64)
    edits = (variant(np.array([place])) for place in range(questions))
    return np.array([sum(int(edit.neurons.sum()) for edit in own) for own in edits])


def _digest(asked: _Asked) -> str:
    """Of which neurons are of which kind, and active."""
    seen = hashlib.sha256(asked.active.tobytes())
    for kind in (*WITHOUT, "non_activated"):
        seen.update(asked.kinds.bits(kind).tobytes())
    return seen.hexdigest()


def _dataset(asked: _Asked, found: Piece, settings: dict[str, Any]) -> xr.Dataset:
    """One task's means over items, ``[variant, language]``, and what bounds them."""
    languages, items = asked.judged.T
    shape = len(VARIANTS), len(asked.questions), len(next(iter(asked.questions.values())))
    coords = {"variant": list(VARIANTS), "language": list(asked.questions)}
    values = {}
    for name, by_question in found.items():
        full = np.full(shape, np.nan)
        full[:, languages, items] = by_question
        values[name] = xr.DataArray(full, coords, ("variant", "language", "item"))
    guess = np.full(shape[1:], np.nan)
    guess[languages, items] = [chance(one, asked.scoring) for one in asked.all_judged()]
    judged = np.isfinite(guess).sum(1)
    accuracy = interval(values["correct"], settings["replicates"])
    likelihood = interval(values["log_probability"], settings["replicates"])
    variables: dict[str, tuple[Any, str]] = {
        "accuracy": (values["correct"].mean("item"), "share of items"),
        "accuracy_low": (accuracy[0], "share of items"),
        "accuracy_high": (accuracy[1], "share of items"),
        "exact_accuracy": (values["exact"].mean("item"), "share of items"),
        "log_probability": (values["log_probability"].mean("item"), "nats"),
        "log_probability_low": (likelihood[0], "nats"),
        "log_probability_high": (likelihood[1], "nats"),
        "neurons": (values["neurons"].mean("item"), "neurons"),
        "chance": (xr.DataArray(guess, dims=("language", "item")).mean("item"), "share of items"),
        "items": (xr.DataArray(judged, dims="language"), "items"),
        "excluded": (xr.DataArray(shape[2] - judged, dims="language"), "items"),
    }
    source = "tables 2, 3, 5 and 6"
    return xr.Dataset(
        {
            name: variable.drop_attrs().assign_attrs(units=units, source=source)
            for name, (variable, units) in variables.items()
        },
        coords=coords,
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy beside chance, and log-probability of gold, by task, variant and language."""
    chosen = ["accuracy", "accuracy_low", "accuracy_high", "exact_accuracy", "neurons"]
    likelihood = [name for name in data if str(name).startswith("log_probability")]
    stated = ["chance", "items", "excluded"]
    return {
        "accuracy": tidy(data[[*chosen, *stated]]),
        "log_probability": tidy(data[[*likelihood, "items", "excluded"]]),
    }
