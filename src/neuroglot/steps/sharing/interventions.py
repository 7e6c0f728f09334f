"""What breaks without a kind of neurons, and what is gained by converting some (tables 2, 3, 5)."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from tokenizers import Tokenizer

from neuroglot.capture.answers import Answers, Variant, judge
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
    Prompts,
    by_task,
    encoded,
    open_prompts,
    read_task,
)
from neuroglot.tasks.base import Item

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
    languages, scorings = settings["languages"], settings["tasks"]
    prompts = open_prompts(inputs, scorings, languages)
    experiment = _Experiment(inputs, settings)
    total = sum(len(one.recorded) for one in prompts)
    with progress(total, "languages", f"{inputs.model.name} interventions") as bar:
        found = {}
        for one in prompts:
            items = read_task(inputs, one)
            questions = encoded(inputs, one.task, items)
            active = one.active(settings["threshold"])
            neurons = kinds(active.values(), one.neurons)
            pieces = {}
            for language in one.recorded:
                asked = _Asked(
                    one.task,
                    language,
                    scorings[one.task],
                    items[language],
                    questions[language],
                    neurons,
                    active[language],
                )
                pieces[language] = experiment.piece(asked)
                bar.update()
            found[one.task] = _dataset(one, pieces, settings)
    data = by_task(found).reindex(language=languages, variant=list(VARIANTS))
    return data.assign_coords(
        scoring=("task", [scorings[str(task)] for task in data["task"].values])
    ).assign_attrs(random_seeds=settings["random_seeds"], positions=settings["positions"])


@dataclass(frozen=True, eq=False)
class _Asked:
    """One language's questions, and the neurons there are to change.

    Attributes:
        kinds: of every item, ``[item, layer, byte]``.
        active: in this language, ``[item, layer, byte]``.
    """

    task: str
    language: str
    scoring: str
    items: list[Item]
    questions: list[Question]
    kinds: KindBits
    active: Bits

    def judged(self) -> NDArray[np.intp]:
        """Items that can be judged, see ``judgeable``."""
        return np.flatnonzero([judgeable(one, self.scoring) for one in self.questions])

    def variants(
        self, items: NDArray[np.intp], value: float, seeds: int
    ) -> Iterator[tuple[str, Variant | None]]:
        """Give every variant of VARIANTS, a control once for each seed.

        Args:
            items: the questions that are asked; a variant is told places in this list.
            value: what converted neurons are set to.
            seeds: draws of a control.
        """

        def without(kind: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            mask = self.kinds[items[places]].mask(kind)
            return [Edit(control(mask, seed, places), "set", 0.0)]

        def converted(name: str, seed: int | None, places: NDArray[np.int64]) -> list[Edit]:
            own = self.kinds[items[places]]
            mask = np.logical_or.reduce([own.mask(kind) for kind in CONVERTED[name]])
            mask &= ~unpack(self.active[items[places]], self.kinds.neurons)
            return [Edit(control(mask, seed, places), "set", value)]

        def control(
            mask: NDArray[np.bool_], seed: int | None, places: NDArray[np.int64]
        ) -> NDArray[np.bool_]:
            return mask if seed is None else random_like(mask, seed, items[places])

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


def written(continuation: str, gold: Sequence[str]) -> bool:
    """Say whether a continuation begins with one of the gold answers, as whole words.

    Case does not matter, nor what stands before the first letter or digit. Where answers follow
    their prompts without a blank, the script has none, and the beginning is enough.
    """
    said = _bare(continuation)
    return any(
        said.startswith(bare) and not (answer[0].isspace() and said[len(bare) :][:1].isalnum())
        for answer in gold
        if (bare := _bare(answer))
    )


def _bare(text: str) -> str:
    start = next((place for place, one in enumerate(text) if one.isalnum()), len(text))
    return text[start:].rstrip().casefold()


class _Experiment:
    """The model, loaded when the first piece is not there yet."""

    def __init__(self, inputs: Inputs, settings: dict[str, Any]) -> None:
        self._inputs, self._settings = inputs, settings
        self._tokenizer = Tokenizer.from_file(str(inputs.model / "tokenizer.json"))
        self._model: Any = None

    def piece(self, asked: _Asked) -> Piece:
        """Judge one language's answers, or read how they were judged before."""
        settings = self._settings
        keys = ("threshold", "positions", "converted_offset", "answer_tokens", "random_seeds")
        origin = digest(
            [
                self._inputs.card().sha256,
                [[one.prompt, one.gold, one.candidates] for one in asked.questions],
                asked.scoring,
                _digest(asked),
                {key: settings[key] for key in (*keys, "device", "dtype")},
                fingerprint(__name__),
            ]
        )
        path = self._inputs.pieces / f"{asked.task}.{asked.language}.npz"
        return piece(path, origin, partial(self._measure, asked))

    def _measure(self, asked: _Asked) -> Piece:
        settings, items = self._settings, asked.judged()
        if self._model is None:
            self._model = load(self._inputs.model, settings["device"], settings["dtype"])
        questions = [asked.questions[item] for item in items]
        value = settings["threshold"] + settings["converted_offset"]
        names, variants = zip(*asked.variants(items, value, settings["random_seeds"]), strict=True)
        answers = judge(
            self._model,
            questions,
            variants,
            "whole" if asked.scoring == "string" else "first",
            0 if asked.scoring == "string" else settings["answer_tokens"],
            settings["positions"],
            self._inputs.execution.batch_tokens,
        )
        exact = self._exact([asked.items[item] for item in items], answers)
        if asked.scoring == "string":
            exact[:] = np.nan  # nothing was written
        correct = exact if asked.scoring == "exact" else (answers.gold_rank == 0).astype(float)
        everyone = np.arange(len(items))
        changed = [
            sum(edit.neurons.sum((1, 2)) for edit in variant(everyone)) if variant else 0 * everyone
            for variant in variants
        ]
        rows = {
            "correct": correct,
            "exact": exact,
            "log_probability": answers.gold_log_probability,
            "neurons": np.array(changed, float),
        }
        chosen = np.array(names)
        return {
            # Of a control the mean of its seeds: items, not draws, are what is resampled.
            **{
                name: np.stack([values[chosen == one].mean(0) for one in VARIANTS])
                for name, values in rows.items()
            },
            "chance": np.array([chance(question, asked.scoring) for question in questions]),
            "excluded": np.array(len(asked.questions) - len(items)),
        }

    def _exact(self, items: Sequence[Item], answers: Answers) -> NDArray[np.float64]:
        """``[variant, item]``, 1 where the continuation is a gold answer."""
        return np.array(
            [
                [
                    float(written(self._tokenizer.decode(ids), item.gold))
                    for ids, item in zip(variant, items, strict=True)
                ]
                for variant in answers.continuation
            ]
        ).reshape(len(answers.continuation), len(items))


