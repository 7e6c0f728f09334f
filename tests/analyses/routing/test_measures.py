"""Measures of routing against literal loops, cases by hand, and planted experts."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.spatial.distance import jensenshannon

from analyses.routing.planted import IDS, exchanged, labelled, mixture, routed
from neuroglot.analyses.routing.measures.divergence import divergence_from_pivot, jensen_shannon
from neuroglot.analyses.routing.measures.overlap import overlap
from neuroglot.analyses.routing.measures.own import (
    counted_experts,
    distinctive,
    expert_frequency,
    language_experts,
    shared_by_languages,
)
from neuroglot.analyses.routing.measures.shares import expert_entropy
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import centred_percentiles, fold_weights
from neuroglot.measures.halves import equal_tokens, random_halves

RNG = np.random.default_rng


def half(chosen: xr.DataArray, language: int, layer: int, folds: np.ndarray) -> list[float]:
    """A language's shares on some folds, [expert], in a plain loop."""
    counts = chosen.values[language, folds, layer]
    total = sum(int(n) for fold in counts for n in fold)
    return [sum(int(fold[e]) for fold in counts) / total for e in range(counts.shape[1])]


class TestDivergence:
    def test_two_experts_by_hand(self) -> None:
        p, q = np.array([3 / 4, 1 / 4]), np.array([1 / 4, 3 / 4])
        # H(½, ½) - H(¼, ¾) = 1 - 0.8113
        assert jensen_shannon(p, q) == pytest.approx(0.18872, abs=1e-5)
        assert jensen_shannon(np.array([1.0, 0]), np.array([0.0, 1])) == 1
        assert jensen_shannon(p, p) == 0

    def test_every_split_is_the_literal_one(self) -> None:
        chosen, _ = mixture(layers=3, folds=7, languages=3, tokens=20)
        found = divergence_from_pivot(chosen, "de", 20)
        for language in (0, 2):
            for layer in range(3):
                across, own = [], []
                for first, second in random_halves(7):
                    p = {i: half(chosen, i, layer, first) for i in range(3)}
                    q = {i: half(chosen, i, layer, second) for i in range(3)}
                    for x, y in ((p[1], q[language]), (p[language], q[1])):
                        across.append(jensenshannon(x, y, base=2) ** 2)
                    for i in (1, language):
                        own.append(jensenshannon(p[i], q[i], base=2) ** 2)
                place = {"language": language, "layer": layer}
                at = found["divergence"].isel(place), found["floor"].isel(place)
                assert at[0] == pytest.approx(np.mean(across))
                assert at[1] == pytest.approx(np.mean(own))
                assert found["excess"].isel(place) == pytest.approx(np.mean(across) - np.mean(own))
        for name in ("divergence", "floor", "excess"):
            mean = found[name].mean("layer")
            np.testing.assert_allclose(found[f"mean_{name}"], mean, err_msg=name)
            assert found[name].attrs["units"] == "bits"

    def test_the_pivot_is_not_compared_with_itself(self) -> None:
        found = divergence_from_pivot(mixture(folds=8)[0], "hi", 20)
        for name, values in found.items():
            assert values.sel(language="hi").isnull().all(), name
            assert values.drop_sel(language="hi").notnull().all(), name

    def test_a_missing_pivot_is_named(self) -> None:
        with pytest.raises(NeuroglotError, match="the pivot 'fr', and the text is in en, de, hi"):
            divergence_from_pivot(mixture(folds=4)[0], "fr", 10)

    def test_planted_layers_alone_diverge(self) -> None:
        found = divergence_from_pivot(mixture(outer=2)[0], "en", 200)
        excess, low, high = (
            found[f"excess{end}"].sel(language=IDS[1:]) for end in ("", "_low", "_high")
        )
        outer = [0, 1, 4, 5]
        assert (low.isel(layer=outer) > 0.2).all()
        assert (np.abs(excess.isel(layer=[2, 3])) < 0.01).all()
        assert (low.isel(layer=[2, 3]) < 0).sum() + (high.isel(layer=[2, 3]) < 0).sum() >= 4
        assert (found["mean_excess_low"].sel(language=IDS[1:]) > 0.1).all()

    def test_exchanged_labels_do_not_diverge(self) -> None:
        chosen, _ = mixture()
        found = divergence_from_pivot(exchanged(chosen), "en", 100)
        drawn = found["excess"].sel(language=IDS[1:])
        seen = divergence_from_pivot(chosen, "en", 100)["excess"].sel(language=IDS[1:])
        assert np.abs(drawn.isel(layer=[0, 5])).max() < 0.1 * seen.isel(layer=[0, 5]).min()

    def test_equal_shares_are_expected_at_the_floor(self) -> None:
        """Few tokens of equal and of unequal numbers: the divergence is far above 0, not above."""
        generator, chances = RNG(4), RNG(5).gamma(1, 1, 12) + 0.1
        content = RNG(6).gamma(4, 1 / 4, (16, 12))
        values = []
        for _ in range(150):
            tokens = np.array([np.full(16, 6), np.full(16, 12)])
            counts = [routed(chances * content, own, 2, generator)[:, None] for own in tokens]
            equal, _ = equal_tokens(
                *labelled(np.stack(counts), tokens), int(generator.integers(99))
            )
            found = divergence_from_pivot(equal, "en", 10)
            values.append([float(found[name][1, 0]) for name in ("divergence", "excess")])
        divergence, excess = np.mean(values, axis=0)
        error = np.std(values, axis=0)[1] / np.sqrt(len(values))
        assert divergence > 0.01
        assert abs(excess) < 3 * error
        assert error < divergence / 10

    def test_intervals_cover_what_other_texts_give(self) -> None:
        generator, folds, n = RNG(8), 16, 12
        base = generator.gamma(2, 1, (2, n))
        values = []
        for _ in range(120):
            content = generator.gamma(8, 1 / 8, (folds, n))
            tokens = np.full(folds, 50)
            counts = [routed(of * content, tokens, 2, generator)[:, None] for of in base]
            found = divergence_from_pivot(
                labelled(np.stack(counts), np.tile(tokens, (2, 1)))[0], "en", 200
            )
            ends = ("", "_low", "_high")
            values.append(
                [[float(found[f"{name}{end}"][1, 0]) for end in ends] for name in BOUNDED]
            )
        result, low, high = np.moveaxis(values, 2, 0)
        truth = result.mean(axis=0)
        assert (((low <= truth) & (truth <= high)).mean(axis=0) >= 0.9).all()

    @pytest.mark.parametrize("folds", [1, 2, 3])
    def test_few_segments_have_no_halves_or_no_intervals(self, folds: int) -> None:
        found = divergence_from_pivot(mixture(folds=folds)[0], "en", 10)
        others = {name: values.sel(language=IDS[1:]) for name, values in found.items()}
        for name in BOUNDED:
            assert others[name].notnull().all() == (folds > 1)
            assert others[f"{name}_low"].isnull().all()


