"""What a language's answers lose without its neurons of either type."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot.analyses.answers import FOUND, Asked, Examiner, summed_up
from neuroglot.analyses.pieces import Piece, pieces
from neuroglot.analyses.sharing.prompts import by_task, encoded
from neuroglot.analyses.transfer.steps.deactivation import controls
from neuroglot.analyses.transfer.steps.neurons import TYPES, listed
from neuroglot.capture.answers import Variant
from neuroglot.models.intervene import Edit
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy
from neuroglot.tasks.base import check_same_items, read_items

VARIANTS = (
    "baseline",
    *(f"without_{kind}" for kind in TYPES),
    *(f"random_{kind}" for kind in TYPES),
)
Masks = Mapping[str, NDArray[np.bool_]]


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Let the model answer each language's questions without the neurons listed for it."""
    lists = inputs.reduction("transfer/neurons")
    examiner = Examiner(inputs, settings, settings["task_positions"])
    found, scorings = {}, settings["scorings"]
    for task in settings["tasks"]:
        questions = encoded(inputs, task, _items(inputs, task, settings["languages"]))
        asked = Asked(task, scorings[task], questions)
        masks = {
            language: {kind: listed(lists, kind, language) for kind in TYPES}
            for language in questions
        }
        answers = _answers(inputs, settings, examiner, asked, masks)
        found[task] = summed_up(asked, answers, VARIANTS, settings["replicates"])
    data = by_task(found).reindex(language=settings["languages"], variant=list(VARIANTS))
    return data.assign_coords(scoring=("task", [scorings[task] for task in found])).assign_attrs(
        top_n=lists.attrs["top_n"],
        **{key: settings[key] for key in ("task_positions", "task_random_seeds")},
    )


def _items(inputs: Inputs, task: str, languages: list[str]) -> dict[str, Any]:
    """A task's items by language, in the order of ``languages``; the same in each."""
    paths = {(path.parent.name, path.stem): path for path in inputs.texts}
    read = [language for language in languages if (task, language) in paths]
    items = {language: read_items(paths[task, language]).items for language in read}
    check_same_items(task, {one: [item.id for item in own] for one, own in items.items()})
    return items


def _answers(
    inputs: Inputs,
    settings: dict[str, Any],
    examiner: Examiner,
    asked: Asked,
    masks: Mapping[str, Masks],
) -> Piece:
    """Judge the answers of the languages that were not judged before, in batches of all of them."""
    keys = ("task_positions", "task_random_seeds", "device", "dtype")
    paths, fingerprints = {}, {}
    for language, own in asked.questions.items():
        path = inputs.pieces / f"{asked.task}-{language}.npz"
        paths[path] = language
        fingerprints[path] = digest(
            [
                inputs.card().sha256,
                *Asked(asked.task, asked.scoring, {language: own}).identity(),
                [np.argwhere(mask).tolist() for mask in masks[language].values()],
                {key: settings[key] for key in keys},
                fingerprint(__name__),
            ]
        )

    def judged(missing: list[Path]) -> dict[Path, Piece]:
        together = {paths[path]: asked.questions[paths[path]] for path in missing}
        some = Asked(asked.task, asked.scoring, together)
        variants = _variants(some, masks, settings["task_random_seeds"])
        answers, of_language = examiner.ask(some, VARIANTS, variants), some.judged[:, 0]
        return {
            path: {name: values[:, of_language == place] for name, values in answers.items()}
            for place, path in enumerate(missing)
        }

    found = pieces(fingerprints, judged).values()
    return {name: np.concatenate([one[name] for one in found], 1) for name in FOUND}


def _variants(
    asked: Asked, masks: Mapping[str, Masks], seeds: int
) -> Iterator[tuple[str, Variant | None]]:
    """Give every variant of VARIANTS, a control once for each seed."""

    def without(by_language: NDArray[np.bool_], places: NDArray[np.int64]) -> list[Edit]:
        return [Edit(by_language[asked.judged[places, 0]])]

    yield "baseline", None
    for kind in TYPES:
        own = {language: masks[language][kind] for language in asked.questions}
        yield f"without_{kind}", partial(without, np.stack(list(own.values())))
        for drawn in zip(
            *(controls(mask, language, seeds) for language, mask in own.items()), strict=True
        ):
            yield f"random_{kind}", partial(without, np.stack(drawn))


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy beside chance, and log-probability of gold, by task, variant and language."""
    return {"tasks": tidy(data)}
