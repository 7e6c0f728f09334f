"""Chance overlap against enumeration and simulation; each method's neurons from its reduction."""

from collections.abc import Callable
from itertools import combinations, product
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml

from neuroglot import store
from neuroglot.analyses.agreement import AGREEMENT, compared_languages
from neuroglot.analyses.agreement.measures.overlap import (
    Sets,
    agreement,
    compare,
    named_by_several,
    shared_by_chance,
)
from neuroglot.analyses.agreement.settings import AgreementInputs, AgreementStepSettings
from neuroglot.analyses.base import LanguageFacts, NamingInputs
from neuroglot.analyses.lexicon.measures.lexicon import lowest_entropy_neurons
from neuroglot.analyses.named import (
    Method,
    configured_methods,
    find_method,
    looked_at,
    named_neurons,
)
from neuroglot.analyses.run import run_step
from neuroglot.analyses.sharing.measures.specificity import most_specific
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.config import load
from neuroglot.errors import NeuroglotError
from neuroglot.measures.selection import highest
from neuroglot.models.ffn import ffns
from neuroglot.models.normalise import normalise
from neuroglot.models.projection import written_tokens
from neuroglot.models.source import ModelSettings
from support import ROOT
from support.tiny_checkpoints import write_checkpoint
from support.tiny_models import DEEP_HEADS, NAMES, tiny_model, written_gain, written_scale

torch.set_num_threads(1)

LANGUAGES = ["en", "de", "th"]
LAYERS, NEURONS = 2, 24
ANALYSES = {
    "lape": "lape",
    "sharing": "sharing",
    "type1": "transfer",
    "type2": "transfer",
    "experts": "experts",
    "lexicon": "lexicon",
}
METHODS = {name: Method(name=name, analysis=analysis) for name, analysis in ANALYSES.items()}


# --- chance ---------------------------------------------------------------------------------


def subsets(population: int, size: int) -> list[frozenset[int]]:
    return [frozenset(chosen) for chosen in combinations(range(population), size)]


@pytest.mark.parametrize(
    ("population", "first", "second"),
    [(6, 3, 2), (6, 2, 3), (6, 5, 4), (5, 5, 2), (4, 0, 2), (4, 4, 4), (7, 1, 1)],
)
def test_chance_is_that_of_all_pairs_of_sets(population, first, second):
    pairs = list(product(subsets(population, first), subsets(population, second)))
    counted = np.bincount([len(a & b) for a, b in pairs], minlength=min(first, second) + 1)
    found = shared_by_chance(population, first, second)
    np.testing.assert_allclose(found, counted / len(pairs), rtol=1e-12, atol=1e-15)


def test_strata_are_those_of_all_pairs_of_sets():
    sizes = [(5, 2, 3), (4, 2, 2), (3, 0, 1)]
    pairs = [list(product(subsets(n, a), subsets(n, b))) for n, a, b in sizes]
    sums = np.array([sum(len(a & b) for a, b in drawn) for drawn in product(*pairs)])
    first, second = 4, 6
    for shared in range(5):
        split = [min(shared, 2), max(0, shared - 2), 0]
        strata = [Sets(*size, part) for size, part in zip(sizes, split, strict=True)]
        jaccard, expected, p_value = compare(strata)
        assert jaccard == shared / (first + second - shared)
        assert expected == pytest.approx((sums / (first + second - sums)).mean(), rel=1e-12)
        assert p_value == pytest.approx((sums >= shared).mean(), rel=1e-12)


def test_strata_are_those_of_a_simulation():
    sizes, draws = [(200, 40, 10), (100, 3, 50), (50, 20, 20)], 100_000
    generator = np.random.default_rng(5)
    sums = sum(generator.hypergeometric(a, n - a, b, draws) for n, a, b in sizes)
    split = (5, 2, 10)  # 17 of 11.5 expected
    strata = [Sets(*size, part) for size, part in zip(sizes, split, strict=True)]
    _, expected, p_value = compare(strata)
    jaccards = sums / (143 - sums)
    error = 4 / np.sqrt(draws)
    assert expected == pytest.approx(jaccards.mean(), abs=error * jaccards.std())
    assert p_value == pytest.approx((sums >= 17).mean(), abs=error * np.sqrt(p_value))
    assert 0.001 < p_value < 0.05


