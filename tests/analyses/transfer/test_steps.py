"""The transfer reductions against plain loops, weights cut away, and planted neurons."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from tokenizers import Tokenizer

from neuroglot import commands, store
from neuroglot.analyses import wanted
from neuroglot.analyses.base import Inputs, Scope, StepSettings
from neuroglot.analyses.run import run_step
from neuroglot.analyses.transfer import TRANSFER, paired_languages
from neuroglot.analyses.transfer.measures.controls import DONE, controlled
from neuroglot.analyses.transfer.measures.lists import HALVES, listed
from neuroglot.analyses.transfer.settings import (
    CorrelationInputs,
    CorrelationSettings,
    DeactivationInputs,
    DeactivationSettings,
    LapeInputs,
    NeuronsInputs,
    NeuronsSettings,
    SpaceInputs,
    SpaceSettings,
    TasksInputs,
    TasksSettings,
)
from neuroglot.analyses.transfer.states import halves
from neuroglot.analyses.transfer.steps.neurons import layer_scores
from neuroglot.capture.questions import encode
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, StatesGroup
from neuroglot.capture.tokenise import write_tokens
from neuroglot.config import Config
from neuroglot.config import load as load_config
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit, intervened
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.norms import norm_form
from neuroglot.models.source import ModelSettings
from neuroglot.tasks.base import Item, TaskReading, write_items
from neuroglot.tokens import Tokenising
from support import ROOT, tiny_checkpoints
from support.tiny_models import tiny_model, written_scale

SENTENCES = {
    "en": "a house|the old ship|we read books|a river begins|bread|nobody knows|in May|no|too far",
    "de": "ein Haus|das alte Schiff|wir lesen|ein Fluss beginnt|Brot|niemand weiß|im Mai|nein|zu",
    "es": "una casa|el barco viejo|leemos|nace un río|pan|nadie lo sabe|en mayo|no|muy lejos",
    "hi": "एक घर|पुराना जहाज़|हम पढ़ते हैं|नदी|रोटी|कोई नहीं|मई में|ना|बहुत दूर",
}
TEXTS = {language: texts.split("|") for language, texts in SENTENCES.items()}
TABLE = {
    "en": {"name": "English", "family": "Indo-European", "genus": "Germanic", "script": "Latn"},
    "de": {"name": "German", "family": "Indo-European", "genus": "Germanic", "script": "Latn"},
    "es": {"name": "Spanish", "family": "Indo-European", "genus": "Romance", "script": "Latn"},
    "hi": {"name": "Hindi", "family": "elsewhere", "genus": "Indic", "script": "Deva"},
}
LANGUAGES = ["en", "de", "es", "hi"]
SETTINGS: dict[str, Any] = {
    "languages": LANGUAGES,
    "language_table": TABLE,
    "pivot": "en",
    "model": "one",
    "pool": "last",
    "type1_layers": 0.5,
    "top_n": 5,
    "top_fraction": 0.0035,
    "k": [1, 2],
    "variances": [0.5, 0.95],
    "positions": "all",
    "tops": [2, 5, 50],
    "tasks": ["facts"],
    "scorings": {"facts": "rank"},
    "task_positions": "all",
    "random_seeds": 2,
    "task_random_seeds": 2,
    "replicates": 50,
    "device": "cpu",
    "dtype": "float32",
}
TOLD: dict[str, type[StepSettings]] = {
    "neurons": NeuronsSettings,
    "space": SpaceSettings,
    "deactivation": DeactivationSettings,
    "correlation": CorrelationSettings,
    "lape": DeactivationSettings,
    "tasks": TasksSettings,
}
QUESTIONS = {
    "de": [("Haus ist", " Brot", " Fluss"), ("Schiff ist", " alt", " Haus")],
    "es": [("casa es", " pan", " barco"), ("barco es", " viejo", " casa")],
}


class Place:
    """A folder with a model, its states of four languages and two languages' questions."""

    def __init__(self, folder: Path, model_type: str) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        texts = [text for own in TEXTS.values() for text in own]
        source = tiny_checkpoints.write_checkpoint(folder / model_type, model_type, texts)
        normalise(ModelSettings(source=str(source)), self.model)
        settings = CaptureSettings(device="cpu", dtype="float32")
        for language, own in TEXTS.items():
            segments = tuple(Segment(f"s{i}", text) for i, text in enumerate(own))
            text, tokens = self.folder / "plain" / f"{language}.parquet", self.tokens(language)
            write_parquet(Reading(segments), text)
            chosen = Tokenising(prefix="subword", long_segments="refuse")
            write_tokens(self.model, text, tokens, chosen)
            states = self.states(language).parent
            wanted = Wanted(tokens, "tokens", states, {StatesGroup(): "key"})
            record(self.model, [wanted], settings, ExecutionSettings())
        for language, asked in QUESTIONS.items():
            items = [
                Item(f"q{i}", prompt, (gold,), (gold, other))
                for i, (prompt, gold, other) in enumerate(asked)
            ]
            write_items(TaskReading(tuple(items)), self.task(language))

    def tokens(self, language: str) -> Path:
        return self.folder / "tokens" / "plain" / f"{language}.zarr"

    def states(self, language: str) -> Path:
        """The group of a language's recording."""
        return self.folder / "states" / f"{language}.zarr" / "states"

    def task(self, language: str) -> Path:
        return self.folder / "tasks" / "facts" / f"{language}.parquet"

    def reduce(
        self,
        name: str,
        output: str = "transfer",
        lists: Path | None = None,
        lape: str = "lape",
        **changes: Any,
    ) -> xr.Dataset:
        """Make one reduction in the folder ``output``, unless it is there already."""
        told = settings_of(name, **changes)
        path = self.folder / output / f"{name}.zarr"
        states = {one: self.states(one) for one in told.languages}
        tokens = {one: self.tokens(one) for one in told.languages if one != "en"}
        neurons = lists or self.folder / output / "neurons.zarr"
        inputs: dict[str, Inputs] = {
            "neurons": NeuronsInputs(model=self.model, states=states),
            "space": SpaceInputs(
                states=states, tokens={one: self.tokens(one) for one in told.languages}
            ),
            "deactivation": DeactivationInputs(
                model=self.model, neurons=neurons, states=states, tokens=tokens
            ),
            "correlation": CorrelationInputs(neurons=neurons, states=states),
            "lape": LapeInputs(
                model=self.model,
                neurons=neurons,
                states=states,
                tokens=tokens,
                correlation=self.folder / "transfer" / "correlation.zarr",
                lape=self.folder / lape / "neurons.zarr",
            ),
            "tasks": TasksInputs(
                model=self.model,
                neurons=neurons,
                items={"facts": {one: self.task(one) for one in QUESTIONS}},
            ),
        }
        run_step(TRANSFER, TRANSFER.step(name), inputs[name], told, path, ExecutionSettings())
        return store.open_dataset(path, "reduction")

    def table(self, name: str, output: str = "transfer") -> pd.DataFrame:
        return pd.read_csv(self.folder / output / f"{name}.csv")

    def rows(self, language: str, site: str) -> np.ndarray:
        return store.read_rows(self.states(language), site).astype(np.float64)


