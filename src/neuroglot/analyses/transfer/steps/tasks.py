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
from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.pieces import Piece, pieces
from neuroglot.analyses.transfer.measures.controls import (
    BASELINE,
    DONE,
    Controlled,
    controlled,
    matched_shares,
    variants_of,
)
from neuroglot.analyses.transfer.measures.lists import ALL, TYPES, listed
from neuroglot.analyses.transfer.settings import TasksInputs, TasksSettings
from neuroglot.capture.batches import EditsOf
from neuroglot.measures.answers import (
    ANSWERS,
    answer_statistics,
    by_control,
    unmatched_left_out,
)
from neuroglot.measures.axes import along
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy
from neuroglot.tasks.base import Item, check_same_items, facts_of, read_items

Sets = Mapping[str, Controlled]
VARIANTS = variants_of(TYPES)

VARIABLES: Mapping[str, str] = {
    **ANSWERS,
    "variant": "the model as it is; without the language's neurons of a type (without), as many "
    "random ones of the same layers (random), or others that fire about as often (active), or the "
    "part of the neurons that has partners of like contribution (matched), or these (partner)",
    "control": "other neurons that get the same edit: naive, as many random ones; activity, those "
    "that fire about as often at the last tokens of the segments that chose the neurons; "
    "contribution, partners that contribute as much there, of the part of the neurons that has "
    "partners",
    "matched_share": "share of the neurons that have a partner of like contribution",
    "matched_contribution": "share of the neurons' contribution that comes from those with such a "
    "partner",
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
    sets = {
        language: {
            name: controlled(
                {ALL: listed(lists, name, language)}, lists, language, settings.task_random_seeds
            )
            for name in TYPES
        }
        for language in settings.languages
    }
    by_task = {}
    for task in settings.tasks:
        items = _items(task, inputs.items[task], settings.languages)
        asked = Asked(task, settings.scorings[task], encoded(inputs.model, task, items))
        answers = _answers(inputs, settings, examiner, asked, sets)
        by_item = asked.by_item(answers, VARIANTS, facts_of(items))
        by_task[task] = answer_statistics(by_item, settings.replicates)
    data = along("task", by_task).reindex(language=settings.languages, variant=VARIANTS)
    scorings = [settings.scorings[task] for task in by_task]
    return (
        unmatched_left_out(data.assign(matched_shares(sets, VARIANTS)))
        .assign_coords(scoring=("task", scorings))
        .assign_attrs(settings.model_dump(include={"task_positions", "task_random_seeds"}))
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
    sets: Mapping[str, Sets],
) -> Piece:
    """Judge the answers of languages without earlier results, with batches across languages."""
    read = {"task_positions", "task_random_seeds", *RUNNING}
    languages, fingerprints = {}, {}
    for language in asked.questions:
        path = inputs.work.pieces / f"{asked.task}-{language}.npz"
        languages[path] = language
        fingerprints[path] = digest(
            [
                read_card(inputs.model).sha256,
                *_of_languages(asked, [language]).identity(),
                [
                    [done, np.argwhere(draws).tolist()]
                    for of_set in sets[language].values()
                    for done, draws in of_set.masks.items()
                ],
                settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )

    def judged(missing: list[Path]) -> dict[Path, Piece]:
        unanswered = _of_languages(asked, [languages[path] for path in missing])
        variants = _variants(unanswered, sets)
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


def _variants(asked: Asked, sets: Mapping[str, Sets]) -> Iterator[tuple[str, EditsOf | None]]:
    """Give every variant of VARIANTS, once per draw.

    A language without a draw, because too few of its neurons have partners, is left as it is; a
    variant that no language has is left out.
    """

    def without(by_language: NDArray[np.bool_], places: NDArray[np.int64]) -> list[Edit]:
        return [Edit(by_language[asked.judged[places, 0]])]

    yield BASELINE, None
    for name in TYPES:
        of_set = [sets[language][name].masks for language in asked.questions]
        for done in DONE:
            for draw in range(max(len(masks[done]) for masks in of_set)):
                nobody = np.zeros_like(of_set[0]["without"][0, 0])
                by_language = [
                    masks[done][draw, 0] if draw < len(masks[done]) else nobody for masks in of_set
                ]
                yield f"{done}_{name}", partial(without, np.stack(by_language))


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy, chance, and log-probability of gold, by task, variant and language."""
    return {"tasks": tidy(by_control(data))}