BOUNDED = ("divergence", "excess")


class TestEntropy:
    def test_it_is_that_of_scipy_and_its_bounds_the_literal_bootstrap(self) -> None:
        chosen, _ = mixture(layers=2, folds=9, languages=3, tokens=15)
        found = expert_entropy(chosen, 50, 3)
        weights = fold_weights(9, 50, 3)
        for language, layer in np.ndindex(3, 2):
            counts = chosen.values[language, :, layer]
            expected = stats.entropy(counts.sum(0), base=2)
            drawn = [stats.entropy(times @ counts, base=2) for times in weights]
            bounds = centred_percentiles(np.array([drawn]), np.array([expected]), 9)
            for end, value in (("", expected), ("_low", bounds[0, 0]), ("_high", bounds[1, 0])):
                of = found[f"expert_entropy{end}"][language, layer]
                assert of == pytest.approx(value), end

    def test_the_memory_does_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        chosen, _ = mixture(layers=2, folds=9, languages=2, tokens=15)
        whole = expert_entropy(chosen, 20)
        monkeypatch.setattr("neuroglot.analyses.routing.measures.shares.CELLS", 1)
        for name, values in expert_entropy(chosen, 20).items():
            xr.testing.assert_allclose(values, whole[name])

    def test_experts_of_one_language_lower_it(self) -> None:
        found = expert_entropy(mixture()[0], 20)["expert_entropy"]
        assert found.isel(layer=[0, 5]).max() < found.isel(layer=[1, 2, 3, 4]).min()
        even = np.ones((1, 2, 1, 8), int)
        assert expert_entropy(labelled(even, even[..., 0, 0])[0], 5)["expert_entropy"] == 3


