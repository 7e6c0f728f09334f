"""What a language's answers lose without its neurons of either type."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.answers import Variant
from neuroglot.models.intervene import Edit
from neuroglot.provenance import digest, fingerprint
from neuroglot.steps.answers import Asked, Examiner, summed_up
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.pieces import Piece, piece
from neuroglot.steps.reduce import tidy
from neuroglot.steps.sharing.prompts import by_task, encoded
from neuroglot.steps.transfer.deactivation import controls
from neuroglot.steps.transfer.neurons import TYPES, listed
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
    found = {}
    for task, scoring in settings["tasks"].items():
        questions = encoded(inputs, task, _items(inputs, task, settings["languages"]))
        pieces = []
        for language, own in questions.items():
            asked = Asked(task, scoring, {language: own})
            masks = {kind: listed(lists, kind, language) for kind in TYPES}
            pieces.append(_piece(inputs, settings, examiner, asked, masks))
        answers = {key: np.concatenate([one[key] for one in pieces], 1) for key in pieces[0]}
        asked = Asked(task, scoring, questions)
        found[task] = summed_up(asked, answers, VARIANTS, settings["replicates"])
    data = by_task(found).reindex(language=settings["languages"], variant=list(VARIANTS))
    return data.assign_coords(scoring=("task", list(settings["tasks"].values()))).assign_attrs(
        top_n=lists.attrs["top_n"],
        **{key: settings[key] for key in ("task_positions", "random_seeds")},
    )


def _items(inputs: Inputs, task: str, languages: list[str]) -> dict[str, Any]:
    """A task's items by language, in the order of ``languages``; the same in each."""
    paths = {(path.parent.name, path.stem): path for path in inputs.texts}
    read = [language for language in languages if (task, language) in paths]
    items = {language: read_items(paths[task, language]).items for language in read}
    check_same_items(task, {one: [item.id for item in own] for one, own in items.items()})
    return items


def _piece(
    inputs: Inputs, settings: dict[str, Any], examiner: Examiner, asked: Asked, masks: Masks
) -> Piece:
    """Judge one language's answers to a task, or read how they were judged before."""
    [language] = asked.questions
    seeds = settings["random_seeds"]
    origin = digest(
        [
            inputs.card().sha256,
            *asked.identity(),
            [np.argwhere(mask).tolist() for mask in masks.values()],
            {key: settings[key] for key in ("task_positions", "random_seeds", "device", "dtype")},
            fingerprint(__name__),
        ]
    )
    path = inputs.pieces / f"{asked.task}-{language}.npz"
    return piece(
        path, origin, lambda: examiner.ask(asked, VARIANTS, _variants(masks, language, seeds))
    )


def _variants(masks: Masks, language: str, seeds: int) -> Iterator[tuple[str, Variant | None]]:
    """Give every variant of VARIANTS, a control once for each seed."""

    def without(mask: NDArray[np.bool_], _items: NDArray[np.int64]) -> list[Edit]:
        return [Edit(mask)]

    yield "baseline", None
    for kind, own in masks.items():
        yield f"without_{kind}", partial(without, own)
        for drawn in controls(own, language, seeds):
            yield f"random_{kind}", partial(without, drawn)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy beside chance, and log-probability of gold, by task, variant and language."""
    return {"tasks": tidy(data)}
