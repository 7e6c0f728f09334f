"""Bootstrap intervals: against a loop over the same resamples, their coverage, and their ends."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neuroglot.errors import NeuroglotError
from neuroglot.measures import bootstrap
from neuroglot.measures.bootstrap import (
    bounded,
    bounded_mean,
    centred_percentiles,
    expanded_level,
    expanded_percentiles,
    interval,
    named_bounds,
    percentiles,
    resample_weights,
    with_bounds,
)


def labelled(values, dims=("variant", "language", "item")) -> xr.DataArray:
    array = xr.DataArray(np.asarray(values), dims=dims[-np.ndim(values) :], attrs={"units": "x"})
    return array.assign_coords(language=["de", "en"]) if "language" in array.dims else array


def drawn(shape=(3, 2, 25), missing: float = 0.2) -> xr.DataArray:
    generator = np.random.default_rng(0)
    values = generator.normal(size=shape)
    values[generator.random(shape) < missing] = np.nan
    return labelled(values)


def slow_interval(values: list[float], weights: list[list[float]], level: float):
    means = []
    for drawn_times in weights:
        sample = []
        for value, times in zip(values, drawn_times, strict=True):
            sample += [value] * int(times)
        sample = [value for value in sample if not np.isnan(value)]
        if sample:
            means.append(sum(sample) / len(sample))
    if sum(not np.isnan(value) for value in values) < 2:
        return np.nan, np.nan
    outside = slow_tail(sum(not np.isnan(value) for value in values), level)
    return np.quantile(means, outside), np.quantile(means, 1 - outside)


def slow_tail(units: int, level: float) -> float:
    """The share of resamples beyond each bound, as Hesterberg (2015) writes it."""
    quantile = stats.t.ppf((1 - level) / 2, units - 1)
    return stats.norm.cdf((units / (units - 1)) ** 0.5 * quantile)


@pytest.mark.parametrize("missing", [0, 0.2, 0.9])
def test_a_loop_over_the_same_resamples(missing):
    values = drawn(missing=missing)
    values[0, 0] = np.nan
    values[0, 0, :2] = [1.0, 2.0]  # many resamples have neither item
    values[0, 1, 1:] = np.nan
    low, high = interval(values, replicates=60, level=0.9, seed=5)
    weights = np.concatenate(list(resample_weights(25, 60, 5))).tolist()
    for variant, language in np.ndindex(3, 2):
        own = values[variant, language].values.tolist()
        expected = slow_interval(own, weights, 0.9)
        found = (low[variant, language].item(), high[variant, language].item())
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_resamples_are_multinomial():
    weights = np.concatenate(list(resample_weights(7, 4000, 1)))
    assert weights.shape == (4000, 7)
    assert (weights.sum(axis=1) == 7).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.1)


def test_blocks_change_nothing(monkeypatch):
    values = drawn()
    expected = interval(values, 50)
    monkeypatch.setattr(bootstrap, "WEIGHTS", 60)
    monkeypatch.setattr(bootstrap, "VARIABLES", 4)
    for found, whole in zip(interval(values, 50), expected, strict=True):
        xr.testing.assert_allclose(found, whole, rtol=1e-13)


def test_every_variable_sees_the_same_resamples():
    values = drawn(missing=0)
    low, high = interval(xr.concat([values, values + 3], "shift"), 100)
    np.testing.assert_allclose(low[1] - low[0], 3, rtol=1e-12)
    np.testing.assert_allclose(high[1] - high[0], 3, rtol=1e-12)
    alone = interval(values[1, 1], 100)
    assert alone[0].item() == pytest.approx(low[0, 1, 1].item(), rel=1e-12)


def test_dimensions_coordinates_and_attributes():
    values = drawn()
    low, high = interval(values.transpose("item", "language", "variant"), 50, 0.8, seed=3)
    for found, other in zip((low, high), interval(values, 50, 0.8, seed=3), strict=True):
        assert found.dims == ("language", "variant")
        assert found["language"].values.tolist() == ["de", "en"]
        assert found.attrs == {"units": "x", "replicates": 50, "level": 0.8, "seed": 3}
        xr.testing.assert_allclose(found, other.transpose("language", "variant"), rtol=1e-13)
    assert (low < high).all()
    assert values.attrs == {"units": "x"}


def test_the_seed_decides():
    values = drawn()
    xr.testing.assert_identical(interval(values, 50, seed=1)[0], interval(values, 50, seed=1)[0])
    assert not interval(values, 50, seed=1)[0].equals(interval(values, 50, seed=2)[0])


def test_coverage_of_accuracies():
    truth, items, experiments = 0.6, 100, 1500
    answers = np.random.default_rng(7).random((experiments, items)) < truth
    low, high = interval(xr.DataArray(answers, dims=("experiment", "item")), replicates=500)
    covered = ((low <= truth) & (truth <= high)).mean().item()
    assert 0.92 < covered < 0.97
    width = (high - low).mean().item()
    assert width == pytest.approx(2 * 1.98 * (0.24 / items) ** 0.5, rel=0.03)


class TestExpandedPercentiles:
    def test_level(self):
        for units in (2, 3, 8, 40):
            for level in (0.5, 0.95):
                outside = slow_tail(units, level)
                assert expanded_level(units, level) == pytest.approx(1 - 2 * outside, abs=1e-12)
        assert expanded_level(8) == pytest.approx(1 - 2 * 0.0057, abs=1e-4)
        assert expanded_level(10**6) == pytest.approx(0.95, abs=1e-5)

    def test_the_mean_of_normal_values_has_students_interval(self):
        values = np.random.default_rng(2).normal(size=12)
        low, high = interval(xr.DataArray(values, dims="item"), replicates=100_000)
        half = stats.t.ppf(0.975, 11) * values.std(ddof=1) / 12**0.5
        assert (high - low).item() == pytest.approx(2 * half, rel=0.03)

    def test_each_variable_has_its_own_units(self):
        values = np.random.default_rng(3).normal(size=(4, 500))
        units = np.array([8, 1, 30, 0])
        found = expanded_percentiles(values, units)
        assert np.isnan(found[:, [1, 3]]).all()
        for place in (0, 2):
            expected = percentiles(values[[place]], expanded_level(int(units[place])))
            np.testing.assert_array_equal(found[:, [place]], expected)
        estimate = np.arange(4.0)
        centred = centred_percentiles(values, estimate, units)
        shift = estimate - np.median(values, axis=1)
        np.testing.assert_allclose(centred, found + shift, rtol=1e-12)

    @pytest.mark.parametrize("units", [8, 12, 24, 36])
    def test_coverage_of_shares(self, units):
        """Shares of neurons: an item's is of a beta distribution, whose parameters sum to 40."""
        generator, covered = np.random.default_rng(units), []
        for mean in (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95):
            values = generator.beta(40 * mean, 40 * (1 - mean), (1500, units))
            low, high = interval(xr.DataArray(values, dims=("experiment", "item")))
            covered.append(((low <= mean) & (mean <= high)).mean().item())
        assert np.mean(covered) >= 0.93
        assert min(covered) >= 0.90

    @pytest.mark.parametrize("units", [8, 12, 24, 36])
    def test_plain_percentiles_of_means_are_too_narrow(self, units):
        values = np.random.default_rng(units).normal(size=(4000, units))
        means = bootstrap._means(values, 1000, 0)
        expanded, plain = (
            ((low <= 0) & (high >= 0)).mean()
            for low, high in (expanded_percentiles(means, units), percentiles(means))
        )
        assert 0.93 <= expanded <= 0.965
        assert plain < min(0.945, expanded)
        assert units > 8 or plain < 0.90


