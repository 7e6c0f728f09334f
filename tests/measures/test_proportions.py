"""Wilson's interval: against scipy for whole numbers, for scores between 0 and 1, and coverage."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, binomtest

from neuroglot.measures.proportions import bounded_share, wilson_interval

PROBABILITIES = np.linspace(0.05, 0.95, 181)


def scores(right: int, units: int) -> xr.DataArray:
    return xr.DataArray([1.0] * right + [0.0] * (units - right), dims="item")


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("units", [2, 8, 33])
def test_scipy(units, level):
    for right in range(units + 1):
        found = wilson_interval(scores(right, units), level)
        expected = binomtest(right, units).proportion_ci(level, "wilson")
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_a_fact_counts_with_the_mean_of_its_wordings():
    """Wilson's limits are the shares p at which the score test is at its critical value."""
    answers = xr.DataArray(
        [[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 1, 0]],
        dims=("item", "wording"),
    )
    found = wilson_interval(answers.mean("wording"))
    for end in found:
        score = (answers.mean().item() - end.item()) / (end.item() * (1 - end.item()) / 5) ** 0.5
        assert abs(score) == pytest.approx(1.959964, rel=1e-6)
    assert found[0] < answers.mean() < found[1]


def test_units_that_were_not_judged_do_not_count():
    values = xr.DataArray(
        [[1, 0, 1, np.nan], [np.nan] * 4, [1, *[np.nan] * 3]], dims=("language", "item")
    ).assign_attrs(units="share of facts")
    found = bounded_share("accuracy", values)
    assert list(found) == ["accuracy", "accuracy_low", "accuracy_high"]
    expected = wilson_interval(scores(2, 3))
    for end, bound in zip(("low", "high"), expected, strict=True):
        np.testing.assert_allclose(found[f"accuracy_{end}"], [bound, np.nan, np.nan])
    np.testing.assert_allclose(found["accuracy"], [2 / 3, np.nan, 1])
    assert found["accuracy_low"].attrs == {"units": "share of facts", "level": 0.95}


@pytest.mark.parametrize(("units", "least"), [(8, 0.895), (12, 0.9), (24, 0.9), (36, 0.9)])
def test_coverage(units, least):
    """Exact, from the binomial distribution. At 8 units, 7 % have the least: 89.7 % are covered."""
    right = np.arange(units + 1)
    low, high = np.array([wilson_interval(scores(one, units)) for one in right]).T
    probability = binom.pmf(right, units, PROBABILITIES[:, None])
    inside = (low <= PROBABILITIES[:, None]) & (PROBABILITIES[:, None] <= high)
    covered = (probability * inside).sum(axis=1)
    assert covered.mean() >= 0.93
    assert covered.min() >= least


def test_wordings_of_a_fact_do_not_make_the_interval_narrower():
    """Facts are known or not, whatever the wording: four times the items is no more evidence."""
    known = np.random.default_rng(0).random((2000, 24)) < 0.7
    answers = xr.DataArray(np.repeat(known, 4, axis=1), dims=("experiment", "item"))
    by_fact = xr.DataArray(known.astype(float), dims=("experiment", "item"))
    covered = {}
    for name, values in {"items": answers, "facts": by_fact}.items():
        low, high = wilson_interval(values)
        covered[name] = ((low <= 0.7) & (high >= 0.7)).mean().item()
    assert covered["items"] < 0.75
    assert covered["facts"] > 0.93
