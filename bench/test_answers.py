"""Variants of edited neurons judged together, compared with one variant after another."""

from typing import Any

import numpy as np
import pytest

from comparing import MODEL, compared, sized
from neuroglot.analyses.answers import encoded
from neuroglot.capture.answers import judge
from neuroglot.capture.questions import Question
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit
from neuroglot.tasks.base import Task
from neuroglot.tasks.facts import FactsTask
from neuroglot.tasks.nli import NliTask

LANGUAGES = ["en", "de", "fr", "es", "cs", "hi", "th", "zh"][: sized(8, 1)]
VARIANTS = sized(22, 3)  # as many as `sharing` has
TASKS = {
    "facts": FactsTask(source="facts", paraphrases=1, max_items=sized(5, 2)),
    "nli": NliTask(source="nli", max_items=sized(3, 2)),
}
SHARE = 0.1  # share of a layer's neurons that an item edits


def questions(task: Task) -> list[Question]:
    """Turn a task's first items into token ids, in every language."""
    items = {language: task.read(language).items for language in LANGUAGES}
    by_language = encoded(MODEL, "asked", items)
    return [question for language in LANGUAGES for question in by_language[language]]


def own_neurons(model: Any, items: int) -> Any:
    """Make a variant that edits neurons of each item's own."""
    layers = ffns(model)
    shape = items, len(layers), layers[0].neurons
    neurons = np.random.default_rng(0).random(shape, np.float32) < SHARE
    return lambda chosen: [Edit(neurons[chosen])]


@pytest.mark.parametrize("task", TASKS)
def test_variants_together(benchmark, model, task: str) -> None:
    """Print the ratio, and answers a second."""
    asked = questions(TASKS[task])
    variants = [None, *[own_neurons(model, len(asked))] * (VARIANTS - 1)]
    scored = "whole" if task == "nli" else "first"

    def together() -> None:
        judge(model, asked, variants, scored)

    def one_by_one() -> None:
        for variant in variants:
            judge(model, asked, [variant], scored)

    measured = compared(benchmark, together, one_by_one, rounds=3)
    benchmark.extra_info["answers_per_second"] = len(asked) * VARIANTS / measured["seconds"]
