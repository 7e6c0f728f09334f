"""Answers in each language without its transfer neurons of either type."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.answers import PER_QUESTION, Asked, Examiner, encoded
from neuroglot.analyses.pieces import Piece, pieces
from neuroglot.analyses.transfer.measures.lists import TYPES, VARIANTS, Mask, controls, listed
from neuroglot.analyses.transfer.settings import TasksInputs, TasksSettings
from neuroglot.capture.answers import Variant
from neuroglot.measures.answers import ANSWERS, answer_statistics
from neuroglot.measures.axes import along, layer_widths
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy
from neuroglot.tasks.base import Item, check_same_items, facts_of, read_items

Masks = Mapping[str, Mask]

VARIABLES: Mapping[str, str] = {
    **ANSWERS,
    "variant": "the model as it is, without the language's neurons of a type, or without as many "
    "random ones of the same layers",
}


def compute(inputs: TasksInputs, settings: TasksSettings) -> xr.Dataset:
    """Let the model answer each language's questions without the neurons listed for it."""
    lists = store.open_dataset(inputs.neurons, "reduction")
    examiner = Examiner(
        model=inputs.model,
        device=settings.device,
        dtype=settings.dtype,
        positions=settings.task_positions,
        batch_tokens=inputs.work.execution.batch_tokens,
    )
    found, scorings = {}, settings.scorings
    for task in settings.tasks:
        items = _items(task, inputs.items[task], settings.languages)
        questions = encoded(inputs.model, task, items)
        asked = Asked(task, scorings[task], questions)
        masks = {
            language: {kind: listed(lists, kind, language) for kind in TYPES}
            for language in questions
        }
        widths = layer_widths(lists["score"])
        judged = _answers(inputs, settings, examiner, asked, masks, widths)
        answers = asked.by_item(judged, VARIANTS, facts_of(items))
        found[task] = answer_statistics(answers, settings.replicates)
    data = along("task", found).reindex(language=settings.languages, variant=list(VARIANTS))
    return data.assign_coords(scoring=("task", [scorings[task] for task in found])).assign_attrs(
        top_n=lists.attrs["top_n"],
        **settings.model_dump(include={"task_positions", "task_random_seeds"}),
    )


def _items(
    task: str, paths: Mapping[str, Path], languages: list[str]
) -> dict[str, tuple[Item, ...]]:
    """Read a task's items by language, in the order of ``languages``; all have the same items."""
    items = {one: read_items(paths[one]).items for one in languages if one in paths}
    check_same_items(task, {one: [item.id for item in own] for one, own in items.items()})
    return items


def _answers(
    inputs: TasksInputs,
    settings: TasksSettings,
    examiner: Examiner,
    asked: Asked,
    masks: Mapping[str, Masks],
    widths: Sequence[int],
) -> Piece:
    """Judge the answers of languages without earlier results, with batches across languages."""
    read = {"task_positions", "task_random_seeds", "device", "dtype"}
    paths, fingerprints = {}, {}
    for language, own in asked.questions.items():
        path = inputs.work.pieces / f"{asked.task}-{language}.npz"
        paths[path] = language
        fingerprints[path] = digest(
            [
                read_card(inputs.model).sha256,
                *Asked(asked.task, asked.scoring, {language: own}).identity(),
                [np.argwhere(mask).tolist() for mask in masks[language].values()],
                settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )

    def judged(missing: list[Path]) -> dict[Path, Piece]:
        together = {paths[path]: asked.questions[paths[path]] for path in missing}
        some = Asked(asked.task, asked.scoring, together)
        variants = _variants(some, masks, settings.task_random_seeds, widths)
        answers, of_language = examiner.ask(some, VARIANTS, variants), some.judged[:, 0]
        return {
            path: {name: values[:, of_language == place] for name, values in answers.items()}
            for place, path in enumerate(missing)
        }

    found = pieces(fingerprints, judged).values()
    return {name: np.concatenate([one[name] for one in found], 1) for name in PER_QUESTION}


def _variants(
    asked: Asked, masks: Mapping[str, Masks], seeds: int, widths: Sequence[int]
) -> Iterator[tuple[str, Variant | None]]:
    """Give every variant of VARIANTS, controls once per seed."""

    def without(by_language: NDArray[np.bool_], places: NDArray[np.int64]) -> list[Edit]:
        return [Edit(by_language[asked.judged[places, 0]])]

    yield "baseline", None
    for kind in TYPES:
        own = {language: masks[language][kind] for language in asked.questions}
        yield f"without_{kind}", partial(without, np.stack(list(own.values())))
        drawn = (controls(mask, language, seeds, widths) for language, mask in own.items())
        for of_seed in zip(*drawn, strict=True):
            yield f"random_{kind}", partial(without, np.stack(of_seed))


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy, chance, and log-probability of gold, by task, variant and language."""
    return {"tasks": tidy(data)}
