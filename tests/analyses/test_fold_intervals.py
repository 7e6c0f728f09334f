"""Sums by fold of segments, and the intervals and chance counts of roles and lape from them."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.stats import rankdata, spearmanr

from neuroglot import store
from neuroglot.analyses.lape.measures.lape import activation_probability, language_neurons
from neuroglot.analyses.lape.measures.uncertainty import chance_selection, selection_interval
from neuroglot.analyses.roles.measures.distance import distance_matrix
from neuroglot.analyses.roles.measures.frequency import layer_spread_interval
from neuroglot.analyses.roles.measures.ranks import _ranks, rank_correlation_interval
from neuroglot.analyses.roles.measures.rsa import correlation_rows, rsa, rsa_interval
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import firing_collectors, role_collectors
from neuroglot.capture.engine import Engine
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from neuroglot.measures.bootstrap import centred_percentiles, expanded_level, fold_weights
from neuroglot.measures.folds import FOLDS
from support import tiny_models
from support.random_tokens import random_tokens

REPLICATES = 40


def bounds(values: np.ndarray, folds: int) -> np.ndarray:
    """Of [replicate, ...]: expanded percentiles."""
    level = expanded_level(folds)
    return np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)


def bounds_around(values: np.ndarray, estimate: np.ndarray, folds: int) -> np.ndarray:
    """Of [replicate, ...]: expanded percentiles, moved so that the median is the estimate."""
    return bounds(values, folds) - np.nanmedian(values, axis=0) + estimate


def assert_counts(counts: np.ndarray, values: np.ndarray) -> None:
    """Counts [layer, neuron] are of the positive values [layer, row, neuron].

    In another batch, a value that is nearly zero may be rounded to the other side of it.
    """
    surely, perhaps = ((values > end).sum(1) for end in (1e-6, -1e-6))
    assert (surely <= counts).all()
    assert (counts <= perhaps).all()


class TestCapture:
    @pytest.mark.parametrize(
        ("lengths", "tokens_per_batch", "raw", "shard"),
        [
            ((5, 9, 3, 12, 7, 4), 64, 1000, 1000),
            ((5, 9, 3, 12, 7, 4), 7, 1000, 4),
            ((4, 2, 5, 3) * 17, 30, 9, 4),
            ((4, 2, 5, 3) * 17, 30, 1, 4),
        ],
    )
    def test_sums_by_fold_are_those_of_the_raw_rows(
        self, lengths, tokens_per_batch, raw, shard, tmp_path: Path, monkeypatch
    ) -> None:
        monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: shard)
        model, tokens = tiny_models.tiny_model("gemma3_text"), random_tokens(lengths)
        sites = ("act", "out", "gate")
        engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch))
        recordings = {
            "roles": Recording((), "prefixes", tuple(role_collectors("positive", 0.0))),
            "firing": Recording((), "every token", tuple(firing_collectors(gated=True))),
            "sample": Recording(sites, "prefixes", (), "float32", segments=raw),
        }
        found = engine.run_together(tokens, recordings, tmp_path)
        sums = found["roles"] | found["firing"]
        rows = engine.rows(tokens, Recording(sites, "every token", (), "float32"))
        fold = tokens.segment % FOLDS
        for one in range(min(FOLDS, len(lengths))):
            own = {
                site: values[:, (fold == one) & tokens.ends_prefix] for site, values in rows.items()
            }
            for site in ("act", "out"):
                found = {n: sums[f"{site}_{n}_by_fold"] for n in ("count", "sum", "flatness_sum")}
                near = {"rtol": 1e-4, "atol": 1e-5}
                assert_counts(found["count"][:, one], own[site])
                np.testing.assert_allclose(found["sum"][:, one], own[site].sum(1), **near)
                flat = [kernels.flatness(layer).sum() for layer in own[site]]
                np.testing.assert_allclose(found["flatness_sum"][:, one], flat, **near)
            assert_counts(sums["out_gelu_count_by_fold"][:, one], own["out"])
            for site in ("act", "gate"):
                assert_counts(sums[f"{site}_positive_by_fold"][:, one], rows[site][:, fold == one])
        for name in ("act_count", "out_gelu_count", "gate_positive"):
            np.testing.assert_array_equal(sums[name], sums[f"{name}_by_fold"].sum(1))

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        sums = np.random.default_rng(0).random((3, FOLDS, 5)).astype(np.float32)
        data = {
            "act_sum": (("layer", "fold", "neuron"), sums),
            "flat": (("layer", "fold"), sums[..., 0]),
        }
        store.write_dataset(tmp_path, xr.Dataset(data), by_layer=list(data))
        np.testing.assert_array_equal(store.read_sums(tmp_path, "act_sum"), sums)
        np.testing.assert_array_equal(store.read_sums(tmp_path, "act_sum", 1), sums[1])
        np.testing.assert_array_equal(store.read_sums(tmp_path, "flat", 2), sums[2, :, 0])
        with pytest.raises(NeuroglotError, match="holds no out_sum"):
            store.read_sums(tmp_path, "out_sum")


class TestRoles:
    def test_spread_of_frequencies_is_the_literal_bootstrap(self) -> None:
        generator = np.random.default_rng(1)
        rows = generator.integers(3, 9, 12)
        count = generator.binomial(rows[:, None], generator.random(30))
        found = layer_spread_interval(count.astype(np.float32), rows, REPLICATES)
        drawn = []
        for weights in fold_weights(12, REPLICATES).astype(int):
            segments = np.repeat(np.arange(12), weights)
            frequency = count[segments].sum(0) / rows[segments].sum()
            drawn.append([frequency.mean(), frequency.std()])
        mean, std = np.array(drawn).T
        np.testing.assert_allclose(found["mean"], bounds(mean, 12), rtol=1e-12)
        expected = bounds_around(std, (count.sum(0) / rows.sum()).std(), 12)
        np.testing.assert_allclose(found["std"], expected, rtol=1e-9)

    def test_a_neuron_that_always_fires_has_no_width(self) -> None:
        rows = np.array([3, 4, 8])
        found = layer_spread_interval(np.repeat(rows[:, None], 6, 1), rows, REPLICATES)
        np.testing.assert_array_equal(found["mean"], 1)
        np.testing.assert_array_equal(found["std"], 0)

    def test_coverage_of_planted_frequencies(self) -> None:
        generator = np.random.default_rng(2)
        experiments, folds, rows = 400, 32, np.full(32, 20)
        truth = generator.random(25)
        # Segments differ in what fires: rows of one segment are not independent.
        odds = np.log(truth / (1 - truth)) + generator.normal(0, 0.7, (experiments, folds, 1))
        count = generator.binomial(20, 1 / (1 + np.exp(-odds)))
        frequency = count.sum(1) / rows.sum()
        intervals = [layer_spread_interval(one, rows, 200) for one in count]
        for name, values in (("mean", frequency.mean(1)), ("std", frequency.std(1))):
            low, high = np.array([one[name] for one in intervals]).T
            covered = ((low <= values.mean()) & (values.mean() <= high)).mean()
            assert 0.90 < covered < 0.98, name

    @pytest.mark.parametrize("ties", [False, True])
    def test_rank_correlations_are_those_of_each_resample(self, ties: bool, monkeypatch) -> None:
        generator = np.random.default_rng(3)
        sums = generator.normal(size=(3, 6, 20)) + 3 * generator.normal(size=20)
        if ties:
            sums[..., :5] = 0
        monkeypatch.setattr("neuroglot.analyses.roles.measures.ranks.VALUES", 500)
        found = rank_correlation_interval(list(sums), REPLICATES)
        drawn = [
            spearmanr(np.tensordot(weights, sums, (0, 1)), axis=1).statistic
            for weights in fold_weights(6, REPLICATES)
        ]
        expected = bounds_around(np.stack(drawn), spearmanr(sums.sum(1), axis=1).statistic, 6)
        np.testing.assert_allclose(found, np.clip(expected, -1, 1), atol=1e-12)
        order = [2, 0, 1]
        other = rank_correlation_interval(list(sums[order]), REPLICATES)
        np.testing.assert_allclose(other, found[:, order][:, :, order], atol=1e-12)

    def test_sets_are_resampled_apart(self) -> None:
        sums = [np.random.default_rng(4).normal(size=(6, 30))] * 2
        together = rank_correlation_interval(sums, REPLICATES)
        np.testing.assert_allclose(together[:, 0, 1], 1)
        apart = rank_correlation_interval(sums, REPLICATES, seeds=[0, 1])
        assert apart[0, 0, 1] < 0.95

    def test_ranks_with_ties_and_nan(self) -> None:
        values = np.random.default_rng(5).integers(0, 9, (4, 3, 12)).astype(float)
        values[0, 0] = np.arange(12)[::-1]
        values[1, 1, 3] = np.nan
        expected = rankdata(values, axis=-1, nan_policy="propagate")
        np.testing.assert_array_equal(_ranks(values), expected)

    def test_distances_are_those_of_the_drawn_segments(self) -> None:
        generator = np.random.default_rng(6)
        rows = {}
        for language, lengths in {"de": (2, 3, 1, 4), "en": (3, 1, 2, 2)}.items():
            values = generator.normal(size=(2, sum(lengths), 5))
            labels = np.repeat(["a", "b", "c", "d"], lengths)
            coords = {"segment": ("row", labels)}
            rows[language] = xr.DataArray(values, coords, ("layer", "row", "neuron"))
        found = distance_matrix(rows, replicates=REPLICATES)
        for source, target in (("de", "en"), ("en", "de")):
            each = [
                distance_matrix(
                    {one: rows[one].isel(row=rows[one]["segment"] == s) for one in rows}
                ).sel(language_a=source, language_b=target)
                for s in "abcd"
            ]
            drawn = [
                sum(w * one["distance"] for w, one in zip(weights, each, strict=True))
                / sum(w * one["prefixes"] for w, one in zip(weights, each, strict=True))
                for weights in fold_weights(4, REPLICATES)
            ]
            low, high = bounds(np.stack(drawn), 4)
            own = found.sel(language_a=source, language_b=target)
            np.testing.assert_allclose(own["distance_mean_low"], low, rtol=1e-12)
            np.testing.assert_allclose(own["distance_mean_high"], high, rtol=1e-12)
            assert (own["distance_mean_low"] <= own["distance_mean"]).all()

    def test_rsa_is_that_of_the_drawn_stimuli(self) -> None:
        generator = np.random.default_rng(7)
        fold = np.array([3, 0, 0, 5, 3, 7, 7, 7])
        meaning = generator.normal(size=(8, 4))
        rows = [
            np.stack([meaning @ generator.normal(size=(4, 9)) for _ in range(layers)])
            for layers in (2, 3)
        ]
        a, b = (
            correlation_rows(xr.DataArray(one, dims=("layer", "row", "neuron"))) for one in rows
        )
        found = rsa_interval(a, b, fold, REPLICATES)
        first, second = np.triu_indices(8, k=1)
        drawn = []
        for weights in fold_weights(4, REPLICATES).astype(int):
            of_fold = dict(zip([0, 3, 5, 7], weights, strict=True))
            times = np.array([of_fold[one] for one in fold])
            pairs = np.repeat(np.arange(len(first)), times[first] * times[second])
            with np.errstate(invalid="ignore", divide="ignore"):
                drawn.append(np.corrcoef(a.values[:, pairs], b.values[:, pairs])[:2, 2:])
        expected = bounds_around(np.stack(drawn), rsa(a, b).values, 4)
        np.testing.assert_allclose(found, np.clip(expected, -1, 1), atol=1e-9)

    def test_centred_percentiles_hold_the_estimate(self) -> None:
        values = np.random.default_rng(8).normal(5, 1, (3, 300))
        values[2, :290] = np.nan
        low, high = centred_percentiles(values, np.array([1.0, 2.0, 3.0]), 30)
        assert (low < [1, 2, 3]).all()
        assert (high > [1, 2, 3]).all()
        np.testing.assert_allclose((high - low)[:2], 4.16, rtol=0.15)


LANGUAGES = ["cs", "de", "en", "fr"]


def firing(odds: np.ndarray, seed: int = 0):
    """Counts of [language, layer, neuron] odds in 8 folds, as functions of language and layer."""
    generator = np.random.default_rng(seed)
    tokens = {one: generator.integers(40, 60, 8) for one in LANGUAGES}
    counts = {
        one: generator.binomial(tokens[one][:, None], odds[i][:, None])
        for i, one in enumerate(LANGUAGES)
    }  # [layer, fold, neuron]
    return (lambda language, layer: counts[language][layer].astype(np.float32)), tokens, counts


def selection(tokens, counts, percentile: float, top: float) -> tuple[xr.DataArray, xr.DataArray]:
    axis = xr.Variable("language", LANGUAGES)
    fired = xr.concat(
        [xr.DataArray(counts[one].sum(1), dims=("layer", "neuron")) for one in LANGUAGES], axis
    )
    total = xr.DataArray([tokens[one].sum() for one in LANGUAGES], {"language": axis}, "language")
    probability = activation_probability(fired, total)
    return language_neurons(probability, percentile, top), probability


class TestLape:
    def test_bounds_are_those_of_selections_made_anew(self, monkeypatch) -> None:
        odds = np.random.default_rng(1).uniform(0.01, 0.6, (4, 3, 40))
        fired, tokens, counts = firing(odds)
        own, _ = selection(tokens, counts, 0.8, 0.1)
        drawn = []
        for weights in fold_weights(8, REPLICATES).astype(int):
            folds = np.repeat(np.arange(8), weights)
            again, _ = selection(
                {one: tokens[one][folds] for one in LANGUAGES},
                {one: counts[one][:, folds] for one in LANGUAGES},
                0.8,
                0.1,
            )
            drawn.append(again.sum("neuron").values)
        found = []
        for values in (1 << 25, 3 * 4 * 40 * 7):
            monkeypatch.setattr("neuroglot.analyses.lape.measures.uncertainty.VALUES", values)
            number = own.sum("neuron")
            found.append(
                selection_interval(fired, tokens, number, [40] * 3, (0.8, 0.1), REPLICATES)
            )
        np.testing.assert_array_equal(*found)
        expected = np.maximum(bounds_around(np.stack(drawn), own.sum("neuron").values, 8), 0)
        np.testing.assert_allclose(found[0][..., :-1], expected, atol=1e-9)
        totals = bounds_around(np.stack(drawn).sum(2), own.sum(("layer", "neuron")).values, 8)
        np.testing.assert_allclose(found[0][..., -1], np.maximum(totals, 0), atol=1e-9)

    def test_neurons_that_never_fire_are_nobodys(self) -> None:
        fired, tokens, counts = firing(np.zeros((4, 2, 10)))
        own, _ = selection(tokens, counts, 0.8, 0.1)
        number = own.sum("neuron")
        assert not selection_interval(fired, tokens, number, [10] * 2, (0.8, 0.1), 5).any()
        assert chance_selection(fired, tokens, 2, 0.0, -np.inf, 5)["chance_selected_high"] == 0

    @staticmethod
    def standard(tokens, counts) -> tuple[xr.DataArray, float, float]:
        own, probability = selection(tokens, counts, 0.8, 0.1)
        share = probability / probability.sum("language")
        entropy = -(share * np.log(share.where(share > 0, 1))).sum("language")
        return own, own.attrs["activation_bar"], float(entropy.where(own.any("language")).max())

    def test_permutations_by_hand(self) -> None:
        odds = np.random.default_rng(2).uniform(0.01, 0.3, (4, 2, 30))
        odds[:, 0, :4] = 0.5 * np.eye(4) + 0.01
        fired, tokens, counts = firing(odds)
        _, bar, entropy = self.standard(tokens, counts)
        found = chance_selection(fired, tokens, 2, bar, 1.2 * entropy, 50, seed=4)
        given = np.random.default_rng(4).permuted(np.tile(np.arange(4), (50, 8, 1)), axis=2)
        selected = []
        for one in given:  # [fold, language]
            size = [sum(tokens[LANGUAGES[one[f, k]]][f] for f in range(8)) for k in range(4)]
            total = np.zeros((4, 2, 30))
            for k in range(4):
                for f in range(8):
                    total[k] += counts[LANGUAGES[one[f, k]]][:, f]
            p = total / np.array(size)[:, None, None]
            share = p / p.sum(0)
            h = -(share * np.log(np.where(share > 0, share, 1))).sum(0)
            selected.append(((h <= 1.2 * entropy) & (p > bar).any(0)).sum())
        assert np.mean(selected) > 0
        assert found["chance_selected"].item() == pytest.approx(np.mean(selected))
        low, high = np.percentile(selected, [2.5, 97.5])
        assert found["chance_selected_low"].item() == pytest.approx(low)
        assert found["chance_selected_high"].item() == pytest.approx(high)

    def test_planted_neurons_are_beyond_chance(self) -> None:
        odds = np.full((4, 2, 60), 0.2)
        odds[:, 0, :12] = np.tile(0.5 * np.eye(4) + 0.01, 3)
        fired, tokens, counts = firing(odds)
        own, bar, entropy = self.standard(tokens, counts)
        found = chance_selection(fired, tokens, 2, bar, entropy, 50)
        assert own.any("language").sum() == 12
        assert found["chance_selected_high"] < 6

    def test_noise_selects_what_chance_selects(self) -> None:
        """Without differences between languages the permutations select as much as is selected."""
        odds = np.tile(np.random.default_rng(5).uniform(0.05, 0.5, (1, 2, 300)), (4, 1, 1))
        fired, tokens, counts = firing(odds)
        own, bar, entropy = self.standard(tokens, counts)
        found = chance_selection(fired, tokens, 2, bar, entropy, 100)
        selected = own.any("language").sum().item()
        assert found["chance_selected_low"] <= selected <= found["chance_selected_high"]
        per_language = own.sum(("layer", "neuron")).mean().item()
        assert found["chance_all_layers"].item() == pytest.approx(per_language, rel=0.3)

    def test_the_order_of_languages_plays_no_role(self) -> None:
        fired, tokens, counts = firing(np.random.default_rng(6).uniform(0.01, 0.6, (4, 2, 50)))
        _, bar, entropy = self.standard(tokens, counts)
        found = chance_selection(fired, tokens, 2, bar, 1.3 * entropy, 20)
        turned = {one: tokens[one] for one in reversed(LANGUAGES)}
        xr.testing.assert_identical(
            chance_selection(fired, turned, 2, bar, 1.3 * entropy, 20), found
        )
