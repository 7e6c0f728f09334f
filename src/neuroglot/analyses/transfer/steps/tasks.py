"""Answers in each language without its transfer neurons of either type."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.answers import PER_QUESTION, Asked, Examiner, encoded
from neuroglot.analyses.pieces import Piece, pieces
from neuroglot.analyses.transfer.measures.lists import TYPES, VARIANTS, controls, listed
from neuroglot.analyses.transfer.settings import TasksInputs, TasksSettings
from neuroglot.capture.answers import Variant
from neuroglot.measures.answers import ANSWERS, answer_statistics, by_control
from neuroglot.measures.axes import along, layer_widths
from neuroglot.measures.controls import Mask
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
    widths = layer_widths(lists["score"])
    by_task = {}
    for task in settings.tasks:
        items = _items(task, inputs.items[task], settings.languages)
        asked = Asked(task, settings.scorings[task], encoded(inputs.model, task, items))
        masks = {
            language: {neuron_type: listed(lists, neuron_type, language) for neuron_type in TYPES}
            for language in asked.questions
        }
        answers = _answers(inputs, settings, examiner, asked, masks, widths)
        by_item = asked.by_item(answers, VARIANTS, facts_of(items))
        by_task[task] = answer_statistics(by_item, settings.replicates)
    data = along("task", by_task).reindex(language=settings.languages, variant=list(VARIANTS))
    scorings = [settings.scorings[task] for task in by_task]
    return data.assign_coords(scoring=("task", scorings)).assign_attrs(
        top_n=lists.attrs["top_n"],
        **settings.model_dump(include={"task_positions", "task_random_seeds"}),
    )


def _items(
    task: str, paths: Mapping[str, Path], languages: list[str]
) -> dict[str, tuple[Item, ...]]:
    """Read a task's items by language, in the order of ``languages``; all have the same items."""
    items = {
        language: read_items(paths[language]).items for language in languages if language in paths
    }
    ids = {language: [item.id for item in asked] for language, asked in items.items()}
    check_same_items(task, ids)
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
    languages, fingerprints = {}, {}
    for language in asked.questions:
        path = inputs.work.pieces / f"{asked.task}-{language}.npz"
        languages[path] = language
        fingerprints[path] = digest(
            [
                read_card(inputs.model).sha256,
                *_of_languages(asked, [language]).identity(),
                [np.argwhere(mask).tolist() for mask in masks[language].values()],
                settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )

    def judged(missing: list[Path]) -> dict[Path, Piece]:
        unanswered = _of_languages(asked, [languages[path] for path in missing])
        variants = _variants(unanswered, masks, settings.task_random_seeds, widths)
        answers = examiner.ask(unanswered, VARIANTS, variants)
        place_of_language = unanswered.judged[:, 0]
        return {
            path: {name: values[:, place_of_language == place] for name, values in answers.items()}
            for place, path in enumerate(missing)
        }

    by_language = pieces(fingerprints, judged).values()
    return {
        name: np.concatenate([piece[name] for piece in by_language], 1) for name in PER_QUESTION
    }


def _of_languages(asked: Asked, languages: Sequence[str]) -> Asked:
    return replace(asked, questions={language: asked.questions[language] for language in languages})


def _variants(
    asked: Asked, masks: Mapping[str, Masks], seeds: int, widths: Sequence[int]
) -> Iterator[tuple[str, Variant | None]]:
    """Give every variant of VARIANTS, controls once per seed."""

    def without(by_language: NDArray[np.bool_], places: NDArray[np.int64]) -> list[Edit]:
        return [Edit(by_language[asked.judged[places, 0]])]

    yield "baseline", None
    for neuron_type in TYPES:
        of_type = {language: masks[language][neuron_type] for language in asked.questions}
        yield f"without_{neuron_type}", partial(without, np.stack(list(of_type.values())))
        drawn = (controls(mask, language, seeds, widths) for language, mask in of_type.items())
        for of_seed in zip(*drawn, strict=True):
            yield f"random_{neuron_type}", partial(without, np.stack(of_seed))


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy, chance, and log-probability of gold, by task, variant and language."""
    return {"tasks": tidy(by_control(data))}
