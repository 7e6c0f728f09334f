"""What rank correlations are compared with: against loops, and on planted effects of known size."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import spearmanr

from neuroglot.analyses.roles.measures import unshared
from neuroglot.analyses.roles.measures.halves import (
    HALVES,
    LEAST_FOLDS,
    SPLITS,
    random_halves,
    split_correlations,
)
from neuroglot.analyses.roles.measures.unshared import (
    DRAWS,
    UNSHARED,
    random_rows,
    unshared_correlations,
    unshared_rows,
)


def rho(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


class TestHalves:
    @pytest.mark.parametrize("folds", [4, 7, 32])
    def test_halves_are_equal_apart_and_random(self, folds: int) -> None:
        halves = random_halves(folds)
        assert halves.shape == (SPLITS, 2, folds)
        assert (halves.sum(axis=2) == folds // 2).all()
        assert not halves.all(axis=1).any()
        assert halves.any(axis=(0, 1)).all()
        assert len({half.tobytes() for half in halves[:, 0]}) > 2
        np.testing.assert_array_equal(halves, random_halves(folds))

    @pytest.mark.parametrize("folds", [5, 8])
    def test_against_loops(self, folds: int) -> None:
        generator = np.random.default_rng(1)
        shared = generator.normal(size=40)
        texts = [shared + generator.normal(size=(folds, 40)).round(1) for _ in range(3)]
        found = dict(zip(HALVES, split_correlations(texts), strict=True))

        def mean(a: int, b: int, halves: list[tuple[int, int]]) -> float:
            return float(
                np.mean(
                    [
                        rho(texts[a][split[i]].sum(0), texts[b][split[j]].sum(0))
                        for split in random_halves(folds)
                        for i, j in halves
                    ]
                )
            )

        itself = [mean(a, a, [(0, 1)]) for a in range(3)]
        for a in range(3):
            for b in range(3):
                within = np.sqrt(itself[a] * itself[b])
                other = mean(a, b, [(0, 1), (1, 0)])
                assert found["within_language"][a, b] == pytest.approx(within)
                assert found["same_content"][a, b] == pytest.approx(mean(a, b, [(0, 0), (1, 1)]))
                assert found["other_content"][a, b] == pytest.approx(other)
                assert found["corrected"][a, b] == pytest.approx(other / within)

    def test_planted_effects_come_out(self) -> None:
        """A neuron's sum: any text + language + content of the segment + noise, all normal."""
        any_text, of_language, content, noise, folds, neurons = 1.0, 0.8, 1.5, 1.0, 8, 20_000
        generator = np.random.default_rng(2)

        def effect(size: float, *shape: int) -> np.ndarray:
            return size * generator.normal(size=(*shape, neurons))

        common = effect(any_text) + effect(content, folds)
        texts = [common + effect(of_language) + effect(noise, folds) for _ in range(3)]
        found = dict(zip(HALVES, split_correlations(texts), strict=True))
        half = folds // 2
        total = any_text**2 + of_language**2 + (content**2 + noise**2) / half

        def spearman(shared_variance: float, of: float = total) -> float:
            """Spearman's ρ of two normal variables, from their covariance and variance."""
            return float(6 / np.pi * np.arcsin(shared_variance / of / 2))

        off = ~np.eye(3, dtype=bool)
        expected = {
            "within_language": spearman(any_text**2 + of_language**2),
            "same_content": spearman(any_text**2 + content**2 / half),
            "other_content": spearman(any_text**2),
            "corrected": spearman(any_text**2, any_text**2 + of_language**2),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name][off], value, atol=0.025, err_msg=name)
        assert expected["other_content"] < 0.46 < 0.58 < expected["corrected"]

    def test_languages_of_nothing_in_common_stay_at_zero_when_corrected(self) -> None:
        generator = np.random.default_rng(3)
        texts = [
            generator.normal(size=20_000) + generator.normal(size=(6, 20_000)) for _ in range(2)
        ]
        within, same, other, corrected = split_correlations(texts)[:, 0, 1]
        assert within > 0.6
        np.testing.assert_allclose([same, other, corrected], 0, atol=0.03)

    def test_what_correlates_with_itself_by_no_more_than_noise_is_not_corrected(self) -> None:
        generator = np.random.default_rng(4)
        noise = generator.normal(size=(4, 300))
        opposed = np.concatenate([noise, -noise])  # halves tend to be opposites
        steady = generator.normal(size=300) + 0.1 * generator.normal(size=(8, 300))
        within, same, _, corrected = split_correlations([opposed, steady])
        assert np.isnan(within[0]).all()
        assert np.isnan(corrected[0]).all()
        assert corrected[1, 1] == pytest.approx(1)
        assert np.isfinite(same).all()

    def test_few_folds_are_not_split(self) -> None:
        texts = [np.ones((LEAST_FOLDS - 1, 5)), np.ones((LEAST_FOLDS - 1, 5))]
        assert np.isnan(split_correlations(texts)).all()

    def test_order_and_scale_do_not_matter(self) -> None:
        generator = np.random.default_rng(5)
        texts = [generator.normal(size=(6, 50)) for _ in range(3)]
        found = split_correlations(texts)
        turned = split_correlations([7 * text for text in texts[::-1]])
        np.testing.assert_allclose(turned[:, ::-1, ::-1], found)