class TestOverlap:
    def test_it_is_a_literal_loop(self) -> None:
        chosen, _ = mixture(layers=2, folds=6, languages=3, tokens=20)
        found = overlap(chosen, 20)["overlap"]
        for a, b in np.ndindex(3, 3):
            values = []
            for first, second in random_halves(6):
                for x, y in ((first, second), (second, first)):
                    for layer in range(2):
                        pairs = zip(
                            half(chosen, a, layer, x), half(chosen, b, layer, y), strict=True
                        )
                        values.append(sum(min(pair) for pair in pairs))
            assert found[a, b] == pytest.approx(np.mean(values))

    def test_languages_that_share_experts_overlap_more(self) -> None:
        """German has English's experts; the floor is above both."""
        chosen, _ = mixture(layers=2)
        related = chosen.copy()
        related[1] = mixture(layers=2, seed=0)[0][0]
        found = overlap(related, 50)
        values, low, high = (found[f"overlap{end}"].values for end in ("", "_low", "_high"))
        assert low[0, 1] > high[0, 2]
        assert low[0, 1] > high[1, 3]
        np.testing.assert_allclose(values, values.T)
        assert (np.diagonal(values) > 0.9).all()
        assert ((low <= values) & (values <= high)).all()


def own_of(chosen: xr.DataArray, tokens: xr.DataArray, **shares: float) -> dict[str, xr.DataArray]:
    """The experts of languages with their numbers."""
    told = {"percentile": 0.75, "top_fraction": 0.2, **shares}
    frequency = expert_frequency(chosen.sum("fold"), tokens.sum("fold"))
    own, entropy = language_experts(frequency, **told)

    def by_fold(language: str, layer: int) -> np.ndarray:
        return chosen.sel(language=language).isel(layer=layer).values

    read = {language: tokens.sel(language=language).values for language in IDS}
    numbers = counted_experts(own, entropy, by_fold, read, tuple(told.values()), 50, 100)
    return {"own": own, "entropy": entropy, "frequency": frequency, **numbers}