def settings_of(name: str, **changes: Any) -> StepSettings:
    """What a step is told: those of SETTINGS that it reads."""
    settings = {**SETTINGS, **changes}
    told = TOLD[name]
    return told(**{key: value for key, value in settings.items() if key in told.model_fields})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    made = Place(tmp_path_factory.mktemp("llama"), "llama")
    made.reduce("neurons")
    return made


@pytest.fixture(scope="module")
def sandwich(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("gemma"), "gemma3_text")


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("m2m"), "m2m_100")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def literal_scores(
    mid: np.ndarray, added: np.ndarray, towards: np.ndarray
) -> np.ndarray:  # added [row, neuron, hidden]
    """mean_k [cos(h + what the neuron adds, C) - cos(h, C)], row by row and neuron by neuron."""
    return np.array(
        [
            np.mean(
                [
                    cosine(h + own[i], towards) - cosine(h, towards)
                    for h, own in zip(mid, added, strict=True)
                ]
            )
            for i in range(added.shape[1])
        ]
    )


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_scores_are_those_of_plain_loops(place: Place, pool: str) -> None:
    data = place.reduce("neurons", "transfer" if pool == "last" else "mean", pool=pool)
    model = load(place.model, "cpu", "float32")
    site = {"last": "state", "mean": "mean"}[pool]
    assert data.attrs["norm"] == "none"
    assert data["language"].values.tolist() == ["de", "es", "hi"]
    for language in ("de", "hi"):
        act, mid = place.rows(language, "act"), place.rows(language, "mid")
        own, pivot = place.rows(language, site), place.rows("en", site)
        for layer, ffn in enumerate(ffns(model)):
            value = ffn.output_matrix().double().numpy()
            towards = (own + pivot)[layer + 1].mean(0) / 2 if layer == 0 else own[layer + 1].mean(0)
            expected = literal_scores(mid[layer], act[layer][:, :, None] * value.T, towards)
            kinds = ["type1", "type2"] if layer == 0 else ["type2", "type1"]
            found, absent = (
                data["score"].sel(type=kind, language=language)[layer] for kind in kinds
            )
            np.testing.assert_allclose(found, expected, atol=1e-6)
            assert absent.isnull().all()


def test_a_half_sees_nothing_of_the_other(place: Place) -> None:
    """Its scores, its centroids, and what it says of neurons, are of its own segments alone."""
    data = place.reduce("neurons")
    half = halves([f"s{i}" for i in range(9)])
    assert data["half"].values.tolist() == half.tolist()
    ffn = ffns(load(place.model, "cpu", "float32"))[0]
    value = ffn.output_matrix().double().numpy()
    for part in HALVES:
        rows = half == part
        act, mid, gate = (place.rows("de", site)[0, rows] for site in ("act", "mid", "gate"))
        own, pivot = (place.rows(one, "state")[1, rows] for one in ("de", "en"))
        towards = (own + pivot).mean(0) / 2
        expected = literal_scores(mid, act[:, :, None] * value.T, towards)
        found = data.sel(part=part, language="de")
        of_type1 = found.sel(type="type1")
        np.testing.assert_allclose(of_type1["rank_score"], np.sort(expected)[:-6:-1], atol=1e-6)
        np.testing.assert_array_equal(of_type1["rank_neuron"], np.argsort(-expected)[:5])
        np.testing.assert_allclose(found["active_share"][0], (gate > 0).mean(0), rtol=1e-6)
        contribution = np.abs(act).mean(0) * np.linalg.norm(value, axis=0)
        np.testing.assert_allclose(found["contribution"][0], contribution, rtol=1e-5)
    table = place.table("halves")
    assert set(table["language"]) == {"de", "es", "hi"}
    assert table["halves_jaccard"].between(0, 1).all()


