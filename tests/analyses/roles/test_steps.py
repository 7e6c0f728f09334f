"""Roles: what each step reads and is told, how statistics are stacked, and how they are bounded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from neuroglot.analyses.base import LanguageFacts, Scope
from neuroglot.analyses.roles import ROLES
from neuroglot.analyses.roles.measures.heatmap import layers_at
from neuroglot.analyses.roles.measures.overlap import overlap_of_sets
from neuroglot.analyses.roles.measures.ranks import (
    rank_correlation,
    rank_correlation_bounds,
    rank_correlation_interval,
)
from neuroglot.analyses.roles.measures.rsa import spread_evenly
from neuroglot.analyses.roles.settings import RolesSettings
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.analyses.roles.steps import rsa
from neuroglot.analyses.roles.steps.rank_correlation import SampledText
from neuroglot.capture.settings import RolesGroup, SampleGroup
from neuroglot.settings import named
from neuroglot.tables import tidy

READ = {"one": ["en", "de"], "two": ["de", "cs"]}
LANGUAGES = ["en", "de", "cs"]


class TestDeclaration:
    @staticmethod
    def run() -> Any:
        def facts(languages: list[str]) -> dict[str, LanguageFacts]:
            return {
                one: LanguageFacts(name=one, family="f", genus="g", script="Latn")
                for one in languages
            }

        def corpus_languages(*names: str) -> list[str]:
            return [one for one in LANGUAGES if any(one in READ[name] for name in names)]

        def families(models: Sequence[str]) -> dict[str, dict[str, int]]:
            return {"f": {model: step for step, model in enumerate(models)}}

        return SimpleNamespace(
            facts=facts,
            corpus_languages=corpus_languages,
            families=families,
            models_of=lambda _: ["a", "b"],
            pivot="en",
        )

    section = RolesSettings(
        corpora=["one", "two"], rule="above", threshold=0.5, sample_segments=7, replicates=9
    )

    def job(self, name: str) -> tuple[Any, Any]:
        """What a step reads and is told."""
        step = ROLES.step(name)
        scope = Scope(("a", "b") if step.compares_models else ("a",))
        return (
            step.inputs(self.run(), self.section, scope),
            step.settings(self.run(), self.section, scope),
        )

    def test_both_groups_are_recorded_of_every_corpus(self) -> None:
        wishes = [(one.source, one.group) for one in ROLES.recordings(self.run(), self.section)]
        assert wishes == [
            (corpus, group)
            for corpus in ("one", "two")
            for group in (RolesGroup(rule="above", threshold=0.5), SampleGroup(segments=7))
        ]

    def test_corpora_have_to_exist(self) -> None:
        found = [(key, names.section, one) for key, names, one in named(self.section)]
        assert found == [("corpora[0]", "corpora", "one"), ("corpora[1]", "corpora", "two")]

    @pytest.mark.parametrize("step", [step.name for step in ROLES.steps])
    def test_a_step_reads_what_it_looks_at(self, step: str) -> None:
        inputs, _ = self.job(step)
        place = {
            (corpus, language): f"{corpus}/{language}"
            for corpus, own in READ.items()
            for language in own
        }
        activations = Path("results/activations/a")
        if step == "heatmap":
            expected = {"sample": [activations / "one/en.zarr/sample"]}
            expected["sample"].append(activations / "one/de.zarr/sample")
        elif step == "rsa":
            models = Path("results/activations")
            expected = {
                "sample": [
                    models / m / f"one/{one}.zarr/sample" for m in "ab" for one in READ["one"]
                ]
            }
        elif step == "training":
            results = [Path(f"results/roles/{m}/rank_correlation.zarr") for m in "ab"]
            expected = {"results": results}
        else:
            group = "sample" if step == "distance" else "roles"
            expected = {group: [activations / f"{one}.zarr/{group}" for one in place.values()]}
        if step in ("rank_correlation", "parallel_sets"):
            expected["tokens"] = [Path(f"results/tokens/a/{one}.zarr") for one in place.values()]
        if step == "rank_correlation":
            expected["sample"] = [activations / f"{one}.zarr/sample" for one in place.values()]
        if step == "parallel_sets":
            expected["texts"] = [Path(f"results/corpora/{one}.parquet") for one in place.values()]
        assert inputs.named() == expected

    def test_a_step_is_told_what_changes_it(self) -> None:
        every = {"model": "a", "languages": LANGUAGES, "corpora": ["one", "two"]}
        sampled = {"model": "a", "languages": ["en", "de"], "corpus": "one", "sample_segments": 7}
        compared = {**sampled, "model": None, "compared": ["a", "b"], "rsa_stimuli": 300}
        expected = {
            "activation_frequency": {
                **every,
                **{"rule": "above", "combinator_gelu": True, "replicates": 9},
            },
            "flatness": {**every, "replicates": 9},
            "heatmap": {**sampled, "heatmap_layers": [0.0, 0.33, 0.67, 1.0], "heatmap_rows": 120},
            "dominant_neurons": every,
            "distance": {
                **every,
                **{"pivot": "en", "scale": "none", "replicates": 9, "sample_segments": 7},
            },
            "rank_correlation": {**every, "pivot": "en", "replicates": 9, "sample_segments": 7},
            "parallel_sets": {**every, "pivot": "en", "replicates": 9},
            "rsa": {**compared, "replicates": 9},
        }
        for name, settings in expected.items():
            told = self.job(name)[1].model_dump()
            assert list(told.pop("language_table")) == settings["languages"]
            assert told == {"pivot": None, **settings}, name


@dataclass
class Recorded:
    """A recording of two layers of some neurons, in folds of one row each."""

    folds: np.ndarray  # [layer, fold, neuron]

    @property
    def data(self) -> xr.Dataset:
        return xr.Dataset(
            {"act_sum": (("layer", "neuron"), self.folds.sum(1).astype(np.float32))},
            {"layer": [0, 1], "stack": ("layer", ["encoder", "decoder"])},
        )

    def total(self, name: str) -> xr.DataArray:
        return self.data[name]

    def summed_rows(self) -> int:
        return self.folds.shape[1]

    def by_fold(self, name: str, layer: int) -> np.ndarray:
        assert name == "act_sum"
        return self.folds[layer]


def statistics() -> Statistics:
    """Two corpora: one has English and German, the other German alone."""
    generator = np.random.default_rng(0)
    keys = [("one", "en"), ("one", "de"), ("two", "de")]
    recorded = {key: Recorded(generator.normal(size=(2, 5 + i, 30))) for i, key in enumerate(keys)}
    return Statistics(["one", "two"], ["de", "en"], recorded)  # type: ignore[arg-type]


class TestStatistics:
    def test_they_are_stacked_in_the_order_asked_for(self) -> None:
        found = statistics()
        total = found.total("act_sum")
        assert total.dims == ("corpus", "language", "layer", "neuron")
        assert total.dtype == np.float64
        assert total["stack"].values.tolist() == ["encoder", "decoder"]
        for (corpus, language), one in found.recorded.items():
            own = total.sel(corpus=corpus, language=language)
            np.testing.assert_array_equal(own, one.data["act_sum"])
        assert total.sel(corpus="two", language="en").isnull().all()
        rows = found.rows
        assert rows.sel(corpus="one").values.tolist() == [6, 5]
        assert rows.sel(corpus="two").values.tolist() == [7, 0]

    def test_bounds_stand_beside_what_is_recorded(self) -> None:
        found = statistics()
        mean = found.total("act_sum").mean("neuron").assign_attrs(units="x")

        def bounds(one: Any, layer: int) -> dict[str, np.ndarray]:
            middle = one.data["act_sum"].values[layer].mean(dtype=np.float64)
            return {"mean": np.array([middle - layer - 1, middle + 2])}

        data = found.bounded(xr.Dataset({"mean": mean}), bounds)
        assert list(data) == ["mean", "mean_low", "mean_high"]
        below = (data["mean"] - data["mean_low"]).sel(corpus="one")
        np.testing.assert_allclose(below, [[1, 2], [1, 2]], rtol=1e-5)
        above = (data["mean_high"] - data["mean"]).sel(corpus="two")
        np.testing.assert_allclose(above, [[2, 2], [np.nan, np.nan]], rtol=1e-5)
        assert data["mean_low"].attrs == {"units": "x"}

    def test_pairs_are_measured_where_their_languages_are(self) -> None:
        found = statistics()
        like = rank_correlation(found.total("act_sum"), "language")

        def measured(corpus: str, languages: Any, layer: int) -> np.ndarray:
            code = {"one": 100, "two": 200}[corpus] + 10 * layer
            own = [code + {"en": 1, "de": 2}[language] for language in languages]
            return np.stack([np.add.outer(own, own), np.subtract.outer(own, own)]).astype(float)

        both = found.by_pair(like, ["sum", "difference"], measured)
        assert [*both] == ["sum", "difference"]
        assert both["sum"].dims == like.dims
        pair = {"corpus": "one", "language_a": "en", "language_b": "de"}
        assert both["difference"].sel(pair).values.tolist() == [-1, -1]
        assert both["sum"].sel(pair).values.tolist() == [203, 223]
        alone = both["sum"].sel(corpus="two")
        assert alone.sel(language_a="de", language_b="de").values.tolist() == [404, 424]
        assert alone.isnull().sum() == 3 * 2

    def test_sites_lie_one_behind_the_other(self) -> None:
        found = by_site(lambda site: xr.Dataset({"x": len(site)}), ("act", "out_gelu"))
        assert found["x"].sel(site="out_gelu") == 8
        assert found["site"].values.tolist() == ["act", "out_gelu"]


class TestRankCorrelationBounds:
    def test_languages_of_a_corpus_are_drawn_together(self) -> None:
        found = statistics()
        correlation = rank_correlation(found.total("act_sum"), "language")
        sums = found.sums_by_fold("act_sum")
        low, high = rank_correlation_bounds(correlation, sums, "language", 40)
        assert low.dims == high.dims == correlation.dims
        for layer in range(2):
            by_fold = [sums["one", language](layer) for language in ("de", "en")]
            expected = rank_correlation_interval(by_fold, 40)
            own = {"corpus": "one", "layer": layer}
            np.testing.assert_array_equal(low.sel(own), expected[0])
            np.testing.assert_array_equal(high.sel(own), expected[1])

    def test_sets_of_a_language_are_drawn_apart(self) -> None:
        found = statistics()
        correlation = rank_correlation(found.total("act_sum"), "corpus")
        sums = found.sums_by_fold("act_sum")
        low, high = rank_correlation_bounds(correlation, sums, "corpus", 40)
        for layer in range(2):
            by_fold = [sums[corpus, "de"](layer) for corpus in ("one", "two")]
            expected = rank_correlation_interval(by_fold, 40, seeds=[0, 1])
            own = {"language": "de", "layer": layer}
            np.testing.assert_array_equal(low.sel(own), expected[0])
            np.testing.assert_array_equal(high.sel(own), expected[1])

    @pytest.mark.parametrize(("between", "lone"), [("language", "two"), ("corpus", "en")])
    def test_what_is_alone_has_no_width(self, between: Any, lone: str) -> None:
        found = statistics()
        correlation = rank_correlation(found.total("act_sum"), between)
        sums = found.sums_by_fold("act_sum")
        apart = "corpus" if between == "language" else "language"
        for bound in rank_correlation_bounds(correlation, sums, between, 10):
            own = bound.sel({apart: lone})
            np.testing.assert_array_equal(own, correlation.sel({apart: lone}))
            assert np.isfinite(own).sum() == 2  # with itself, in each layer


@dataclass
class Sample:
    """A sample whose first stored row is not used, of two layers of five neurons."""

    segment: list[str]
    token_id: list[int]
    values: np.ndarray  # [layer, row, neuron]

    @property
    def data(self) -> xr.Dataset:
        return xr.Dataset({"token_id": ("row", [99, *self.token_id])})

    @property
    def sample(self) -> xr.Dataset:
        stored = {"row": np.arange(1, 1 + len(self.segment))}
        return xr.Dataset({"segment": ("row", self.segment)}, stored)

    def raw(self, site: str, layers: list[int]) -> xr.DataArray:
        assert site == "out"
        return xr.DataArray(self.values[layers], dims=("layer", "row", "hidden"))


def test_sampled_rows_of_common_segments_are_told_apart_by_their_tokens() -> None:
    """Token 3 is in both whole texts, though it ends prefixes of one sample only."""
    generator = np.random.default_rng(0)
    rows = {
        "de": (["s0", "s0", "s1", "s1", "s2", "s2"], [7, 1, 1, 3, 7, 2]),
        "en": (["s1", "s2", "s2", "s2", "s3"], [4, 1, 5, 5, 8]),
    }
    samples = {
        language: Sample(segments, tokens, generator.normal(size=(2, len(tokens), 5)))
        for language, (segments, tokens) in rows.items()
    }
    counts = {
        "de": np.bincount([7, 1, 1, 3, 7, 2], minlength=9),
        "en": np.bincount([4, 1, 5, 5, 8, 3], minlength=9),
    }
    text = SampledText.of(samples, counts)  # type: ignore[arg-type]
    assert text.segments == 2
    assert text.kept["de"][1].tolist() == [False, False, True, True]
    assert text.kept["en"][0].tolist() == [True, False, True, True]
    assert text.overlap.sel(language="de", language_other="en").item() == pytest.approx(2 / 6)
    for layer in range(2):
        every, without, _ = text.correlations("out", layer)
        de, en = (samples[language].values[layer] for language in ("de", "en"))
        assert without[0, 1] == pytest.approx(
            spearmanr(de[4:].sum(0), en[[0, 2, 3]].sum(0)).statistic
        )
        assert every[0, 1] == pytest.approx(spearmanr(de[2:].sum(0), en[:4].sum(0)).statistic)


def test_rows_are_spread_evenly() -> None:
    rows = np.arange(10, 21)
    assert spread_evenly(rows, 11).tolist() == rows.tolist()
    assert spread_evenly(rows, 3).tolist() == [10, 15, 20]
    assert spread_evenly(rows, 5).tolist() == [10, 12, 15, 18, 20]
    assert spread_evenly(rows[:0], 5).tolist() == []


def test_layers_are_chosen_by_depth() -> None:
    assert layers_at([0.0, 0.33, 0.67, 1.0], 18) == [0, 6, 11, 17]
    assert layers_at([1.0, 0.0, 0.4], 2) == [0, 1]
    assert layers_at([0.0, 1.0], 1) == [0]


def test_sets_are_compared_both_ways() -> None:
    texts = {("one", "de"): {1, 2, 3, 4}, ("two", "de"): {1, 9}, ("two", "en"): {5}}
    found = overlap_of_sets(
        texts, lambda a, b: len(a & b) / len(a), languages=["en", "de"], corpora=["one", "two"]
    )
    assert found.dims == ("language", "corpus_a", "corpus_b")
    np.testing.assert_array_equal(found.sel(language="de"), [[1, 0.25], [0.5, 1]])
    np.testing.assert_array_equal(found.sel(language="en"), [[np.nan, np.nan], [np.nan, 1]])


def test_the_table_of_models_counts_layers_from_1() -> None:
    dims = ("model_a", "layer_a", "model_b", "layer_b")
    values = np.full((2, 2, 2, 2), np.nan)
    values[0, 1, 1, 0] = 0.5
    coords = {
        "model_a": ["a", "b"],
        "layer_a": [0, 1],
        "model_b": ["a", "b"],
        "layer_b": [0, 1],
    }
    data = xr.Dataset(dict.fromkeys(rsa.TABLE, (dims, values)), coords)
    [line] = tidy(data[list(rsa.TABLE)]).to_dict("records")
    assert line == {
        "model_a": "a",
        "layer_a": 2,
        "model_b": "b",
        "layer_b": 1,
        **dict.fromkeys(rsa.TABLE, 0.5),
    }
    assert data["layer_a"].values.tolist() == [0, 1]
