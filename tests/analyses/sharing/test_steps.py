"""What ``sharing`` asks of a run, and the steps that put others' results beside each other."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot import layout, store
from neuroglot.analyses.base import LanguageFacts, Run, Scope
from neuroglot.analyses.sharing import SHARING
from neuroglot.analyses.sharing.measures.kind_shares import kind_shares
from neuroglot.analyses.sharing.measures.kinds import kinds, pack
from neuroglot.analyses.sharing.pairs import KindPairs
from neuroglot.analyses.sharing.prompts import Prompts
from neuroglot.analyses.sharing.settings import (
    ComparisonInputs,
    ComparisonSettings,
    InterventionsInputs,
    InterventionsSettings,
    SharingSettings,
)
from neuroglot.analyses.sharing.steps import answers, comparison, interventions
from neuroglot.analyses.sharing.steps import kinds as kinds_step
from neuroglot.analyses.sharing.steps.answers import VARIANTS
from neuroglot.capture.settings import PromptsGroup
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import Edit, intervened
from neuroglot.running import Running
from neuroglot.tasks.facts import FactsTask
from neuroglot.tasks.nli import NliTask
from support.tiny_models import NEURONS, tiny_inputs, tiny_model

ASKED = {
    "facts": ["en", "de", "fr"],
    "facts-1-shot": ["en", "de", "fr"],
    "nli": ["en", "de"],
}
TASKS = {
    "facts": FactsTask(source="facts", reserve=1),
    "facts-1-shot": FactsTask(source="facts", shots=1),
    "nli": NliTask(source="nli"),
}


class Configured:
    """As much of a run as the analysis looks at."""

    tasks = TASKS

    def running(self, _model: str) -> Running:
        return Running(device="cpu", dtype="float32")

    def corpus_languages(self, *names: str) -> list[str]:
        return [one for one in ("en", "de", "fr") if any(one in ASKED[name] for name in names)]

    def facts(self, languages: Iterable[str]) -> dict[str, LanguageFacts]:
        facts = LanguageFacts(name="a", family="b", genus="c", script="Latn")
        return dict.fromkeys(languages, facts)

    def families(self, _models: Sequence[str]) -> dict[str, dict[str, int | None]]:
        return {}


RUN = cast(Run, Configured())


def section(**changes: Any) -> SharingSettings:
    values = {"tasks": ["nli", "facts"], "few_shot": ["facts", "facts-1-shot"]}
    return SharingSettings.model_validate(values | changes)


def of_step(name: str, scope: Scope, **changes: Any) -> tuple[Any, Any]:
    """Inputs and settings of a step."""
    step, own = SHARING.step(name), section(**changes)
    return step.inputs(RUN, own, scope), step.settings(RUN, own, scope)


def test_prompts_of_every_shown_task_are_recorded_once():
    wishes = list(SHARING.recordings(RUN, section(site="act")))
    assert [wish.source for wish in wishes] == ["nli", "facts", "facts-1-shot"]
    assert {wish.group for wish in wishes} == {PromptsGroup(site="act")}


def test_tasks_that_differ_in_shots_only_are_asked_in_the_same_languages():
    assert list(SHARING.problems(RUN, section())) == []
    problem, *_ = SHARING.problems(RUN, section(few_shot=["facts", "facts-1-shot", "nli"]))
    assert problem.startswith("sharing.few_shot: 'facts' is asked in en, de, fr and 'nli' in en, ")
    assert problem.endswith("give both the same languages")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({}, {"shots": 2}, "keeps 0 .* 'b' keeps 2, .*: set reserve: 2 in every one"),
        ({"shots": 4}, {"reserve": 2}, "keeps 4 .* 'b' keeps 2, .*: set reserve: 4 in every one"),
        ({"reserve": 2}, {"shots": 2, "max_items": 3}, "'a' and 'b' differ in max_items: they may"),
        ({}, {"shots": 2, "seed": 1}, "differ in reserve, seed: they may differ in shots only"),
        ({"reserve": 2}, {"shots": 2, "languages": ["de"]}, None),
        ({"reserve": 4, "shots": 2}, {"shots": 4}, None),
    ],
)
def test_tasks_that_differ_in_shots_only_ask_the_same_questions(first, second, message):
    made = {"a": NliTask(source="nli", **first), "b": NliTask(source="nli", **second)}
    run = SimpleNamespace(tasks=made, corpus_languages=lambda *_: ["de", "en"])
    problems = list(SHARING.problems(run, section(tasks=["a"], few_shot=["a", "b"])))
    if message is None:
        asked = [[item.id for item in task.read("de").items] for task in made.values()]
        assert asked[0] == asked[1]
        assert problems == []
    else:
        (problem,) = problems
        assert re.search(message, problem)


def test_kinds_are_told_apart_in_every_shown_task_and_answers_given_to_the_chosen():
    inputs, settings = of_step("kinds", Scope(("one",)))
    assert settings.tasks == list(inputs.prompts) == ["nli", "facts", "facts-1-shot"]
    assert settings.languages == ["en", "de", "fr"]
    assert list(inputs.prompts["nli"]) == ["en", "de"]
    assert inputs.prompts["nli"]["de"] == layout.recording("one", "nli", "de", "prompts")
    inputs, settings = of_step("effective", Scope(("one",)))
    assert settings.tasks == list(inputs.items) == ["nli", "facts"]
    answers = SHARING.step("answers")
    assert answers.parts is not None
    assert answers.parts(RUN, section()) == ["nli", "facts"]
    inputs, settings = of_step("answers", Scope(("one",), "nli"), random_seeds=3)
    assert inputs.items == {one: layout.items("nli", one) for one in ("en", "de")}
    assert (settings.task, settings.scoring, settings.random_seeds) == ("nli", "string", 3)
    assert (settings.device, settings.dtype) == ("cpu", "float32")
    inputs, _ = of_step("interventions", Scope(("one",)))
    assert inputs.answers["nli"] == layout.reduction("sharing", "answers", "one", "nli")


def test_each_question_is_edited_in_its_own_neurons():
    """Every variant against plain sums over the languages in which a neuron is active."""
    generator, widths = np.random.default_rng(0), [11, 6]
    on = generator.random((3, 4, 2, 11)) < 0.5  # [language, item, layer, neuron]
    on[:, :, 1, 6:] = False
    active = np.packbits(on, axis=-1, bitorder="little")
    judgeable = np.array([[True, True, False, True], [True] * 4, [False, True, True, True]])
    questions = {
        language: [SimpleNamespace(judgeable=lambda _, this=bool(one): this) for one in own]
        for language, own in zip(("en", "de", "fr"), judgeable, strict=True)
    }
    paired = np.random.default_rng(1).random((2, 3, 4, 2, 11)) < 0.3
    bits = tuple(np.packbits(paired, axis=-1, bitorder="little"))
    pairs = dict.fromkeys(answers.ACTIVE_KINDS, KindPairs(bits, np.ones((3, 4)), np.ones((3, 4))))
    value = generator.random((3, 4, 2)).astype(np.float32)  # [language, item, layer]
    of_active = kinds(active, 11), active, widths, pairs, "gate", value
    asked = answers._Asked("facts", "rank", questions, *of_active)
    variants = list(asked.variants(seeds=2))
    names = [name for name, _ in variants]
    assert set(names) == set(VARIANTS)
    assert all(names.count(name) == 1 + name.startswith(answers.POOLS) for name in names)

    places = np.array([1, 8, 4, 0, 9])
    languages, items = np.argwhere(judgeable)[places].T
    speakers = on.sum(0)[items]
    spoken, there = on[languages, items], np.arange(11) < np.array(widths)[:, None]
    of_kind = {
        "all_shared": speakers == 3,
        "partial_shared": speakers == 2,
        "specific": speakers == 1,
        "both": (speakers == 1) | (speakers == 2),
    }
    drawn: dict[str, list[bytes]] = {}
    for variant_name, variant in variants[1:]:
        done, _, name = variant_name.partition("_")
        [edit] = variant(places)
        converted = done in ("converted", "inactive")
        assert edit.operation == "set"
        assert edit.site == ("gate" if converted else "act"), variant_name
        expected = value[languages, items] if converted else 0.0
        np.testing.assert_array_equal(edit.value, expected, variant_name)
        chosen = of_kind[name] & (~spoken if converted else spoken)
        if done in ("without", "converted"):
            np.testing.assert_array_equal(edit.neurons, chosen, variant_name)
        elif done in answers.PAIRED:
            expected = paired[answers.PAIRED.index(done)][languages, items]
            np.testing.assert_array_equal(edit.neurons, expected, variant_name)
        else:
            pool = {"random": there, "active": spoken, "inactive": ~spoken & there}[done] & ~chosen
            assert not (edit.neurons & ~pool).any(), variant_name
            as_many = np.minimum(chosen.sum(-1), pool.sum(-1))
            np.testing.assert_array_equal(edit.neurons.sum(-1), as_many, variant_name)
            drawn.setdefault(variant_name, []).append(edit.neurons.tobytes())
    assert all(first != second for first, second in drawn.values()), "a seed is a draw"


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_converted_neurons_are_active_as_the_model_computes_it(name: str):
    """The gate of a gated model, and act = gate x up of what the model itself computes for up."""
    model = tiny_model(name)
    gated = ffns(model)[0].gated
    site = "gate" if gated else "act"
    chosen = np.random.default_rng(0).random((2, 2, NEURONS)) < 0.3
    value = np.array([[0.2, 0.4], [0.6, 0.8]], np.float32)
    found: dict[str, Any] = {}

    def keep(of_site: str, _stack: str, layer: int, values: Any) -> None:
        if layer == 0:
            found[of_site] = values.clone().numpy()

    sites = {"act", "gate", "up"} if gated else {"act"}
    with torch.no_grad(), record(model, sites, keep):
        model(**tiny_inputs(model))
    before = dict(found)
    converted = intervened(model, [Edit(chosen, "set", value, site)], "last")
    with torch.no_grad(), converted, record(model, sites, keep):
        model(**tiny_inputs(model))
    last = chosen[:, 0]
    fired = value[:, :1] * np.ones((1, NEURONS), np.float32)
    expected = fired * before["up"][:, -1] if gated else fired
    np.testing.assert_array_equal(found[site][:, -1][last], fired[last])
    np.testing.assert_allclose(found["act"][:, -1][last], expected[last], rtol=1e-6)
    np.testing.assert_array_equal(found["act"][:, -1][~last], before["act"][:, -1][~last])
    np.testing.assert_array_equal(found["act"][:, :-1], before["act"][:, :-1])


@pytest.mark.parametrize("converted_to", ["just_above", "median_active"])
def test_what_converted_neurons_are_set_to(converted_to: str):
    fired = np.random.default_rng(2).normal(size=(2, 5, 3, 9)).astype(np.float32)
    fired[0, 0, 1] = -1  # no neuron of the layer is active
    by_language = dict(zip(("en", "de"), fired, strict=True))

    def read(site: str, layers: slice) -> dict[str, np.ndarray]:
        assert site == "gate"
        return {language: values[:, layers] for language, values in by_language.items()}

    stub: Any = SimpleNamespace(
        recorded=by_language,
        items=list("abcde"),
        neurons=[9] * 3,
        site="gate",
        blocks=lambda: [slice(0, 2), slice(2, 3)],
        read=read,
    )
    stub.median_active = lambda threshold: Prompts.median_active(stub, threshold)
    settings: Any = SimpleNamespace(threshold=0.1, converted_offset=0.25, converted_to=converted_to)
    found = answers._converted_to(stub, settings)
    assert found.dtype == np.float32
    for place in np.ndindex(2, 5, 3):
        active = sorted(float(x) for x in fired[place] if x > 0.1)
        median = (active[(len(active) - 1) // 2] + active[len(active) // 2]) / 2 if active else 0.35
        expected = 0.35 if converted_to == "just_above" else median
        assert found[place] == pytest.approx(expected)


def of_sets(active: Any, counts: xr.Variable, subsets: int) -> xr.Dataset:
    """Mean, lowest and highest share among random sets of languages."""
    shares = kinds_step.random_languages(active, 40, counts, subsets).mean("item")
    return xr.Dataset(kinds_step.over_sets(shares))


def test_random_sets_of_languages_are_neither_the_first_nor_one_order_of_the_list():
    """Mean and range of every size against kinds over the sets themselves."""
    on = (
        np.random.default_rng(3).random((6, 5, 2, 40))
        < np.linspace(0.2, 0.8, 6)[:, None, None, None]
    )
    names = ("en", "de", "fr", "es", "hi", "zh")
    active = {name: pack(own) for name, own in zip(names, on, strict=True)}
    counts = xr.Variable("languages", [2, 4, 6])
    found = of_sets(active, counts, 5)
    turned = {name: active[name] for name in reversed(names)}
    xr.testing.assert_equal(found, of_sets(turned, counts, 5))
    mean, lowest, highest = found.data_vars.values()
    assert ((lowest <= mean + 1e-12) & (mean <= highest + 1e-12)).all()
    for count in counts.values.tolist():
        of_each = [
            kind_shares(kinds([active[name] for name in chosen], 40)).mean("item")
            for chosen in combinations(names, count)
        ]
        ends = [values.sel(languages=count) for values in (lowest, highest)]
        for end in ends:  # each end is the share of some set
            near = [abs(end - share) < 1e-12 for share in of_each]
            assert xr.concat(near, "set").any("set").all()
        assert bool((ends[0] < ends[1]).any()) == (count < len(names))
    first = kind_shares(kinds([active[name] for name in names[:2]], 40)).mean("item")
    assert not np.allclose(first, mean.sel(languages=2), atol=0.02), (
        "the first are the least active"
    )
    one_set = of_sets(active, counts, 1)
    xr.testing.assert_equal(*list(one_set.values())[1:])


def test_models_are_those_there_are():
    """Not those that the section names, which may name none."""
    for named in (None, ["one"]):
        inputs, settings = of_step("comparison", Scope(("one", "two")), models=named)
        assert settings.models == list(inputs.kinds) == ["one", "two"]
    assert settings.shots == {"nli": 0, "facts": 0, "facts-1-shot": 1}


def written(path: Path, data: xr.Dataset) -> Path:
    store.begin(path, "reduction", {})
    store.write_dataset(path, data)
    store.complete(path, "reduction", {}, {})
    return path


def test_models_of_other_depths_stand_beside_each_other(tmp_path: Path):
    kinds, depths = {}, {"one": 2, "two": 3}
    for model, depth in depths.items():
        shares = np.random.default_rng(depth).random((2, depth, 2))
        kinds[model] = xr.Dataset(
            dict.fromkeys(with_bounds("kind_share"), (("task", "layer", "kind"), shares))
            | {"items": ("task", [36, 24])},
            {
                "task": ["nli", "facts"],
                "layer": np.arange(depth),
                "kind": ["all_shared", "specific"],
                "stack": ("layer", ["decoder"] * depth),
                "stack_layer": ("layer", np.arange(depth)),
            },
        )
    # In another order than the models are wanted in.
    paths = {model: written(tmp_path / f"{model}.zarr", kinds[model]) for model in ("two", "one")}
    settings = ComparisonSettings(
        models=["one", "two"], few_shot=["facts"], shots={"facts": 2, "nli": 0}
    )
    data = comparison.compute(ComparisonInputs(kinds=paths), settings)
    assert data["model"].values.tolist() == ["one", "two"]
    assert data["layers"].values.tolist() == [2, 3]
    for model, depth in depths.items():
        own = data["kind_share"].sel(model=model).transpose("task", "layer", "kind")
        np.testing.assert_array_equal(own[:, :depth], kinds[model]["kind_share"])
        assert own[:, depth:].isnull().all()
    assert data["shots"].values.tolist() == [0, 2]
    assert data["items"].sel(model="two").values.tolist() == [36, 24]
    assert data["stack_layer"].values.tolist() == [0, 1, 2]
    assert json.loads(data.attrs["few_shot"]) == ["facts"]


def test_answers_of_tasks_stand_beside_each_other(tmp_path: Path):
    languages = {"nli": ["en", "de"], "facts": ["en", "de", "fr"]}
    scoring = {"nli": "string", "facts": "rank"}
    sizes = len(VARIANTS), 3
    values = {task: np.random.default_rng(i).random(sizes) for i, task in enumerate(scoring)}
    paths = {}
    for task in ("facts", "nli"):
        own = values[task][:, : len(languages[task])]
        data = xr.Dataset(
            {"accuracy": (("variant", "language"), own)},
            {"variant": list(VARIANTS), "language": languages[task]},
            {"scoring": scoring[task], "site": "gate"},
        )
        paths[task] = written(tmp_path / f"{task}.zarr", data)
    settings = InterventionsSettings(
        tasks=["nli", "facts"], languages=["fr", "en", "de"], positions="all", random_seeds=2
    )
    data = interventions.compute(InterventionsInputs(answers=paths), settings)
    assert data["task"].values.tolist() == ["nli", "facts"]
    assert data["scoring"].values.tolist() == ["string", "rank"]
    assert data["language"].values.tolist() == ["fr", "en", "de"]
    assert data["variant"].values.tolist() == list(VARIANTS)
    found = data["accuracy"].transpose("task", "variant", "language")
    np.testing.assert_array_equal(found.sel(task="facts"), values["facts"][:, [2, 0, 1]])
    np.testing.assert_array_equal(found.sel(task="nli")[:, 1:], values["nli"][:, :2])
    assert found.sel(task="nli", language="fr").isnull().all()
    assert (data.attrs["positions"], data.attrs["random_seeds"]) == ("all", 2)
    assert data.attrs["site"] == "gate"


def test_every_step_runs_on_encoder_decoders_too():
    assert not any(step.causal for step in SHARING.steps)


def test_only_answers_are_of_the_judged_models():
    assert [step.name for step in SHARING.steps if step.judges] == ["answers", "interventions"]