def test_layers_must_agree_and_not_totals():
    """Both methods in one layer only is no agreement on neurons, stratified by layer."""
    _, expected, p_value = compare([Sets(10, 10, 10, 10), Sets(1000, 0, 0, 0)])
    assert (expected, p_value) == (1, 1)


def test_tails_keep_their_precision():
    _, _, p_value = compare([Sets(14336, 150, 150, 150)])
    assert p_value == pytest.approx(1 / comb(14336, 150), rel=1e-8)
    assert compare([Sets(14336, 150, 150, 0)])[2] == pytest.approx(1, abs=1e-12)


def test_an_empty_set_has_no_overlap():
    assert np.isnan(compare([Sets(5, 0, 3, 0)])).all()
    assert np.isnan(compare([])).all()


def test_a_set_larger_than_its_layer_is_refused():
    with pytest.raises(NeuroglotError, match="sets of 6 and 2 neurons"):
        shared_by_chance(5, 6, 2)


# --- measure --------------------------------------------------------------------------------


def named(seed: int = 0, methods: int = 3) -> tuple[xr.DataArray, xr.DataArray]:
    generator = np.random.default_rng(seed)
    chosen = generator.random((methods, 3, 4, 20)) < 0.3
    looked = np.ones((methods, 4), bool)
    looked[1, :2] = False
    chosen &= looked[:, None, :, None]
    chosen[0, 2] = False
    mask = xr.DataArray(
        chosen,
        dims=("method", "language", "layer", "neuron"),
        coords={
            "method": [f"m{i}" for i in range(methods)],
            "language": LANGUAGES,
            "layer": np.arange(4),
            "stack": ("layer", ["decoder"] * 4),
        },
    )
    return mask, xr.DataArray(looked, dims=("method", "layer"))


def test_overlaps_are_those_of_sets():
    mask, looked = named()
    found = agreement(mask, looked)
    assert found["stack"].dims == ("layer",)
    for i, j in product(range(3), repeat=2):
        for k, language in enumerate(LANGUAGES):
            one = {"method": f"m{i}", "method_other": f"m{j}", "language": language}
            pair = found.sel(one)
            sets = [
                [set(np.flatnonzero(row)) for row in mask.values[method, k]] for method in (i, j)
            ]
            shared = [len(a & b) for a, b in zip(*sets, strict=True)]
            assert pair["shared"].values.tolist() == shared
            assert found["neurons"].sel(
                {"method": f"m{i}", "language": language}
            ).values.tolist() == [len(a) for a in sets[0]]
            if i == j:
                assert pair["jaccard"].isnull().all()
                assert pair["jaccard_all"].isnull()
                continue
            for layer, (a, b) in enumerate(zip(*sets, strict=True)):
                jaccard = len(a & b) / len(a | b) if a and b else np.nan
                np.testing.assert_equal(pair["jaccard"].values[layer], jaccard)
            both = [
                layer for layer in range(4) if looked.values[i, layer] and looked.values[j, layer]
            ]
            a, b = ({(at, n) for at in both for n in own[at]} for own in sets)
            jaccard = len(a & b) / len(a | b) if a and b else np.nan
            np.testing.assert_equal(pair["jaccard_all"].item(), jaccard)


def test_it_is_symmetric_and_does_not_depend_on_the_order_of_languages():
    mask, looked = named()
    found = agreement(mask, looked)
    turned = found.rename(method="method_other", method_other="method").transpose(*found.dims)
    for name in ("shared", "jaccard", "expected_jaccard", "p_value", "p_value_all", "p_value_holm"):
        xr.testing.assert_identical(
            found[name],
            turned[name].transpose(*found[name].dims).drop_attrs().assign_attrs(found[name].attrs),
        )
    other = agreement(mask.sel(language=["th", "en", "de"]), looked)
    xr.testing.assert_identical(other.sel(language=LANGUAGES), found)


def test_planted_neurons_are_found_and_random_ones_are_not():
    generator = np.random.default_rng(2)
    core = generator.random((4, 3, 500)) < 0.02
    chosen = generator.random((3, 4, 3, 500)) < 0.02
    chosen[:2] |= core & (generator.random((2, 4, 3, 500)) < 0.8)
    mask = xr.DataArray(
        chosen,
        dims=("method", "language", "layer", "neuron"),
        coords={"method": list("abc"), "language": list("wxyz")},
    )
    found = agreement(mask, xr.DataArray(np.ones((3, 3), bool), dims=("method", "layer")))
    p = found["p_value_holm"]
    assert (p.sel({"method": "a", "method_other": "b"}) < 1e-3).all()
    assert (p.sel({"method": "c", "method_other": ["a", "b"]}) > 0.05).all()
    assert (p >= found["p_value_all"]).sum() == p.notnull().sum() == 4 * 3 * 2