def test_a_higher_level_is_wider():
    values = drawn()
    narrow, wide = interval(values, 300, 0.5), interval(values, 300, 0.99)
    assert (wide[0] < narrow[0]).all()
    assert (narrow[1] < wide[1]).all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.7])
def test_constants_have_no_width(value):
    values = labelled(np.full((2, 31), value))
    values[0, 4] = np.nan
    for bound in interval(values, 100):
        assert (bound == value).all()


def test_one_item_and_no_value():
    for values in ([[0.3], [np.nan]], [[0.3, np.nan, np.nan], [np.nan] * 3]):
        for bound in interval(labelled(values), 20):
            np.testing.assert_array_equal(bound, [np.nan, np.nan])
    low, high = interval(labelled([0.0, 1.0, 1.0]), 20)
    assert low.dims == ()
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (xr.DataArray([1.0], dims="row"), {}, "at least one item, found {'row': 1}"),
        (xr.DataArray(np.ones((2, 0)), dims=("a", "item")), {}, "at least one item"),
        (xr.DataArray([1.0, -np.inf], dims="item"), {}, "a value is infinite"),
        (xr.DataArray([1.0], dims="item"), {"replicates": 0}, "1 or more, found 0"),
        (xr.DataArray([1.0], dims="item"), {"level": 95}, "between 0 and 1, found 95"),
    ],
)
def test_wrong_input_is_named(values, settings, message):
    with pytest.raises(NeuroglotError, match=message):
        interval(values, **settings)


class TestNames:
    def test_values_take_the_place_of_the_estimates(self):
        estimate = labelled([[1.0, 2.0]] * 3, ("variant", "language")).assign_attrs(source="figure")
        both = np.stack([estimate.values - 1, estimate.values + 2])
        found = xr.Dataset(bounded("share", estimate, both))
        assert list(found) == with_bounds("share") == ["share", "share_low", "share_high"]
        xr.testing.assert_identical(found["share"], estimate.rename("share"))
        xr.testing.assert_identical(found["share_low"], (estimate - 1).rename("share_low"))
        xr.testing.assert_identical(found["share_high"], (estimate + 2).rename("share_high"))

    def test_arrays_keep_their_dimensions_and_add_their_settings(self):
        values = drawn()
        low, high = interval(values, 50)
        estimate = values.mean("item").transpose().assign_attrs(source="figure")
        found = bounded("share", estimate, (low, high))
        assert found["share_low"].dims == ("variant", "language")
        np.testing.assert_array_equal(found["share_high"], high)
        assert found["share_low"].attrs == {**low.attrs, "source": "figure"}
        assert low.attrs["replicates"] == 50
        assert "source" not in low.attrs

    def test_a_mean_over_items(self):
        values = drawn()
        found = bounded_mean("share", values, 40)
        np.testing.assert_array_equal(found["share"], values.mean("item"))
        for bound, expected in zip(("low", "high"), interval(values, 40), strict=True):
            np.testing.assert_array_equal(found[f"share_{bound}"], expected)
        assert found["share"].attrs == values.attrs

    def test_two_bounds(self):
        low, high = named_bounds("a", percentiles(np.arange(12.0).reshape(2, 6))).values()
        assert (low < high).all()
        with pytest.raises(ValueError, match="zip"):
            named_bounds("a", (1, 2, 3))
        assert with_bounds("a", "b") == ["a", "a_low", "a_high", "b", "b_low", "b_high"]