@pytest.mark.parametrize("name", ["granite", "falcon_h1"])
def test_a_factor_of_the_ffns_output_counts(name: str) -> None:
    generator = np.random.default_rng(0)
    for ffn in ffns(tiny_model(name)):
        mid = generator.normal(size=(3, ffn.hidden)).astype(np.float32)
        act = generator.normal(size=(3, ffn.neurons)).astype(np.float32)
        towards = generator.normal(size=ffn.hidden)
        value = written_scale(name) * ffn.output_matrix().double().numpy()
        added = act[:, :, None].astype(np.float64) * value.T
        found = layer_scores(ffn, mid, act, towards)
        np.testing.assert_allclose(found, literal_scores(mid, added, towards), atol=2e-6)


@pytest.mark.parametrize(
    "name", ["gemma2", "gemma3_text", "gemma4_text", "glm4", "olmo2", "olmo3", "exaone4"]
)
def test_a_norm_after_the_ffn_is_linearised_at_the_row(name: str) -> None:
    model = tiny_model(name)
    generator = np.random.default_rng(0)
    for ffn in ffns(model):
        mid = generator.normal(size=(3, ffn.hidden)).astype(np.float32)
        act = generator.normal(size=(3, ffn.neurons)).astype(np.float32)
        towards = generator.normal(size=ffn.hidden)
        value = ffn.output_matrix().double().numpy()
        with torch.no_grad():
            out = torch.from_numpy(act) @ ffn.output_matrix().T
            factor = (ffn.norm_after(out) / out).double().numpy()  # an RMSNorm's, as it stands
        added = factor[:, None] * act[:, :, None].astype(np.float64) * value.T
        np.testing.assert_allclose(
            layer_scores(ffn, mid, act, towards), literal_scores(mid, added, towards), atol=2e-6
        )


@pytest.mark.parametrize("center", [True, False])
def test_a_norm_scales_the_whole_output_with_its_bias(center: bool) -> None:
    ffn = ffns(tiny_model("gemma2"))[0]
    generator = np.random.default_rng(0)
    mid = generator.normal(size=(3, ffn.hidden)).astype(np.float32)
    bias, gain = generator.normal(size=(2, ffn.hidden)).astype(np.float32)
    act = generator.normal(size=(3, ffn.neurons)).astype(np.float32)
    towards = generator.normal(size=ffn.hidden)
    norm: Any = (torch.nn.LayerNorm if center else torch.nn.RMSNorm)(ffn.hidden, eps=0.1)
    norm.weight.data = torch.from_numpy(gain)
    plain, behind_norm = replace(ffn, norm_after=None), replace(ffn, norm_after=norm)
    without_bias = [layer_scores(one, mid, act, towards) for one in (plain, behind_norm)]
    ffn.w_out.bias = torch.nn.Parameter(torch.from_numpy(bias))
    value = ffn.output_matrix().double().numpy()
    out = act.astype(np.float64) @ value.T + bias
    if center:
        value, out = value - value.mean(0), out - out.mean(1, keepdims=True)
    factor = gain / np.sqrt(np.mean(out**2, axis=1, keepdims=True) + 0.1)
    added = factor[:, None] * act[:, :, None].astype(np.float64) * value.T
    found = layer_scores(behind_norm, mid, act, towards)
    np.testing.assert_allclose(found, literal_scores(mid, added, towards), atol=1e-6)
    assert np.abs(found - without_bias[1]).max() > 1e-3
    np.testing.assert_array_equal(layer_scores(plain, mid, act, towards), without_bias[0])


@pytest.mark.parametrize("hidden", [16, 9])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("epsilon", [1e-5, 1e-6, 1e-12])
def test_the_form_of_a_norm_says_what_it_computes(
    hidden: int, center: bool, epsilon: float
) -> None:
    norm: Any = (
        torch.nn.LayerNorm(hidden, eps=epsilon) if center else torch.nn.RMSNorm(hidden, eps=epsilon)
    )
    norm.weight.data = torch.randn(hidden, generator=torch.Generator().manual_seed(0))
    if center:
        norm.bias.data.fill_(30.0)
    form = norm_form(norm.to(torch.bfloat16), hidden)
    assert form.center == center
    assert form.epsilon == pytest.approx(epsilon, rel=1e-3)
    for size in (1e-3, 1.0):
        x = size * torch.randn(4, hidden, generator=torch.Generator().manual_seed(1)).double()
        wide = x - x.mean(-1, keepdim=True) if center else x
        scale = (wide.square().mean(-1, keepdim=True) + form.epsilon).rsqrt()
        bias = norm.bias.double() if center else 0
        with torch.no_grad():
            expected = norm.double()(x)
        torch.testing.assert_close(form.gain * wide * scale + bias, expected, rtol=1e-6, atol=1e-6)


def test_norms_are_said_to_be_linearised(sandwich: Place) -> None:
    data = sandwich.reduce("neurons")
    assert data.attrs["norm"] == "linearised at the recorded row"
    assert data["score"].notnull().any(("language", "neuron")).values.tolist() == [
        [True, False],
        [False, True],
    ]


def test_an_encoders_layers_are_the_lower_ones(translator: Place) -> None:
    data = translator.reduce("neurons", type1_layers=0.4)
    assert data["stack"].values.tolist() == ["encoder"] * 2 + ["decoder"] * 3
    own, pivot = translator.rows("de", "state"), translator.rows("en", "state")
    assert len(own) == 7
    found = ffns(load(translator.model, "cpu", "float32"))
    for layer, state, kind in ((1, 2, "type1"), (2, 4, "type2"), (4, 6, "type2")):
        towards = (own[state] + pivot[state]).mean(0) / 2 if kind == "type1" else own[state].mean(0)
        value = found[layer].output_matrix().double().numpy()
        added = translator.rows("de", "act")[layer][:, :, None] * value.T
        np.testing.assert_allclose(
            data["score"].sel(type=kind, language="de")[layer],
            literal_scores(translator.rows("de", "mid")[layer], added, towards),
            atol=1e-6,
        )


