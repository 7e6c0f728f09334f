"""Comparisons across halves of a text, against a literal loop."""

import numpy as np
import pytest

from neuroglot.measures import halves
from neuroglot.measures.bootstrap import centred_percentiles, fold_weights
from neuroglot.measures.halves import SPLITS, across_halves, random_halves

Values = np.ndarray


def ratio(first: list[Values], second: list[Values]) -> Values:
    """Of two sums of each half: the first language's ratio less the second's, [replicate, 1]."""
    of_first, of_second = (parts / wholes for parts, wholes in (first, second))
    return np.asarray(of_first[:, :1] - of_second[:, 1:])


def sums(folds: int) -> list[Values]:
    generator = np.random.default_rng(2)
    wholes = generator.integers(5, 20, (2, folds)).astype(float)
    return [generator.binomial(wholes.astype(int), 0.4).astype(float), wholes]


def test_estimate_and_interval_are_the_literal_ones() -> None:
    of_folds = sums(9)
    estimate, bounds = across_halves(of_folds, ratio, 30, seed=4)

    def of_half(language: int, folds: Values, times: Values) -> float:
        part, whole = (
            sum(t * of[language, f] for f, t in zip(folds, times, strict=True)) for of in of_folds
        )
        return float(part / whole)

    once, drawn = [], []
    for split, (first, second) in enumerate(random_halves(9, 4)):
        ones = np.ones(4)
        once.append(of_half(0, first, ones) - of_half(1, second, ones))
        weights = fold_weights(4, 2 * 3, 4 + split)
        for x, y in zip(weights[:3], weights[3:], strict=True):
            drawn.append(of_half(0, first, x) - of_half(1, second, y) - once[-1])
    assert estimate[0] == pytest.approx(np.mean(once))
    values = np.array([drawn]) + np.mean(once)
    expected = centred_percentiles(values, estimate, 4)
    np.testing.assert_allclose(bounds, expected)


def test_the_memory_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = across_halves(sums(8), ratio, 40)
    monkeypatch.setattr(halves, "CELLS", 1)
    for of_blocks, of_all in zip(across_halves(sums(8), ratio, 40), whole, strict=True):
        np.testing.assert_allclose(of_blocks, of_all)


@pytest.mark.parametrize("folds", [1, 2, 3, 4])
def test_few_folds_have_no_halves_or_no_intervals(folds: int) -> None:
    estimate, bounds = across_halves(sums(folds), ratio, 10)
    assert np.isfinite(estimate).all() == (folds > 1)
    assert np.isfinite(bounds).all() == (folds > 3)


def test_halves_share_no_fold() -> None:
    drawn = random_halves(7)
    assert drawn.shape == (SPLITS, 2, 3)
    assert all(len({*np.ravel(split)}) == 6 for split in drawn)
