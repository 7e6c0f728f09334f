"""Tasks of lm-evaluation-harness against one forward pass per answer."""

import importlib.util
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from tokenizers import Tokenizer

from neuroglot import store
from neuroglot.analyses.base import Work
from neuroglot.analyses.described import described
from neuroglot.analyses.transfer.measures.controls import controlled
from neuroglot.analyses.transfer.measures.lists import listed
from neuroglot.analyses.transfer.settings import HarnessInputs, HarnessStepSettings
from neuroglot.analyses.transfer.steps import harness as module
from neuroglot.analyses.transfer.steps.harness import VARIABLES, compute, scores_of, tables
from neuroglot.config import load
from neuroglot.errors import NeuroglotError
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load as load_model
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from support.tiny_checkpoints import write_checkpoint

torch.set_num_threads(1)

needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-evaluation-harness is not installed (neuroglot[harness])",
)
BEGUN = (
    "All human beings are born",
    "They are endowed with",
    "Alle Menschen sind frei",
    "Todos los seres humanos",
)
CHOICES = ("born", "free", "equal", "and", "in", "with")
QUESTIONS = [
    {
        "question": BEGUN[i % 4],
        "choices": np.random.default_rng(i).permutation(CHOICES)[:3].tolist(),
    }
    for i in range(24)
]
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: {output}
doc_to_text: "{{{{question}}}}"
"""
CHOICE = """
doc_to_choice: "{{choices}}"
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WRITE = """
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["e"], max_gen_toks: 7, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
ROLLING = """
doc_to_target: "{{question}}"
metric_list: [{metric: byte_perplexity}]
"""
SETTINGS: dict[str, Any] = {
    "harness": {"tasks": {"choose-de": "de"}, "folder": "", "limit": None},
    "random_seeds": 2,
    "device": "cpu",
    "dtype": "float32",
    "model": "model",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, lists of its neurons, and tasks."""
    folder = tmp_path_factory.mktemp("harness")
    checkpoint = write_checkpoint(folder / "checkpoint", initializer_range=0.5)
    normalise(ModelSettings(source=str(checkpoint)), folder / "model")
    (folder / "tasks").mkdir()
    data = folder / "tasks" / "questions.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS), "utf-8")
    for name, output, rest in (
        ("choose-de", "multiple_choice", CHOICE),
        ("write-de", "generate_until", WRITE),
        ("rolling-de", "loglikelihood_rolling", ROLLING),
    ):
        text = TASK.format(name=name, data=data, cache=folder / "cache", output=output)
        (folder / "tasks" / f"{name}.yaml").write_text(text + rest, "utf-8")
    generator = np.random.default_rng(1)
    ranked = generator.permuted(np.tile(np.arange(48), (1, 2, 2, 1)), axis=-1)[..., :16]
    by_rank = ("part", "type", "language", "rank")
    described = ("part", "language", "layer", "neuron")
    lists = xr.Dataset(
        {
            "rank_layer": (by_rank, ranked // 24),
            "rank_neuron": (by_rank, ranked % 24),
            "score": (("layer", "neuron"), np.zeros((2, 24))),
            "active_share": (described, generator.integers(0, 3, (1, 2, 2, 24)) / 2),
            "contribution": (described, generator.random((1, 2, 2, 24))),
        },
        {"part": ["all"], "type": ["type1", "type2"], "language": ["de", "es"]},
    )
    origin = {"reduction": "transfer/neurons"}
    store.begin(folder / "neurons.zarr", "reduction", origin)
    store.write_dataset(folder / "neurons.zarr", lists)
    store.complete(folder / "neurons.zarr", "reduction", origin, {})
    return folder


def inputs_of(place: Path, pieces: Path) -> HarnessInputs:
    return HarnessInputs(
        model=place / "model", neurons=place / "neurons.zarr", work=Work(pieces=pieces)
    )


@pytest.fixture(autouse=True)
def _only_own_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the harness's thousands of tasks out: to find them takes a quarter of a minute."""
    if importlib.util.find_spec("lm_eval") is not None:
        tasks = importlib.import_module("lm_eval.tasks")
        own = partial(tasks.TaskManager, include_defaults=False)
        monkeypatch.setattr(tasks, "TaskManager", own)


def settings_of(place: Path, **changes: Any) -> HarnessStepSettings:
    harness = SETTINGS["harness"] | {"folder": str(place / "tasks")} | changes
    return HarnessStepSettings(**SETTINGS | {"harness": harness})


def masks_of(place: Path) -> dict[str, list[np.ndarray]]:
    lists = store.open_dataset(place / "neurons.zarr", "reduction")
    found = {"baseline": [np.zeros((2, 24), bool)]}
    for kind in ("type1", "type2"):
        edited = controlled({"all": listed(lists, kind, "de")}, lists, "de", 2).masks
        found |= {f"{done}_{kind}": [draw[0] for draw in draws] for done, draws in edited.items()}
    return found


def chosen(model: Any, tokenizer: Tokenizer, document: dict[str, Any], mask: np.ndarray) -> int:
    """The choice of the highest probability; neurons are off in the prompt's columns."""
    scores = []
    prompt = [1, *tokenizer.encode(document["question"], add_special_tokens=False).ids]
    for choice in document["choices"]:
        whole = tokenizer.encode(f"{document['question']} {choice}", add_special_tokens=False).ids
        ids = [1, *whole]
        at_prompt = torch.arange(len(ids))[None] < len(prompt)
        with intervened(model, [Edit(mask)], at_prompt), torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
        rows = range(len(prompt) - 1, len(ids) - 1)
        scores.append(float(logits.log_softmax(-1)[rows, ids[len(prompt) :]].sum()))
    return int(np.argmax(scores))


def written(model: Any, tokenizer: Tokenizer, question: str, mask: np.ndarray) -> str:
    prompt = tokenizer.encode(question, add_special_tokens=False).ids
    ids = [1, *prompt]
    for _ in range(7):
        at_prompt = torch.arange(len(ids))[None] <= len(prompt)
        with intervened(model, [Edit(mask)], at_prompt), torch.no_grad():
            best = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if best == 2:
            break
        ids.append(best)
    return tokenizer.decode(ids[1:])[len(question) :].split("e")[0]


@needs_harness
def test_every_variant_is_scored(place: Path, tmp_path: Path) -> None:
    data = compute(inputs_of(place, tmp_path), settings_of(place))
    for name, variable in described(data, VARIABLES).variables.items():
        assert {"units", "long_name"} <= {*variable.attrs}, name
    model = load_model(place / "model", "cpu", "float32")
    tokenizer = Tokenizer.from_file(str(place / "model" / "tokenizer.json"))
    right = {}
    for variant, masks in masks_of(place).items():
        if not masks:
            assert data["harness"].sel(task="choose-de", variant=variant).isnull().all()
            continue
        of_mask = [[chosen(model, tokenizer, q, m) == 0 for q in QUESTIONS] for m in masks]
        right[variant] = np.mean(of_mask)
        found = data["harness"].sel(task="choose-de", metric="acc", variant=variant)
        assert found.item() == pytest.approx(right[variant])
    assert len(set(right.values())) > 1
    assert data["asked_in"].values.tolist() == ["de"]
    table = tables(data)["harness"]
    assert set(table["language"]) == {"de"}
    assert set(table["variant"]) == {name for name, masks in masks_of(place).items() if masks}


@needs_harness
def test_texts_are_written(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every target is what the model writes without its Type 1 neurons."""
    model = load_model(place / "model", "cpu", "float32")
    tokenizer = Tokenizer.from_file(str(place / "model" / "tokenizer.json"))
    masks = masks_of(place)
    targets = [
        written(model, tokenizer, q["question"], masks["without_type1"][0]) for q in QUESTIONS
    ]
    texts = {
        name: [[written(model, tokenizer, q["question"], m) for q in QUESTIONS] for m in own]
        for name, own in masks.items()
    }
    folder = tmp_path / "tasks"
    folder.mkdir()
    lines = [
        json.dumps({"question": one["question"], "choices": [target]})
        for one, target in zip(QUESTIONS, targets, strict=True)
    ]
    (folder / "written.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    task = TASK.format(
        name="write-de",
        data=folder / "written.jsonl",
        cache=tmp_path / "cache",
        output="generate_until",
    )
    (folder / "write-de.yaml").write_text(task + WRITE, "utf-8")
    settings = settings_of(place, tasks={"write-de": "de"}, folder=str(folder))
    data = compute(inputs_of(place, tmp_path / "pieces"), settings)
    for name, own in texts.items():
        expected = np.mean([[a == b for a, b in zip(one, targets, strict=True)] for one in own])
        found = data["harness"].sel(task="write-de", variant=name, metric="exact_match")
        assert found.item() == pytest.approx(expected)
    assert data["harness"].sel(variant="without_type1").item() == 1
    assert data["harness"].sel(variant="baseline").item() < 1


@needs_harness
def test_pieces_are_kept_until_a_task_changes(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(place, limit=2)
    first = compute(inputs_of(place, tmp_path), settings)
    monkeypatch.setattr(module, "load", None)
    xr.testing.assert_identical(first, compute(inputs_of(place, tmp_path), settings))
    with pytest.raises(TypeError):
        compute(inputs_of(place, tmp_path), settings_of(place, limit=3))


@needs_harness
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {"chose-de": "de"}}, "unknown task 'chose-de'; did you mean 'choose-de'"),
        ({"tasks": {"rolling-de": "de"}}, "no prompt to deactivate neurons at"),
        ({"folder": "nowhere"}, "there is no folder nowhere"),
    ],
)
def test_refused(place: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglotError, match=message):
        compute(inputs_of(place, tmp_path), settings_of(place, **changes))


def test_says_what_to_install(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(NeuroglotError, match=r"install 'neuroglot\[harness\]'"):
        compute(inputs_of(place, tmp_path), settings_of(place))


def test_scores() -> None:
    found = scores_of(
        {
            "alias": "xnli",
            "acc,none": 0.25,
            "acc_stderr,none": 0.1,
            "f1,none": 1,
            "f1_stderr,none": "N/A",
            "exact_match,strict": 0.5,
            "exact_match_stderr,strict": 0.2,
            "sample_len": 4,
        }
    )
    assert found["acc"] == (0.25, 0.1)
    assert found["f1"][0] == 1
    assert np.isnan(found["f1"][1])
    assert found["exact_match,strict"] == (0.5, 0.2)
    assert len(found) == 3


def test_a_task_needs_a_language_with_neurons() -> None:
    config = {
        "languages": ["en", "de"],
        "models": {"one": {"source": "owner/name"}},
        "corpora": {"text": {"source": "udhr"}},
        "transfer": {"corpus": "text", "harness": {"tasks": {"xnli_de": "DE"}}},
    }
    assert load(config).section("transfer").harness.tasks == {"xnli_de": "de"}
    config["transfer"] = {"corpus": "text", "harness": {"tasks": {"xnli_en": "en"}}}
    with pytest.raises(NeuroglotError, match="harness.tasks.xnli_en: 'en' has no neurons"):
        load(config)