def planted(place: Place, folder: Path) -> dict[str, Path]:
    """Copy states in which two neurons of German write what their centroids are made of."""
    value = [ffn.output_matrix().numpy() for ffn in ffns(load(place.model, "cpu", "float32"))]
    paths = {}
    for language in ("en", "de"):
        source = store.read_completion(place.states(language))
        paths[language] = folder / f"{language}.zarr" / "states"
        store.begin(paths[language], "activations", source.origin)
        rows = {site: place.rows(language, site) for site in ("act", "mid", "state", "mean")}
        rows["state"][1] = value[0][:, 5]
        rows["state"][2] = value[1][:, 7] if language == "de" else -value[1][:, 7]
        if language == "de":
            rows["act"] *= 0.01
            rows["act"][0, :, 5] = rows["act"][1, :, 7] = 5
        rows["gate"] = rows["act"]
        for site, values in rows.items():
            array = store.create_rows(paths[language], site, values.shape, 8, "float32", "last")
            array[:] = values.astype(np.float32)
        data = store.open_dataset(place.states(language), source.content, without=store.SITES)
        store.write_dataset(paths[language], data)
        store.complete(paths[language], "activations", source.origin, source.counts)
    return paths


def test_planted_neurons_come_first(place: Place, tmp_path: Path) -> None:
    run_step(
        TRANSFER,
        TRANSFER.step("neurons"),
        NeuronsInputs(model=place.model, states=planted(place, tmp_path)),
        settings_of("neurons", languages=["en", "de"], top_n=None, top_fraction=0.2),
        tmp_path / "neurons.zarr",
        ExecutionSettings(),
    )
    table = pd.read_csv(tmp_path / "neurons.csv")
    assert list(table) == ["type", "language", "rank", "layer", "neuron", "score"]
    assert len(table) == 2 * 5, "a fifth of 24 in each type's layer"
    first = table[table["rank"] == 1].set_index("type")
    assert first.loc["type1", ["layer", "neuron"]].tolist() == [1, 5]
    assert first.loc["type2", ["layer", "neuron"]].tolist() == [2, 7]
    assert table.groupby("type")["score"].is_monotonic_decreasing.all()
    lists = json.loads((tmp_path / "neurons.json").read_text())
    assert list(lists["type1"]["de"]) == ["1"]
    assert 7 in lists["type2"]["de"]["2"]
    assert len(lists["type2"]["de"]["2"]) == 5


def test_lists_are_the_highest_scores_of_all_layers(translator: Place) -> None:
    data = translator.reduce("neurons", "ranked", type1_layers=0.4, top_n=9)
    score = data["score"].sel(type="type2", language="es").values
    ordered = sorted((-score[at], at) for at in np.ndindex(score.shape) if not np.isnan(score[at]))
    own = data.sel(type="type2", language="es", part="all")
    places = np.stack([own["rank_layer"], own["rank_neuron"]], axis=1)
    assert places.tolist() == [list(at) for _, at in ordered[:9]]
    mask = listed(data, "type2", "es")
    assert own["neurons"].values.tolist() == mask.sum(1).tolist()
    assert listed(data, "type2", "es", 1).sum() == 1


def test_more_neurons_than_there_are(place: Place) -> None:
    with pytest.raises(NeuroglotError, match=r"transfer\.top_n asks for 25 neurons, but 24"):
        place.reduce("neurons", "too-many", top_n=25)


def neighbours(states: np.ndarray, k: int) -> list[set[int]]:
    found = []
    for i in range(len(states)):
        others = [j for j in range(len(states)) if j != i]
        others.sort(key=lambda j: -cosine(states[i], states[j]))
        found.append(set(others[:k]))
    return found


def literal_closeness(pivot: np.ndarray, own: np.ndarray, k: int) -> tuple[float, float, float]:
    count = len(pivot)
    parallel = np.mean([cosine(pivot[i], own[i]) for i in range(count)])
    other = [cosine(pivot[i], own[j]) for i in range(count) for j in range(count) if i != j]
    shared = zip(neighbours(pivot, k), neighbours(own, k), strict=True)
    return (
        float(parallel),
        float(np.mean(other)),
        float(np.mean([len(a & b) / k for a, b in shared])),
    )


def test_space_is_measured_pair_by_pair(place: Place) -> None:
    data = place.reduce("space")
    states = {language: place.rows(language, "state") for language in LANGUAGES}
    assert data["state"].size == 3
    assert data.attrs["pivot"] == "en"
    for language in ("de", "hi"):
        found = data.sel(language=language)
        for state in (1, 2):
            expected = literal_closeness(states["en"][state], states[language][state], 2)
            names = ("parallel", "non_parallel", "mutual_knn")
            for name, value in zip(names, expected, strict=True):
                one = found.isel(state=state).sel(k=2)
                assert float(one[name]) == pytest.approx(value, abs=1e-6), name
                assert one[f"{name}_low"] <= one[name] <= one[f"{name}_high"]
            centroids = [states[one][state].mean(0) for one in (language, "es")]
            similar = found["centroid_similarity"].sel(language_other="es")[state]
            assert float(similar) == pytest.approx(cosine(*centroids), abs=1e-6)
    for name in ("parallel", "non_parallel", "mutual_knn", "mutual_knn_high"):
        assert data[name].sel(language="en").isnull().all()
    assert data["mutual_knn_chance"].values.tolist() == [1 / 8, 2 / 8]
    assert data["coordinates"].dims == ("state", "language", "segment", "component")
    rows = np.concatenate([states[language][2] for language in LANGUAGES])
    variance = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
    np.testing.assert_allclose(data["explained"][2], (variance / variance.sum())[:2], rtol=1e-6)
    german = np.linalg.svd(states["de"][2] - states["de"][2].mean(0), compute_uv=False) ** 2
    share = np.cumsum(german) / german.sum()
    assert data["components"].sel(language="de").isel(state=2).values.tolist() == [
        1 + int((share < bar).sum()) for bar in (0.5, 0.95)
    ]
    assert set(place.table("similarity")["language"]) == {"de", "es", "hi"}
    assert len(place.table("distances")) == 3 * 16
    assert data["compared_languages"] == 4
    cosines = data["centroid_similarity"].mean("state").values[np.triu_indices(4, 1)]
    tokens = data["token_overlap"].values[np.triu_indices(4, 1)]
    assert float(data["correlation"].sel(predictor="token_overlap")) == pytest.approx(
        np.corrcoef(cosines, tokens)[0, 1]
    )
    assert data["layer_correlation"].dims == ("state", "predictor")
    assert len(place.table("related_languages")) == 3
    assert len(place.table("components")) == 3 * 4 * 2


