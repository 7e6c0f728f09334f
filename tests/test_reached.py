"""What steps execute is within what their fingerprints count."""

from collections.abc import Callable
from typing import Any

import pytest
from neuroglot.steps import capture, corpus, draw, model, reduce, task, tokens

import tiny_checkpoints
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    RecordingPlan,
    RolesRecording,
)
from tracing import executed, unreached

TEXTS = {
    "en": ["a house", "the old ship", "we read books", "a river begins"],
    "de": ["ein Haus", "das alte Schiff", "wir lesen", "ein Fluss beginnt"],
    "es": ["una casa", "el barco viejo", "leemos", "nace un río"],
}
COMMON: dict[str, Any] = {
    "languages": list(TEXTS),
    "language_table": {
        one: {"name": one, "family": "one", "genus": "one", "script": "Latn"} for one in TEXTS
    },
    "pivot": "en",
    "model": "one",
    "replicates": 20,
}
ROLES = {
    "corpora": ["plain"],
    "rule": "nonzero",
    "threshold": 0.0,
    "scale": "minmax",
    "combinator_gelu": True,
    "heatmap_layers": [0.0, 1.0],
    "heatmap_rows": 5,
}
LAPE = {"site": "auto", "percentile": 0.9, "top_fraction": 0.2, "permutations": 5}
TRANSFER = {
    "pool": "last",
    "type1_layers": 0.5,
    "top_n": 5,
    "top_fraction": None,
    "device": "cpu",
    "dtype": "float32",
}
SETTINGS = CaptureSettings(device="cpu", dtype="float32")
LLAMA = "neuroglot.models.architectures:ARCHITECTURES[llama]"
STEPS = "neuroglot.steps"


REDUCTIONS = {
    "roles": ("flatness", "dominant_neurons", "rank_correlation", "distance"),
    "lape": ("neurons",),
    "transfer": ("neurons",),
}
SETTINGS_OF = {"roles": ROLES, "lape": LAPE, "transfer": TRANSFER}
FAMILIES = {"roles": "flatness", "lape": "neurons", "transfer": "neurons"}
TARGETS: dict[str, tuple[str, ...]] = {
    "model": (f"{STEPS}.model:run", LLAMA),
    "corpus": (f"{STEPS}.corpus:run", "neuroglot.corpora.text:TextCorpus"),
    "task": (f"{STEPS}.task:run", "neuroglot.tasks.facts:FactsTask"),
    "tokens": (f"{STEPS}.tokens:run",),
    "recording": (f"{STEPS}.capture:run", LLAMA),
    "states": (f"{STEPS}.capture:run_states", LLAMA),
    "prompts": (f"{STEPS}.capture:run_prompts", LLAMA),
    **{
        f"{paper}.{name}": (f"{STEPS}.reduce:run", f"{STEPS}.{paper}.{name}", LLAMA)
        for paper, names in REDUCTIONS.items()
        for name in names
    },
    **{
        f"figures.{paper}": (f"{STEPS}.draw:run", f"neuroglot.figures.{paper}.{family}")
        for paper, family in FAMILIES.items()
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run every step once, or once in each language, and give what each executed."""
    folder = tmp_path_factory.mktemp("place")
    found: dict[str, set[str]] = {}

    def make(step: str, run: Callable[..., None], *arguments: Any) -> None:
        with executed() as now:
            run(*arguments)
        found.setdefault(step, set()).update(now)

    texts = [text for own in TEXTS.values() for text in own]
    checkpoint = tiny_checkpoints.write_checkpoint(folder / "source", "llama", texts)
    one, some = folder / "models" / "one", ExecutionSettings()
    make("model", model.run, {"source": str(checkpoint)}, one)
    source = {"source": "text", "path": f"{folder}/{{language}}.tsv"}
    questions = {"source": "facts", "paraphrases": 1, "max_items": 4}
    roles = RolesRecording(rule="nonzero", threshold=0.0, sample_segments=4)
    plan = RecordingPlan(roles=roles, firing=True)
    for language, own in TEXTS.items():
        lines = [f"s{i}\t{text}\n" for i, text in enumerate(own)]
        (folder / f"{language}.tsv").write_text("".join(lines), "utf-8")
        text = folder / "corpora" / "plain" / f"{language}.parquet"
        seen, rows, states = (
            folder / kind / "plain" / f"{language}.zarr"
            for kind in ("tokens", "activations", "states")
        )
        items = folder / "tasks" / "facts" / f"{language}.parquet"
        make("corpus", corpus.run, source, language, None, text)
        make("tokens", tokens.run, one, text, seen, "word", "truncate")
        make("recording", capture.run, one, seen, rows, SETTINGS, some, plan)
        make("states", capture.run_states, one, text, states, "refuse", SETTINGS, some)
        make("task", task.run, questions, language, items)
        make("prompts", capture.run_prompts, one, [items], folder, "auto", SETTINGS, some)
    stores = {
        kind: [folder / kind / "plain" / f"{language}.zarr" for language in TEXTS]
        for kind in ("activations", "states")
    }
    for paper, names in REDUCTIONS.items():
        inputs = [one, *stores["states"]] if paper == "transfer" else stores["activations"]
        settings = {**COMMON, **SETTINGS_OF[paper]}
        for name in names:
            output = folder / paper / f"{name}.zarr"
            make(f"{paper}.{name}", reduce.run, paper, name, inputs, settings, output, some)
        family = FAMILIES[paper]
        drawn = [folder / paper / f"{family}.zarr"]
        make(f"figures.{paper}", draw.run, paper, family, drawn, folder / "figures")
    return found


@pytest.mark.parametrize("step", TARGETS)
def test_what_is_executed_is_reached(made: dict[str, set[str]], step: str) -> None:
    assert len(made[step]) > 5
    assert unreached(made[step], *TARGETS[step]) == set()


def test_what_is_not_reached_is_noticed(made: dict[str, set[str]]) -> None:
    """A recording's code against the targets of tokens, and against those without the model's."""
    missing = unreached(made["recording"], *TARGETS["tokens"])
    assert {"neuroglot.capture.engine:Engine", "neuroglot.steps.capture:run"} <= missing
    assert unreached(made["corpus"], f"{STEPS}.corpus:run") >= {
        "neuroglot.corpora.text:TextCorpus",
        "neuroglot.corpora.base:Corpus",
    }
