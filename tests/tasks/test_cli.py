"""Bad tasks through the commands: each is named in one message, or left out and counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neuroglot import layout, store
from support import tiny_checkpoints
from support.command import ok, refused
from support.tiny_workflow import SENTENCES

ITEMS = {
    "en": [("a", "The house stands on a", " hill"), ("b", "She reads a", " book")],
    "de": [("a", "Das Haus steht auf einem", " Hügel"), ("b", "Sie liest ein", " Buch")],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    folder = tmp_path_factory.mktemp("tasks")
    texts = [sentence for sentences in SENTENCES.values() for sentence in sentences]
    tiny_checkpoints.write_checkpoint(folder / "checkpoint", "llama", texts=texts, seed=0)
    configure(folder)
    ok("model", "one", cwd=folder)
    return folder


def configure(folder: Path, **tasks: dict) -> None:
    """Write the folder's configuration: a model and some tasks, or else one that is never read."""
    tasks = tasks or {"facts": {"source": "facts"}}
    config = {
        "languages": ["en", "de"],
        "models": {"one": {"source": "./checkpoint"}},
        "tasks": tasks,
        "capture": {"device": "cpu"},
        "sharing": {"tasks": list(tasks), "random_seeds": 1, "replicates": 20},
    }
    (folder / "config.yaml").write_text(json.dumps(config), "utf-8")


def rows_of(language: str) -> list[dict]:
    answers = [answer for _, _, answer in ITEMS[language]]
    return [
        {"item": item, "prompt": prompt, "gold": [answer], "candidates": answers}
        for item, prompt, answer in ITEMS[language]
    ]


def write(place: Path, task: str, *others: str, **rows: list[dict]) -> None:
    """Write a task's items by language, configure it, beside others, and read it from the table."""
    for language, own in rows.items():
        file = place / f"{task}-{language}.jsonl"
        file.write_text("\n".join(json.dumps(row) for row in own), "utf-8")
    tables = {
        one: {"source": "table", "path": f"{one}-{{language}}.jsonl", "scoring": "rank"}
        for one in (*others, task)
    }
    configure(place, **tables)
    for language in rows:
        ok("task", task, language, cwd=place)


def prompts(language: str, *tasks: str) -> list[str]:
    """The arguments that record tasks' prompts."""
    return ["record", "one", language, *(f"{task}/prompts" for task in tasks)]


def answers_arguments(task: str) -> list[str]:
    return ["step", "sharing", "answers", "--model", "one", "--part", task]


def answers(place: Path, task: str) -> xr.Dataset:
    path = layout.reduction("sharing", "answers", "one", task)
    return store.open_dataset(place / path, "reduction")


def test_items_that_a_language_lacks_are_named(place: Path) -> None:
    write(place, "lacking", en=rows_of("en"), de=rows_of("de")[:1])
    for language in ("en", "de"):
        ok(*prompts(language, "lacking"), cwd=place)
    message = refused(*answers_arguments("lacking"), cwd=place)
    assert "'b'" in message
    assert "'de'" in message
    assert "lacking" in message
    path = layout.reduction("sharing", "answers", "one", "lacking")
    assert not layout.done(place / path).exists()


def test_answers_that_cannot_be_told_apart_are_left_out_and_counted(place: Path) -> None:
    """Of one question all candidates begin with the same token, and first tokens are ranked."""
    same = {
        "item": "d",
        "prompt": "We bought",
        "gold": [" bread"],
        "candidates": [" bread", " bread and cheese"],
    }
    write(place, "dim", en=[*rows_of("en"), same], de=[*rows_of("de"), same])
    for language in ("en", "de"):
        ok(*prompts(language, "dim"), cwd=place)
    ok(*answers_arguments("dim"), cwd=place)
    found = answers(place, "dim")
    assert (found["items"] == 2).all()
    assert (found["excluded"] == 1).all()
    assert (found["chance"] == 0.5).all()


def test_a_prompt_beyond_the_context_window_is_named(place: Path) -> None:
    long = {
        "item": "long",
        "prompt": "house " * 4000,
        "gold": [" hill"],
        "candidates": [" hill", " b"],
    }
    write(place, "long", en=[*rows_of("en"), long], de=rows_of("de"))
    message = refused(*prompts("en", "long"), cwd=place)
    assert "results/tasks/long/en.parquet" in message
    assert "item long" in message
    assert "context window" in message
    assert not (place / "results/activations/one/long/en.zarr/prompts/complete.json").exists()


def test_templates_without_their_slots_are_refused(place: Path) -> None:
    templates = {"en": ["The capital is"]}
    configure(place, slots={"source": "facts", "paraphrases": 1, "templates": templates})
    message = refused("task", "slots", "en", cwd=place)
    assert "The capital is" in message
    assert "{" in message  # the slot that it lacks
    assert not (place / layout.items("slots", "en")).exists()


def test_a_kind_without_neurons_changes_nothing(place: Path) -> None:
    """Of two languages no neuron is partial-shared: its variants are the model as it is."""
    write(place, "two", en=rows_of("en"), de=rows_of("de"))
    for language in ("en", "de"):
        ok(*prompts(language, "two"), cwd=place)
    ok(*answers_arguments("two"), cwd=place)
    data = answers(place, "two")
    likelihood = data["log_probability"]
    for variant in ("without_partial_shared", "random_partial_shared"):
        assert (data["neurons"].sel(variant=variant) == 0).all()
        np.testing.assert_array_equal(
            likelihood.sel(variant=variant), likelihood.sel(variant="baseline")
        )


def test_changed_prompts_are_recorded_again_and_others_kept(place: Path) -> None:
    write(place, "kept", en=rows_of("en"), de=rows_of("de"))
    write(place, "changed", "kept", en=rows_of("en"), de=rows_of("de"))
    ok(*prompts("en", "kept", "changed"), cwd=place)
    records = [
        place / f"results/activations/one/{task}/en.zarr/prompts/complete.json"
        for task in ("kept", "changed")
    ]
    before = [record.stat().st_mtime_ns for record in records]
    write(place, "changed", "kept", en=rows_of("de"))
    ok(*prompts("en", "kept", "changed"), cwd=place)
    after = [record.stat().st_mtime_ns for record in records]
    assert after[0] == before[0]
    assert after[1] != before[1]
