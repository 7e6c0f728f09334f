"""Bad tasks through the commands: each is named in one message, or left out and counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import tiny_checkpoints
from neuroglot import store
from test_cli import CAPTURE, ok, refused
from tiny_workflow import SENTENCES

TABLE = {
    "languages": {
        one: {"name": one, "family": "f", "genus": "g", "script": "Latn"} for one in ("en", "de")
    }
}
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
    settings = json.dumps({"source": "./checkpoint"})
    ok("model", "--settings", settings, "--output", "results/models/one", cwd=folder)
    return folder


def rows_of(language: str) -> list[dict]:
    answers = [answer for _, _, answer in ITEMS[language]]
    return [
        {"item": item, "prompt": prompt, "gold": [answer], "candidates": answers}
        for item, prompt, answer in ITEMS[language]
    ]


def write(place: Path, task: str, language: str, rows: list[dict]) -> Path:
    """A task's Parquet, read from a table through the command."""
    file = place / f"{task}-{language}.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    output = place / "results" / "tasks" / task / f"{language}.parquet"
    ok(*task_arguments(task, language, "rank"), cwd=place)
    return output


def task_arguments(task: str, language: str, scoring: str) -> list[object]:
    settings = {"source": "table", "path": f"{task}-{{language}}.jsonl", "scoring": scoring}
    output = f"results/tasks/{task}/{language}.parquet"
    return ["task", "--settings", json.dumps(settings), "--language", language, "--output", output]


def prompts_arguments(*paths: Path) -> list[object]:
    settings = ["--settings", json.dumps(CAPTURE), "--site", "auto"]
    return [
        *("prompts", "--model", "results/models/one", *paths, *settings),
        *("--output", "results/activations/one"),
    ]


def answers_arguments(task: str) -> list[object]:
    settings = {
        "task": task,
        "scoring": "rank",
        "languages": ["en", "de"],
        "language_table": TABLE["languages"],
        "model": "one",
        "threshold": 0.0,
        "positions": "last",
        "converted_offset": 1e-3,
        "random_seeds": 1,
        "replicates": 20,
        "device": "cpu",
        "dtype": "auto",
    }
    paths = [f"results/tasks/{task}/{one}.parquet" for one in ("en", "de")]
    stores = [f"results/activations/one/{task}/{one}.zarr" for one in ("en", "de")]
    return [
        *("reduce", "sharing", "answers", "results/models/one", *paths, *stores),
        *("--settings", json.dumps(settings), "--output", f"results/answers/{task}.zarr"),
    ]


def answers(place: Path, task: str) -> xr.Dataset:
    return store.open_dataset(place / f"results/answers/{task}.zarr", "reduction")


def test_items_that_a_language_lacks_are_named(place: Path) -> None:
    for language, rows in {"en": rows_of("en"), "de": rows_of("de")[:1]}.items():
        ok(*prompts_arguments(write(place, "lacking", language, rows)), cwd=place)
    message = refused(*answers_arguments("lacking"), cwd=place)
    assert "'b'" in message
    assert "'de'" in message
    assert "lacking" in message
    assert not (place / "results/answers/lacking.zarr" / store.RECORD).exists()


def test_answers_that_cannot_be_told_apart_are_left_out_and_counted(place: Path) -> None:
    """Of one question all candidates begin with the same token, and first tokens are ranked."""
    same = {
        "item": "d",
        "prompt": "We bought",
        "gold": [" bread"],
        "candidates": [" bread", " bread and cheese"],
    }
    for language in ("en", "de"):
        rows = [*rows_of(language), same]
        ok(*prompts_arguments(write(place, "dim", language, rows)), cwd=place)
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
    path = write(place, "long", "en", [*rows_of("en"), long])
    message = refused(*prompts_arguments(path), cwd=place)
    assert "results/tasks/long/en.parquet" in message
    assert "item long" in message
    assert "context window" in message
    assert not (place / "results/activations/one/long/en.zarr/prompts/complete.json").exists()


def test_templates_without_their_slots_are_refused(place: Path) -> None:
    settings = {"source": "facts", "paraphrases": 1, "templates": {"en": ["The capital is"]}}
    output = "results/tasks/slots/en.parquet"
    message = refused(
        *("task", "--settings", json.dumps(settings), "--language", "en", "--output", output),
        cwd=place,
    )
    assert "The capital is" in message
    assert "{" in message  # the slot that it lacks
    assert not (place / output).exists()


def test_a_kind_without_neurons_changes_nothing(place: Path) -> None:
    """Of two languages no neuron is partial-shared: its variants are the model as it is."""
    for language in ("en", "de"):
        ok(*prompts_arguments(write(place, "two", language, rows_of(language))), cwd=place)
    ok(*answers_arguments("two"), cwd=place)
    data = answers(place, "two")
    likelihood = data["log_probability"]
    for variant in ("without_partial_shared", "random_partial_shared"):
        assert (data["neurons"].sel(variant=variant) == 0).all()
        np.testing.assert_array_equal(
            likelihood.sel(variant=variant), likelihood.sel(variant="baseline")
        )


def test_changed_prompts_are_recorded_again_and_others_kept(place: Path) -> None:
    paths = [write(place, task, "en", rows_of("en")) for task in ("kept", "changed")]
    ok(*prompts_arguments(*paths), cwd=place)
    records = [
        place / f"results/activations/one/{task}/en.zarr/prompts/complete.json"
        for task in ("kept", "changed")
    ]
    before = [record.stat().st_mtime_ns for record in records]
    write(place, "changed", "en", rows_of("de"))
    ok(*prompts_arguments(*paths), cwd=place)
    after = [record.stat().st_mtime_ns for record in records]
    assert after[0] == before[0]
    assert after[1] != before[1]