def _digest(asked: _Asked) -> str:
    """Of which neurons are of which kind, and active."""
    seen = hashlib.sha256(asked.active.tobytes())
    for kind in (*WITHOUT, "non_activated"):
        seen.update(asked.kinds.bits(kind).tobytes())
    return seen.hexdigest()


def _dataset(prompts: Prompts, pieces: dict[str, Piece], settings: dict[str, Any]) -> xr.Dataset:
    """One task's means over items, ``[variant, language]``, and what bounds them."""
    values = xr.concat(
        [
            xr.Dataset(
                {
                    name: (("variant", "item"), found[name])
                    for name in ("correct", "exact", "log_probability", "neurons")
                },
                coords={"variant": list(VARIANTS)},
            ).assign(chance=("item", found["chance"]))
            for found in pieces.values()
        ],
        xr.Variable("language", np.array(list(pieces), str)),
        join="outer",  # languages may differ in how many items can be judged
    ).transpose("variant", "language", "item")
    accuracy = interval(values["correct"], settings["replicates"])
    likelihood = interval(values["log_probability"], settings["replicates"])
    means = values.mean("item")
    excluded = np.array([int(found["excluded"]) for found in pieces.values()])
    variables = {
        "accuracy": (means["correct"], "share of items"),
        "accuracy_low": (accuracy[0], "share of items"),
        "accuracy_high": (accuracy[1], "share of items"),
        "exact_accuracy": (means["exact"], "share of items"),
        "log_probability": (means["log_probability"], "nats"),
        "log_probability_low": (likelihood[0], "nats"),
        "log_probability_high": (likelihood[1], "nats"),
        "neurons": (means["neurons"], "neurons"),
        "chance": (means["chance"], "share of items"),
        "items": (xr.DataArray(len(prompts.items) - excluded, dims="language"), "items"),
        "excluded": (xr.DataArray(excluded, dims="language"), "items"),
    }
    return xr.Dataset(
        {
            name: found.drop_attrs().assign_attrs(units=units, source="tables 2, 3, 5 and 6")
            for name, (found, units) in variables.items()
        }
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