def test_those_of_most_methods_come_first():
    mask, _ = named(methods=5)
    language, layer, neuron = named_by_several(mask, 2)
    methods = mask.values.sum(0)
    assert (methods >= 2).sum() == len(language) > 20
    found = list(zip(language, -methods[language, layer, neuron], layer, neuron, strict=True))
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert {-number for _, number, _, _ in found} == {2, 3, 4}


def test_highest_leaves_out_equals_that_do_not_all_fit():
    score = np.array([[3.0, 1, np.nan], [2, 2, 5]])
    assert highest(score, 2).tolist() == [[True, False, False], [False, False, True]]
    assert highest(score, 3).tolist() == [[True, False, False], [False, False, True]]
    assert highest(score, 4).tolist() == [[True, False, False], [True, True, True]]
    assert highest(score, 9).tolist() == [[True, True, False], [True, True, True]]
    assert not highest(score, 0).any()
    assert not highest(np.full(3, np.nan), 2).any()


def test_most_specific_by_hand():
    counts = xr.DataArray(
        [[[4, 0, 7], [2, 0, 2]], [[0, 0, 0], [0, 3, 0]]],
        dims=("language", "layer", "neuron"),
        coords={"language": ["en", "de"]},
    )
    for share, english in ((0.1, [2]), (0.34, [0, 2]), (0.5, [0, 2]), (0.95, [0, 2, 3, 5])):
        found = most_specific(counts.transpose("neuron", "language", "layer"), share)
        assert found.dims == counts.dims
        assert np.flatnonzero(found.sel(language="en")).tolist() == english
        assert np.flatnonzero(found.sel(language="de")).tolist() == [4], "none that never is"


def lexicon_data() -> xr.Dataset:
    """Neurons of en; of de by its negative list; uncovered; of en and de alike; less of en."""
    positive = [[0.9, 0.1, 0], [0.4, 0.3, 0.3], [1, 0, 0], [0.5, 0.5, 0], [0.6, 0.2, 0.2]]
    negative = [[0.3, 0.3, 0.4], [0, 0.95, 0.05], [np.nan] * 3, [0.3, 0.3, 0.4], [0.3, 0.3, 0.4]]
    association = np.array([positive, negative])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(association > 0, -association * np.log2(association), 0 * association)
    coverage = [[0.5, 0.5, 0.1, 0.5, 0.5], [0.5, 0.5, 0, 0.5, 0.5]]
    return xr.Dataset(
        {
            "association": (("sign", "neuron", "language"), association),
            "entropy": (("sign", "neuron"), terms.sum(2)),
            "coverage": (("sign", "neuron"), np.array(coverage)),
        },
        coords={"sign": ["positive", "negative"], "language": LANGUAGES},
    )


def test_lowest_entropy_neurons_by_hand():
    found = lowest_entropy_neurons(lexicon_data(), 0.2, 2)
    assert found.dims == ("language", "neuron")
    expected = {"en": [0, 3], "de": [1, 3], "th": []}
    assert {one: np.flatnonzero(found.sel(language=one)).tolist() for one in LANGUAGES} == expected
    every = lowest_entropy_neurons(lexicon_data(), 0.2, 9).sel(language="en")
    assert np.flatnonzero(every).tolist() == [0, 3, 4]


# --- steps ----------------------------------------------------------------------------------