def test_the_order_of_languages_changes_nothing(place: Place) -> None:
    one = place.reduce("space")
    order = ["hi", "es", "en", "de"]
    other = place.reduce("space", "ordered", languages=order)
    xr.testing.assert_allclose(
        other.drop_vars("coordinates").reindex(language=LANGUAGES, language_other=LANGUAGES),
        one.drop_vars("coordinates"),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        other["coordinates"].sel(language=LANGUAGES), one["coordinates"], atol=1e-4
    )


def test_more_neighbours_than_segments(place: Place) -> None:
    with pytest.raises(NeuroglotError, match=r"transfer\.k: of 9 segments, 3 .* set k to 2"):
        place.reduce("space", "too-near", k=[3])


def states_without(place: Place, language: str, mask: np.ndarray) -> np.ndarray:
    """Last tokens' states [state, segment, hidden], the neurons' columns cut out of W_out."""
    model = cut(place, mask)
    tokenizer = Tokenizer.from_file(str(place.model / "tokenizer.json"))
    found = []
    for text in TEXTS[language]:
        own: list[torch.Tensor] = []
        handles = [
            layer.register_forward_hook(lambda _m, _i, out, own=own: own.append(out))
            for layer in model.model.layers
        ]
        handles.append(
            model.model.layers[0].register_forward_pre_hook(
                lambda _m, args, own=own: own.append(args[0])
            )
        )
        with torch.no_grad():
            model(torch.tensor([tokenizer.encode(text).ids]))
        for handle in handles:
            handle.remove()
        found.append(
            np.stack([(one[0] if isinstance(one, tuple) else one)[0, -1].numpy() for one in own])
        )
    return np.stack(found, axis=1)


def cut(place: Place, mask: np.ndarray) -> Any:
    model: Any = load(place.model, "cpu", "float32")
    for ffn in ffns(model):
        ffn.output_matrix()[:, torch.from_numpy(mask[ffn.index])] = 0
    return model


def test_deactivation_is_cutting_neurons_away(place: Place) -> None:
    """Of each half of the segments, without the neurons that the other half chose."""
    data = place.reduce("deactivation")
    lists = place.reduce("neurons")
    pivot = place.rows("en", "state")
    half = halves([f"s{i}" for i in range(len(pivot[0]))])
    assert data["variant"].values.tolist() == [
        "baseline",
        *(f"{done}_{name}" for name in ("type1", "type2") for done in DONE),
    ]
    chosen = {one: listed(lists, "type1", "de", part=one) for one in HALVES}
    edited = controlled(chosen, lists, "de", 2)
    draws = {"baseline": np.zeros((1, 2, 2, 24), bool)}
    draws |= {f"{done}_type1": edited.masks[done] for done in ("without", "random", "active")}
    found = data.sel(language="de", k=2)
    means = {}
    for variant, masks in draws.items():
        by_draw = np.array(
            [
                [
                    held_out(pivot, states_without(place, "de", mask), half != one)
                    for one, mask in zip(HALVES, draw, strict=True)
                ]
                for draw in masks
            ]
        )  # [draw, half, state, measure]
        weights = np.array([(half != one).mean() for one in HALVES])
        by_draw = np.einsum("dhsm,h->dsm", by_draw, weights)
        means[variant] = by_draw.mean(0)
        own = found.sel(variant=variant)
        for place_of, name in enumerate(("parallel", "non_parallel")):
            of_pair = own.sel(pair=name)
            np.testing.assert_allclose(
                of_pair["similarity"], means[variant][:, place_of], atol=1e-5
            )
            effect = means[variant] - means["baseline"]
            if variant != "baseline":
                np.testing.assert_allclose(
                    of_pair["similarity_effect"], effect[:, place_of], atol=1e-5
                )
            if variant.startswith("random"):
                ends = by_draw[..., place_of].min(0), by_draw[..., place_of].max(0)
                for end, expected in zip(("low", "high"), ends, strict=True):
                    control = of_pair[f"similarity_control_{end}"]
                    np.testing.assert_allclose(control, expected, atol=1e-5)
        # State 0 repeats rows, whose neighbours tie.
        np.testing.assert_allclose(own["mutual_knn"][1:], means[variant][1:, 2], atol=1e-9)
    without = found.sel(variant="without_type1", pair="parallel")
    for control, other in (("naive", "random"), ("activity", "active")):
        excess = without.sel(control=control)["similarity_excess"]
        expected = (means["without_type1"] - means[f"{other}_type1"])[:, 0]
        np.testing.assert_allclose(excess, expected, atol=1e-5)
    assert data["similarity_effect"].sel(variant="baseline").isnull().all()
    edits = data["edited"].sel(language="de")
    assert edits.sel(variant=["baseline", "without_type1", "random_type2"]).values.tolist() == [
        0,
        5,
        5,
    ]
    table = place.table("deactivation")
    assert set(table["variant"]) <= set(data["variant"].values)
    assert {"similarity_effect", "similarity_excess_activity_high", "matched_share"} <= set(table)
    assert {"mutual_knn_excess_contribution", "edited"} <= set(place.table("deactivation_knn"))