TOKENS = {"en": np.array([0, 1, 2, 3, 3, 1]), "de": np.array([0, 4, 5, 4]), "th": np.array([6, 7])}
USED = np.array(
    [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]], bool
)


class TestUnshared:
    def test_rows_of_tokens_that_both_texts_have_are_left_out(self) -> None:
        """Token 1 is in the German text, but ends none of its sampled prefixes."""
        kept = unshared_rows(TOKENS, USED)
        assert kept["en"].tolist() == [
            [False] * 6,
            [False, False, True, True, True, False],
            [True] * 6,
        ]
        assert kept["de"].tolist() == [[False, True, True, True], [False] * 4, [True] * 4]
        assert kept["th"].tolist() == [[True] * 2, [True] * 2, [False] * 2]

    def test_as_many_random_rows_are_kept_whatever_the_order_of_languages(self) -> None:
        kept = unshared_rows(TOKENS, USED)
        for draw in range(DRAWS):
            chosen = random_rows(kept, draw)
            for language, rows in kept.items():
                np.testing.assert_array_equal(chosen[language].sum(1), rows.sum(1))
            turned = random_rows(dict(reversed(kept.items())), draw)
            np.testing.assert_array_equal(turned["en"], chosen["en"])
        different = {random_rows(kept, draw)["en"].tobytes() for draw in range(DRAWS)}
        assert len(different) > 1

    @pytest.mark.parametrize("values", [1 << 22, 30])  # all pairs at once, and one by one
    def test_against_loops(self, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unshared, "VALUES", values)
        generator = np.random.default_rng(0)
        rows = {
            language: generator.normal(size=(len(ids), 30)).astype(np.float32)
            for language, ids in TOKENS.items()
        }
        kept = unshared_rows(TOKENS, USED)
        found = dict(zip(UNSHARED, unshared_correlations(rows, kept), strict=True))
        languages = [*rows]
        for i, j in combinations(range(3), 2):
            a, b = languages[i], languages[j]

            def between(chosen: unshared.Kept, i: int = i, j: int = j) -> float:
                a, b = languages[i], languages[j]
                return rho(
                    rows[a][chosen[a][j]].sum(0, dtype=np.float64),
                    rows[b][chosen[b][i]].sum(0, dtype=np.float64),
                )

            random = np.mean([between(random_rows(kept, draw)) for draw in range(DRAWS)])
            expected = (rho(rows[a].sum(0), rows[b].sum(0)), between(kept), random)
            for name, value in zip(UNSHARED, expected, strict=True):
                assert found[name][i, j] == found[name][j, i] == pytest.approx(value, abs=1e-6)
        assert np.isnan(np.diag(found["without_shared_tokens"])).all()
        np.testing.assert_allclose(np.diag(found["sample_correlation"]), 1)

    def test_a_likeness_that_shared_tokens_bring_is_gone_without_them(self) -> None:
        """A shared token drives the same neurons in both languages, others drive any."""
        generator = np.random.default_rng(6)
        by_token = 3 * generator.normal(size=(40, 500))
        tokens = {name: generator.integers(0, 40, size=300) for name in ("a", "b")}
        own = {"a": np.arange(40) < 20, "b": np.arange(40) < 10}
        used = np.stack([own["a"], own["b"] | (np.arange(40) >= 20)])
        rows = {}
        for name, ids in tokens.items():
            ids = np.where(used[[*tokens].index(name)][ids], ids, 0)
            tokens[name] = ids
            shared = ids < 10
            rows[name] = np.where(shared[:, None], by_token[ids], generator.normal(size=(300, 500)))
        every, without, random = unshared_correlations(rows, unshared_rows(tokens, used))[:, 0, 1]
        assert every > 0.8
        assert random > 0.7
        assert abs(without) < 0.15