def reductions() -> dict[str, xr.Dataset]:
    """What the methods leave, fabricated for a model of 2 layers of 24 neurons."""
    generator = np.random.default_rng(3)
    shape = ("language", "layer", "neuron")
    layers = {"stack": ("layer", ["decoder"] * LAYERS), "stack_layer": ("layer", [0, 1])}
    own = np.zeros((3, LAYERS, NEURONS), bool)
    for row in range(3):
        own[row, :, 3 * row : 3 * row + 3] = True
    probability = np.where(own, 0.9, 0.1).astype(np.float32)
    specific = np.where(own, 5, 1).astype(np.int16)
    specific[2] = 1  # thousands of equals: none of them is chosen
    score = generator.normal(size=(2, 2, LAYERS, NEURONS))
    score[0, :, 1] = score[1, :, 0] = np.nan
    expert = np.tile(np.arange(NEURONS) // 3, (LAYERS, 1))
    frequency = np.full((3, LAYERS, 8), 0.01)
    for row in range(3):
        frequency[row, :, row] = 0.2
    frequency[:, 1, 1] = 0.2  # of all languages in the last layer
    association = np.zeros((2, 2, NEURONS, 3))
    for row in range(3):
        association[0, :, 8 * row : 8 * row + 8, row] = 1
    association[1] = association[0, ..., ::-1]  # what counts is the uniform prior
    entropy = np.tile(np.arange(NEURONS) % 8 / 8, (2, 2, 1))
    return {
        "lape/neurons": xr.Dataset(
            {"activation_probability": (shape, probability), "language_neuron": (shape, own)},
            coords={"language": LANGUAGES, **layers},
        ),
        "sharing/kinds": xr.Dataset(
            {"specific": (shape, specific), "specific_items": 7},
            coords={"language": LANGUAGES, **layers},
        ),
        "transfer/neurons": xr.Dataset(
            {
                "score": (("type", *shape), score),
                "rank_layer": (
                    ("part", "type", "language", "rank"),
                    [[[[0, 0]] * 2, [[1, 1]] * 2]],
                ),
                "rank_neuron": (
                    ("part", "type", "language", "rank"),
                    [[[[4, 3], [7, 0]], [[5, 3], [6, 20]]]],
                ),
            },
            coords={
                "part": ["all"],
                "type": ["type1", "type2"],
                "language": ["de", "th"],
                **layers,
            },
        ),
        "experts/frequency": xr.Dataset(
            {"expert_frequency": (("language", "layer", "expert"), frequency)},
            coords={"language": LANGUAGES, **layers},
            attrs={"high_frequency": 0.05},
        ),
        "experts/partition/0": xr.Dataset(
            {"expert": (("layer", "neuron"), expert)}, coords={"layer": [0, 1], **layers}
        ),
        "lexicon/association": xr.Dataset(
            {
                "association": (("prior", "sign", "neuron", "language"), association),
                "entropy": (("prior", "sign", "neuron"), entropy),
                "coverage": (("sign", "neuron"), np.full((2, NEURONS), 0.5)),
            },
            coords={
                "prior": ["uniform", "corpus"],
                "sign": ["positive", "negative"],
                "language": LANGUAGES,
            },
            attrs={"minimum_coverage": 0.2},
        ),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", "llama")
    settings = ModelSettings.model_validate({"source": str(folder / "checkpoint")})
    normalise(settings, folder / "tiny")
    return folder / "tiny"


Reductions = dict[str, dict[str, Path]]
Write = Callable[..., Reductions]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write what the methods leave; give its place by analysis and step."""

    def written(**changed: Any) -> Reductions:
        places: Reductions = {}
        for name, data in (reductions() | changed).items():
            path = tmp_path / f"{name}.zarr"
            analysis, step = name.split("/", 1)
            origin = {"reduction": f"{analysis}/{step.split('/')[0]}"}
            store.begin(path, "reduction", origin)
            store.write_dataset(path, data)
            store.complete(path, "reduction", origin, {})
            places.setdefault(analysis, {})[step] = path
        return places

    return written


def lists(masks: dict[str, np.ndarray]) -> dict[str, list[tuple[int, int]]]:
    return {
        one: [*zip(*map(np.ndarray.tolist, np.nonzero(m)), strict=True)] for one, m in masks.items()
    }


def test_every_method_names_its_neurons(write: Write, model: Path):
    places = write()
    found = {
        name: lists(
            named_neurons(
                method, NamingInputs(model, places[method.analysis]), ["th", "xx", "de"], 0.125
            )
        )
        for name, method in METHODS.items()
    }
    by_threes = {
        one: [(layer, 3 * row + i) for layer in (0, 1) for i in range(3)]
        for row, one in ((2, "th"), (1, "de"))
    }
    assert found["lape"] == by_threes
    assert found["sharing"] == {"th": [], "de": by_threes["de"]}
    assert found["type1"] == {"th": [(0, 0), (0, 7)], "de": [(0, 3), (0, 4)]}
    assert found["type2"] == {"th": [(1, 6), (1, 20)], "de": [(1, 3), (1, 5)]}
    assert found["experts"] == {"th": by_threes["th"], "de": [(0, 3), (0, 4), (0, 5)]}
    assert found["lexicon"] == {"th": [(1, 16), (1, 17), (1, 18)], "de": [(1, 8), (1, 9), (1, 10)]}
    assert list(found["lape"]) == ["th", "de"]


def test_where_methods_look(write: Write, model: Path):
    places = write()
    looked = {
        name: looked_at(method, NamingInputs(model, places[method.analysis])).tolist()
        for name, method in METHODS.items()
    }
    assert looked["type1"] == [True, False]
    assert looked["type2"] == looked["lexicon"] == [False, True]
    assert looked["lape"] == looked["sharing"] == looked["experts"] == [True, True]


def test_an_unknown_method_is_named(tmp_path: Path, model: Path):
    with pytest.raises(NeuroglotError, match="did you mean 'lape'"):
        find_method("lap")
    missing = NamingInputs(model, {"neurons": tmp_path / "lape" / "neurons.zarr"})
    with pytest.raises(NeuroglotError, match=r"lape/neurons\.zarr is missing"):
        named_neurons(find_method("lape"), missing, ["en"], 0.1)


@pytest.fixture
def run(tmp_path: Path, model: Path) -> Callable[..., tuple[xr.Dataset, dict[str, pd.DataFrame]]]:
    """Run the step on what the methods left; give its dataset and tables."""

    def ran(
        places: Reductions, *methods: str, minimum_methods: int = 2
    ) -> tuple[xr.Dataset, dict[str, pd.DataFrame]]:
        facts = {"family": "f", "genus": "g", "script": "Latn"}
        settings = AgreementStepSettings(
            methods=[METHODS[name] for name in methods or METHODS],
            top_fraction=0.125,
            minimum_methods=minimum_methods,
            languages=LANGUAGES,
            language_table={one: LanguageFacts(name=one.upper(), **facts) for one in LANGUAGES},
            device="cpu",
            model="tiny",
        )
        output = tmp_path / "out" / "agreement.zarr"
        inputs = AgreementInputs(model=model, reductions=places)
        step = AGREEMENT.step("agreement")
        run_step(AGREEMENT, step, inputs, settings, output, ExecutionSettings())
        tables = {
            name: pd.read_csv(output.with_name(f"{name}.csv"), keep_default_na=False)
            for name in step.tables
        }
        return store.open_dataset(output, "reduction"), tables

    return ran


def test_the_tables(write: Write, run):
    data, tables = run(write())
    assert data["method"].values.tolist() == list(METHODS)
    assert data["stack"].dims == data["stack_layer"].dims == ("layer",)
    assert all("units" in variable.attrs for variable in data.data_vars.values())
    pairs = tables["agreement"]
    assert pairs.columns.tolist() == (
        [
            "language",
            "method",
            "method_other",
            "layer",
            "neurons",
            "neurons_other",
            "shared",
            "jaccard",
            "expected_jaccard",
            "p_value",
            "p_value_holm",
        ]
    )
    assert pairs["language"].drop_duplicates().tolist() == LANGUAGES
    order = list(METHODS)
    assert (pairs["method"].map(order.index) < pairs["method_other"].map(order.index)).all()

    def line(*key: str) -> list[Any]:
        names = ["language", "method", "method_other", "layer"]
        (found,) = pairs[(pairs[names] == list(key)).all(axis=1)].to_dict("records")
        return [found[name] for name in ("neurons", "neurons_other", "shared", "jaccard")]

    assert line("de", "lape", "type1", "1") == [3, 2, 2, pytest.approx(2 / 3)]
    # Over the layers that both look at, so that type 1 is not blamed for the last one.
    assert line("de", "lape", "type1", "all") == [3, 2, 2, pytest.approx(2 / 3)]
    assert line("en", "lape", "experts", "all") == [6, 6, 6, 1]
    assert not ((pairs["method"] == "type1") & (pairs["method_other"] == "type2")).any()
    assert not (pairs["language"].eq("en") & pairs["method"].eq("type1")).any()
    assert not (pairs["language"].eq("th") & pairs["method"].eq("sharing")).any()
    assert (pairs["p_value_holm"].eq("") == pairs["layer"].ne("all")).all()

    neurons = tables["neurons"]
    assert neurons.columns.tolist() == (
        [
            "language",
            "layer",
            "neuron",
            "methods",
            "named_by",
            "frequency",
            "frequency_others",
            "expert",
            "specific_items",
            "top_tokens",
        ]
    )
    german = neurons[neurons["language"] == "de"]
    assert german["methods"].tolist() == sorted(german["methods"], reverse=True)
    first = german.iloc[0].to_dict()
    assert first["named_by"] == "lape;sharing;type1;experts"
    assert (first["layer"], first["neuron"], first["methods"]) == (1, 3, 4)
    assert (first["frequency"], first["frequency_others"]) == (0.9, 0.1)
    assert (first["expert"], first["specific_items"]) == (1, 5)
    assert all(texts.count(" ") >= 4 for texts in neurons["top_tokens"])
    assert (german["methods"] >= 2).all()


def test_fewer_methods_leave_columns_empty(write: Write, run):
    _, tables = run(write(), "type2", "lexicon", minimum_methods=1)
    neurons = tables["neurons"]
    assert len(neurons) == 4 + 9
    assert (neurons[["frequency", "frequency_others", "expert", "specific_items"]] == "").all(None)


def test_nothing_named_by_several_is_an_empty_table(write: Write, run):
    data, tables = run(write(), "type1", "lexicon")
    assert len(tables["neurons"]) == len(tables["agreement"]) == data.sizes["entry"] == 0
    assert tables["neurons"].columns[-1] == "top_tokens"


def test_a_language_that_one_method_lacks(write: Write, run):
    lape = reductions()["lape/neurons"].sel(language=["en", "th"])
    _, tables = run(write(**{"lape/neurons": lape}))
    german = tables["neurons"].query("language == 'de'")
    assert len(german)
    assert (german["frequency"] == "").all()
    assert (german["expert"] != "").all()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DEEP_HEADS])
def test_written_tokens_of_every_architecture(name):
    model = tiny_model(name)
    chosen = {0: np.array([5, 2]), len(ffns(model)) - 1: np.array([1])}
    found = written_tokens(model, chosen, 4)
    head = model.get_output_embeddings().weight.detach().double().numpy()
    between = getattr(getattr(model.base_model, "decoder", None), "project_out", None)
    rows = []
    for layer, neurons in chosen.items():
        values = ffns(model)[layer].output_matrix().double().numpy().T[neurons]
        if (norm := ffns(model)[layer].norm_after) is not None:
            values = values * written_gain(name, norm).numpy()
        values = written_scale(name) * values
        if between is not None:
            values = values @ between.weight.detach().double().numpy().T
        rows.append(values @ head.T)
    logits = np.concatenate(rows)
    assert found.shape == (3, 4)
    np.testing.assert_allclose(
        np.take_along_axis(logits, found, 1), -np.sort(-logits, axis=1)[:, :4], rtol=1e-5, atol=1e-6
    )


# --- configuration --------------------------------------------------------------------------


def config(*sections: str) -> dict[str, Any]:
    valid = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    for name in (
        "roles",
        "lexicon",
        "sharing",
        "experts",
        "transfer",
        "lape",
        "boost",
        "agreement",
    ):
        valid.pop(name, None)
    all_sections = {
        "lape": {"corpus": "udhr"},
        "experts": {"corpus": "udhr"},
        "lexicon": {"corpus": "udhr"},
        "transfer": {"corpus": "udhr", "k": [2]},
        "agreement": {},
    }
    return valid | {name: all_sections[name] for name in sections}


def test_methods_and_languages_follow_from_the_sections():
    valid = config("lape", "transfer", "agreement")
    found = load(valid)
    assert [one.name for one in configured_methods(found)] == ["lape", "type1", "type2"]
    assert compared_languages(found) == [one for one in valid["languages"] if one != "en"]
    found = load(config("lape", "experts", "agreement"))
    assert compared_languages(found) == valid["languages"]


@pytest.mark.parametrize("sections", [("lape",), ("transfer",)])
def test_agreement_takes_two(sections):
    with pytest.raises(NeuroglotError, match="agreement: it compares .* configure two of lape, "):
        load(config(*sections, "agreement"))


def test_agreement_takes_a_language_in_common():
    valid = config("lape", "experts", "agreement")
    valid["corpora"]["other"] = {**valid["corpora"]["udhr"], "languages": ["fi"]}
    valid["experts"] = {"corpus": "other"}
    valid.pop("perplexity", None)
    with pytest.raises(NeuroglotError, match="agreement: no language is read by two"):
        load(valid)