def held_out(pivot: np.ndarray, own: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Closeness [state, measure]: cosines among the judged segments, neighbours among all."""
    return np.array(
        [
            [
                *literal_closeness(of_pivot[judged], of_language[judged], 2)[:2],
                np.mean(
                    [
                        len(a & b) / 2
                        for a, b, kept in zip(
                            neighbours(of_pivot, 2), neighbours(of_language, 2), judged, strict=True
                        )
                        if kept
                    ]
                ),
            ]
            for of_pivot, of_language in zip(pivot, own, strict=True)
        ]
    )


def test_the_baseline_is_what_was_recorded(place: Place) -> None:
    space, data = place.reduce("space"), place.reduce("deactivation")
    found = data.sel(variant="baseline")
    expected = space.sel(language=["de", "es", "hi"])
    own = found["similarity"].sel(pair="parallel").transpose("state", "language")
    np.testing.assert_allclose(own, expected["parallel"].transpose("state", "language"), atol=1e-6)
    knn = (data["mutual_knn"] for data in (found, expected))
    np.testing.assert_allclose(*(one.transpose("k", "state", "language") for one in knn), atol=1e-6)


def stored(place: Place, name: str, lists: xr.Dataset) -> Path:
    """Store neurons as a step's result, in a folder of their own."""
    path = place.folder / name / "neurons.zarr"
    card = store.read_completion(place.states("en")).origin["card"]
    origin = {"reduction": "transfer/neurons", "cards": [card]}
    store.begin(path, "reduction", origin)
    store.write_dataset(path, lists)
    store.complete(path, "reduction", origin, {})
    return path


def test_empty_lists_have_no_effect(place: Place) -> None:
    stored(place, "empty", place.reduce("neurons").isel(rank=slice(0)))
    data = place.reduce("deactivation", "empty", positions="last")
    drawn = ["without_type1", "random_type1", "active_type2"]
    for name in ("similarity_effect", "similarity_effect_low", "similarity_effect_high"):
        assert (data[name].sel(variant=drawn) == 0).all()
    excess = data["mutual_knn_excess"].sel(variant="without_type1")
    assert (excess.sel(control=["naive", "activity"]) == 0).all()
    assert excess.sel(control="contribution").isnull().all()


def test_lapes_neurons_are_a_set_of_their_own(place: Place) -> None:
    """The same neurons for both halves; a language without such neurons has no result."""
    own = np.zeros((4, 2, 24), bool)
    own[1] = listed(place.reduce("neurons"), "type2", "de")
    language_neuron = (("language", "layer", "neuron"), own)
    stored(place, "lape", xr.Dataset({"language_neuron": language_neuron}, {"language": LANGUAGES}))
    ratio = place.reduce("correlation")["correlation_ratio"].sel(grouping="language", language="de")
    data = place.reduce("lape")
    german = data.sel(variant="without_lape", language="de")
    assert german["edited"] == 5
    pivot, without = place.rows("en", "state"), states_without(place, "de", own[1])
    half = halves([f"s{i}" for i in range(9)])
    expected = sum(held_out(pivot, without, half == one) * (half == one).mean() for one in HALVES)
    similarity = german["similarity"].sel(pair="parallel")
    np.testing.assert_allclose(similarity, expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(german["mutual_knn"].sel(k=2)[1:], expected[1:, 2], atol=1e-9)
    assert data["similarity"].sel(variant="without_lape", language=["es", "hi"]).isnull().all()
    alone = data["similarity_excess"].sel(variant="without_lape", language="de")
    xr.testing.assert_allclose(
        data["similarity_excess_all"].sel(variant="without_lape"), alone.drop_vars("language")
    )
    unedited = {"variant": "baseline"}
    xr.testing.assert_allclose(
        data["similarity"].sel(unedited), place.reduce("deactivation")["similarity"].sel(unedited)
    )
    found = data.sel(type="type2", language="de")
    assert found["lape_listed"] == found["listed_lape"] == 1
    np.testing.assert_allclose(found["lape_ratio"].sel(set="lape"), ratio.values[own[1]].mean())
    table = place.table("lape")
    assert set(table["language"]) == {"de"}
    assert set(table["type"]) == {"type2"}
    assert {*place.table("lape_deactivation")["variant"]} == {*data["variant"].values}
    assert (
        not place.table("lape_deactivation_knn")
        .duplicated(["variant", "language", "state", "k"])
        .any()
    )


def test_no_language_need_have_neurons_of_lape(place: Place) -> None:
    """The model as it is remains, and nothing is said of LAPE's neurons."""
    nothing = (("language", "layer", "neuron"), np.zeros((4, 2, 24), bool))
    stored(place, "none", xr.Dataset({"language_neuron": nothing}, {"language": LANGUAGES}))
    place.reduce("correlation")
    lists = place.folder / "transfer" / "neurons.zarr"
    data = place.reduce("lape", "without-lape", lists, "none")
    assert data["similarity"].sel(variant="baseline").notnull().all()
    of_lape = data.drop_sel(variant="baseline")[["similarity", "mutual_knn", "lape_score"]]
    assert all(values.isnull().all() for values in of_lape.values())
    assert place.table("lape", "without-lape").empty


def test_the_last_position_is_another_experiment(place: Place) -> None:
    lists = place.folder / "transfer" / "neurons.zarr"
    everywhere = place.reduce("deactivation")
    last = place.reduce("deactivation", "last", lists, positions="last")
    one, other = (d["similarity_effect"].sel(variant="without_type1") for d in (everywhere, last))
    assert float(np.abs(one - other).max()) > 1e-4
    assert float(np.abs(other).max()) > 1e-4


def test_a_language_added_later_costs_its_own_part(place: Place) -> None:
    few = ["en", "de", "es"]
    for name in ("neurons", "deactivation"):
        place.reduce(name, "added", languages=few)
    pieces = {path: path.stat().st_mtime_ns for path in (place.folder / "added").glob("*/*.npz")}
    assert len(pieces) == 4
    for name in ("neurons", "deactivation"):
        (place.folder / "added" / f"{name}.zarr" / store.COMPLETE).unlink()
        data = place.reduce(name, "added")
        whole = place.reduce(name)
        xr.testing.assert_identical(data.drop_attrs(), whole.drop_attrs())
    assert {path: path.stat().st_mtime_ns for path in pieces} == pieces
    assert len(list((place.folder / "added").glob("*/hi.npz"))) == 2


def test_correlation_is_a_share_of_sums_of_squares(place: Place) -> None:
    data = place.reduce("correlation")
    lists = place.reduce("neurons")
    act = {language: place.rows(language, "act") for language in LANGUAGES}
    members = {"language": {"de"}, "family": {"en", "de", "es"}}
    for grouping, inside in members.items():
        for layer, neuron in ((0, 3), (1, 20)):
            values = {one: own[layer, :, neuron] for one, own in act.items()}
            everything = np.concatenate(list(values.values()))
            groups = [
                np.concatenate([own for one, own in values.items() if (one in inside) == side])
                for side in (True, False)
            ]
            between = sum(len(g) * (g.mean() - everything.mean()) ** 2 for g in groups)
            expected = between / ((everything - everything.mean()) ** 2).sum()
            found = data["correlation_ratio"].sel(grouping=grouping, language="de")[layer, neuron]
            assert float(found) == pytest.approx(expected, rel=1e-5)
    hindi = data.sel(language="hi")["correlation_ratio"]
    np.testing.assert_array_equal(hindi.sel(grouping="family"), hindi.sel(grouping="language"))
    assert data["top"].values.tolist() == [2, 5]
    half = halves([f"s{i}" for i in range(9)])
    mean = data["mean_ratio"].sel(grouping="language", language="de", top=2)
    chosen = {one: listed(lists, "type2", "de", 2, one) for one in HALVES}
    edited = controlled(chosen, lists, "de", data.attrs["draws"]).masks
    for name, masks in (("type2", edited["without"]), ("active_type2", edited["active"])):
        ratios = []
        for draw in masks:
            for one, mask in zip(HALVES, draw, strict=True):
                rows = [own[:, half != one][:, :, :].astype(float) for own in act.values()]
                for layer, neuron in np.argwhere(mask):
                    values = [own[layer, :, neuron] for own in rows]
                    everything = np.concatenate(values)
                    german, others = values[1], np.concatenate([values[0], *values[2:]])
                    between = sum(
                        len(g) * (g.mean() - everything.mean()) ** 2 for g in (german, others)
                    )
                    ratios.append(between / ((everything - everything.mean()) ** 2).sum())
        assert float(mean.sel(type=name)) == pytest.approx(np.mean(ratios), rel=1e-5)
    low = data["mean_ratio_control_low"].sel(grouping="language", language="de", top=2)
    assert float(low.sel(type="active_type2")) <= float(mean.sel(type="active_type2"))
    assert np.isnan(low.sel(type="type2"))


def test_a_family_that_all_are_of_tells_nothing(place: Place) -> None:
    lists = place.folder / "transfer" / "neurons.zarr"
    table = {language: {**row, "family": "one"} for language, row in TABLE.items()}
    data = place.reduce("correlation", "related", lists, language_table=table)
    assert data["correlation_ratio"].sel(grouping="family").isnull().all()
    assert data["correlation_ratio"].sel(grouping="language").notnull().all()


def literal_log_probabilities(place: Place, language: str, mask: np.ndarray) -> list[float]:
    """ln p(gold | prompt) of each item, the neurons off at every token after <s>."""
    model = cut(place, np.zeros_like(mask))
    tokenizer = Tokenizer.from_file(str(place.model / "tokenizer.json"))
    items = [
        Item(str(i), prompt, (gold,), (gold, other))
        for i, (prompt, gold, other) in enumerate(QUESTIONS[language])
    ]
    found = []
    for question in encode(tokenizer, [1], items, None):
        ids = [*question.prompt, *question.gold[0]]
        after_bos = torch.arange(len(ids))[None] > 0
        with torch.no_grad(), intervened(model, [Edit(mask)], after_bos):
            log = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        start = len(question.prompt)
        found.append(sum(float(log[t - 1, ids[t]]) for t in range(start, len(ids))))
    return found


def test_tasks_are_answered_without_neurons(place: Place) -> None:
    data = place.reduce("tasks", languages=["de", "es"])
    lists = place.reduce("neurons")
    assert data["scoring"].values.tolist() == ["rank"]
    assert data.attrs["task_positions"] == "all"
    nobody = np.zeros((2, 24), bool)
    for language in ("de", "es"):
        found = data["log_probability"].sel(task="facts", language=language)
        masks = {kind: listed(lists, kind, language) for kind in ("type1", "type2")}
        edited = controlled({"all": masks["type1"]}, lists, language, 2).masks
        expected = {
            "baseline": literal_log_probabilities(place, language, nobody),
            **{
                f"without_{kind}": literal_log_probabilities(place, language, mask)
                for kind, mask in masks.items()
            },
            **{
                f"{done}_type1": [
                    literal_log_probabilities(place, language, draw[0]) for draw in draws
                ]
                for done, draws in edited.items()
                if len(draws)
            },
        }
        for variant, values in expected.items():
            assert float(found.sel(variant=variant)) == pytest.approx(np.mean(values), abs=1e-4)
    table = place.table("tasks").set_index(["variant", "language"])
    assert (table["items"] == 2).all()
    assert (table["chance"] == 0.5).all()
    assert table.loc["random_type2", "de"]["neurons"] == 5
    for name in ("accuracy", "log_probability"):
        assert table[name].between(table[f"{name}_low"], table[f"{name}_high"]).all()


def configured(**changes: Any) -> dict[str, Any]:
    settings = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    settings["tasks"] = {"facts": {"source": "facts"}, "far": {"source": "facts"}}
    settings["tasks"]["far"]["languages"] = ["en", "fr"]
    del settings["sharing"]  # which has other tasks
    del settings["judged_models"]
    return {**settings, "transfer": {"corpus": "udhr", "k": [2]}, **changes}


def test_the_default_settings_are_valid() -> None:
    config = load_config(configured(transfer={"corpus": "udhr", "k": [2], "tasks": ["facts"]}))
    section = config.section("transfer")
    others = [one for one in config.languages if one != "en"]
    assert paired_languages(config, section, "udhr") == others
    assert paired_languages(config, section, "far") == ["fr"]
    assert [naming.languages(config, section) for naming in TRANSFER.naming] == [others] * 2


def test_steps_are_given_the_languages_they_pair() -> None:
    config = load_config(
        configured(transfer={"corpus": "udhr", "k": [2], "tasks": ["far", "facts"]})
    )
    section, scope = config.section("transfer"), Scope(("gemma-3-270m",))
    others = [one for one in config.languages if one != "en"]
    steps = {step.name: step for step in TRANSFER.steps}
    found = {name: step.inputs(config, section, scope) for name, step in steps.items()}
    told = {name: steps[name].settings(config, section, scope) for name in ("space", "tasks")}
    for name in ("neurons", "space", "deactivation", "correlation"):
        assert tuple(found[name].states) == config.languages, name
    assert list(found["deactivation"].tokens) == others
    assert tuple(found["space"].tokens) == config.languages
    items = found["tasks"].items
    assert {task: list(own) for task, own in items.items()} == {"far": ["fr"], "facts": others}
    assert items["far"]["fr"] == Path("results/tasks/far/fr.parquet")
    assert told["tasks"].languages == others
    assert told["tasks"].scorings == {"far": "rank", "facts": "rank"}
    assert tuple(told["space"].languages) == config.languages
    assert told["space"].pivot == "en"
    assert found["lape"].lape == Path("results/lape/gemma-3-270m/neurons.zarr")
    assert found["lape"].tokens == found["deactivation"].tokens


def test_lapes_neurons_are_compared_where_both_analyses_run() -> None:
    def jobs(config: Config) -> dict[str, list[str]]:
        """The models of each step."""
        return {
            step.name: wanted.models(config, TRANSFER, [step])
            for step in wanted.steps(config, TRANSFER)
        }

    config = load_config(configured(transfer={"corpus": "udhr", "k": [2], "tasks": ["facts"]}))
    both = ["gemma-3-270m", "smollm2-135m"]
    every = ("neurons", "space", "deactivation", "correlation", "lape", "tasks")
    assert jobs(config) == dict.fromkeys(every, both)
    changes = {"lape": {"corpus": "udhr", "models": both[:1]}, "boost": None, "agreement": None}
    of_one = load_config(configured(transfer=config.section("transfer").model_dump(), **changes))
    assert jobs(of_one) == jobs(config) | {"lape": both[:1]}
    none = load_config(configured(lape=None, boost=None, agreement=None))
    assert [*jobs(none)] == ["neurons", "space", "deactivation", "correlation"]
    assert "lape" not in {figure_set.name for figure_set in wanted.figure_sets(none, TRANSFER)}
    with pytest.raises(NeuroglotError, match="asks it of no model; it needs lape"):
        commands.make_reduction(none, "transfer", "lape", both[0], None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer": {"corpus": "udrh"}}, r"transfer\.corpus: .*did you mean 'udhr'"),
        (
            {"transfer": {"corpus": "udhr", "k": [2], "tasks": ["fcts"]}},
            r"transfer\.tasks\[0\]: .*'facts'",
        ),
        (
            {"transfer": {"corpus": "udhr", "k": [7]}},
            r"transfer\.k: of 26 segments, 7 are over .* 28%",
        ),
        ({"transfer": {"corpus": "django", "k": [2]}, "pivot": "fr"}, r"pivot: .*'fr'.* 'django'"),
        (
            {"transfer": {"corpus": "udhr", "top_n": 5, "top_fraction": 0.1}},
            r"transfer: top_n and top_fraction",
        ),
        (
            {"transfer": {"corpus": "django", "k": [2], "tasks": ["far"]}},
            r"transfer\.tasks\[0\]: 'far' .*no language in common but the pivot",
        ),
        ({"transfer": {"corpus": "udhr", "top_m": 5}}, r"transfer\.top_m: .*did you mean 'top_n'"),
    ],
)
def test_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(NeuroglotError, match=message):
        load_config(configured(**changes))