class TestOwn:
    def test_frequencies_are_shares_of_tokens(self) -> None:
        chosen, tokens = mixture(folds=3)
        found = expert_frequency(chosen.sum("fold"), tokens.sum("fold"))
        np.testing.assert_allclose(found.sum("expert"), 2, rtol=1e-6)
        assert found[2, 1, 3] == np.float32(chosen[2, :, 1, 3].sum() / 180)
        assert found.dims == ("language", "layer", "expert")

    def test_the_rule_by_hand(self) -> None:
        """12 frequencies; the bar of the lower half is 0.2; of 6 experts, two are selected."""
        frequency = labelled(
            np.array([[[[0.9, 0.6, 0.2], [0.5, 0.1, 0.0]]], [[[0.1, 0.6, 0.2], [0.0, 0.3, 0.1]]]]),
            np.ones((2, 1), int),
        )[0].isel(fold=0)
        own, entropy = language_experts(frequency, 0.5, 1 / 3)
        assert own.attrs["frequency_bar"] == 0.2
        found = {tuple(place) for place in np.argwhere(own.values).tolist()}
        assert found == {(0, 0, 0), (0, 1, 0)}
        assert entropy[1, 0] == 0
        assert entropy[0, 1] == pytest.approx(np.log(2))

    def test_planted_experts_are_found_in_their_layers(self) -> None:
        # 32 of 96 experts are planted, and 24 are selected.
        found = own_of(*mixture(own=40.0), top_fraction=0.25)
        own = found["own"].values
        planted = np.zeros(own.shape, bool)
        for language in range(4):
            planted[language, [0, 5], 4 * language : 4 * language + 4] = True
        assert (own & ~planted)[:, [0, 5]].sum() == 0
        assert (own & planted).sum() >= 20
        numbers = found["experts"].values
        assert numbers.sum(1).min() >= 2
        assert (found["all_layers_low"] > found["chance_all_layers_high"]).all()
        assert found["chance_experts"].isel(layer=[0, 5]).max() < 0.5
        shared = shared_by_languages(found["own"])
        assert shared["count"].values.tolist() == [1, 2, 3, 4]
        assert shared.sum() == found["own"].any("language").sum()
        assert shared[0] == (found["own"].sum("language") == 1).sum() >= 20

    def test_exchanged_labels_have_as_many_as_chance(self) -> None:
        chosen, tokens = mixture()
        found = own_of(exchanged(chosen), tokens)
        total = found["own"].any("language").sum()
        low, high = found["chance_selected_low"], found["chance_selected_high"]
        assert low <= total <= high

    def test_numbers_are_those_of_experts(self) -> None:
        found = own_of(*mixture(folds=8))
        for name, values in found.items():
            if name.startswith(("experts", "all_layers", "chance")):
                assert values.attrs["units"] == "experts", name
        np.testing.assert_array_equal(found["experts"], found["own"].sum("expert"))
        np.testing.assert_array_equal(found["all_layers"], found["experts"].sum("layer"))
        assert (found["experts_low"] <= found["experts"]).all()


class TestDistinctive:
    def literal(
        self, frequency: np.ndarray, bar: float, number: int, most: int
    ) -> set[tuple[int, int, int]]:
        languages, layers, experts = frequency.shape
        found = set()
        for i in range(languages):
            ranked = []
            for layer in range(layers):
                for expert in range(experts):
                    mine, total = frequency[i, layer, expert], frequency[:, layer, expert].sum()
                    others = (total - mine) / (languages - 1)
                    if mine > bar and mine > others:
                        ranked.append((-mine / total, layer, expert))
            by_layer = [0] * layers
            for _, layer, expert in sorted(ranked):
                if by_layer[layer] < most and sum(by_layer) < number:
                    by_layer[layer] += 1
                    found.add((i, layer, expert))
        return found

    @pytest.mark.parametrize(("number", "most"), [(4, 8), (4, 1), (100, 2), (1, 3)])
    def test_it_is_the_literal_choice(self, number: int, most: int) -> None:
        for seed in range(5):
            frequency = RNG(seed).gamma(0.5, 0.3, (3, 4, 8)).round(2)
            found = distinctive(frequency, 0.1, number, most)
            places = {tuple(place) for place in np.argwhere(found).tolist()}
            assert places == self.literal(frequency, 0.1, number, most)
            assert found.any()

    def test_experts_that_nobody_chooses_are_nobodys(self) -> None:
        frequency = np.zeros((2, 1, 3))
        frequency[0, 0, 1] = 0.5
        assert np.argwhere(distinctive(frequency, 0.1, 3, 3)).tolist() == [[0, 0, 1]]

    def test_planted_experts_are_the_distinctive(self) -> None:
        chosen, tokens = mixture(own=40.0)
        frequency = expert_frequency(chosen.sum("fold"), tokens.sum("fold")).values
        found = distinctive(frequency, 0.1, 6, 14)
        assert (found.sum((1, 2)) >= 5).all()
        for language in range(4):
            layer, expert = np.nonzero(found[language])
            assert set(layer) <= {0, 5}
            assert (expert // 4 == language).all()
