"""Sign-flip tests: against loops over all flips, scipy, their own intervals, and simulations."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy.stats import permutation_test

from neuroglot.errors import NeuroglotError
from neuroglot.measures import significance
from neuroglot.measures.significance import (
    EXACT,
    FLIPS,
    STAR,
    bounded_difference,
    difference_interval,
    difference_p_value,
    fewest_units,
    holm_p_value,
    step_down_p_value,
)


def labelled(values) -> xr.DataArray:
    values = np.asarray(values, float)
    return xr.DataArray(values, dims=("family", "cell", "item")[-values.ndim :])


def slow_p(differences: list[float], shift: float = 0.0) -> float:
    """The share of all sign patterns whose sum is as far from zero, to within rounding."""
    less = [one - shift for one in differences if not np.isnan(one)]
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, less, strict=True)))
        for signs in product([1, -1], repeat=len(less))
    ]
    return float(np.mean([one >= sums[0] - 1e-9 for one in sums]))


def slow_step_down(family: np.ndarray) -> np.ndarray:
    """Westfall and Young's algorithm 2.8, literally: all sign patterns, one cell after another."""
    cells, units = family.shape
    known = np.nan_to_num(family)

    def statistics(signs: tuple[int, ...]) -> list[float]:
        return [
            abs(sum(s * d for s, d in zip(signs, row, strict=True))) / (sum(row**2) ** 0.5 or 1)
            for row in known
        ]

    observed = statistics((1,) * units)
    flipped = [statistics(signs) for signs in product([1, -1], repeat=units)]
    left = sorted(range(cells), key=lambda cell: -observed[cell])
    adjusted, largest = np.empty(cells), 0.0
    while left:
        first = left[0]
        beyond = [max(one[cell] for cell in left) >= observed[first] - 1e-9 for one in flipped]
        largest = adjusted[first] = max(largest, float(np.mean(beyond)))
        left = left[1:]
    return adjusted


def integers(shape, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    """Differences with many ties and zeros, as between right and wrong answers."""
    generator = np.random.default_rng(seed)
    values = generator.integers(-2, 4, shape) / 3
    values[generator.random(shape) < missing] = np.nan
    return values


def normal(shape, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, shape)


class TestOneCell:
    @pytest.mark.parametrize("missing", [0, 0.3])
    @pytest.mark.parametrize("values", [integers, normal])
    def test_a_loop_over_all_flips(self, values, missing):
        differences = values((12, 9), 3) + 0.7
        differences[np.random.default_rng(1).random((12, 9)) < missing] = np.nan
        expected = [slow_p(row.tolist()) for row in differences]
        assert min(expected) < STAR
        np.testing.assert_allclose(difference_p_value(labelled(differences)), expected, rtol=1e-12)

    def test_scipy(self):
        differences = normal(10, 5, 0.4)
        found = permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        p = difference_p_value(labelled(differences)).item()
        assert p == pytest.approx(found.pvalue, rel=1e-12)

    def test_random_flips_are_near_the_exact_ones(self, monkeypatch):
        differences = labelled(normal((20, 13), 2, 0.5))
        exact = difference_p_value(differences)
        bounds = difference_interval(differences)
        monkeypatch.setattr(significance, "EXACT", 12)
        significance._flips.cache_clear()
        random = difference_p_value(differences)
        assert not random.equals(exact)
        np.testing.assert_allclose(random, exact, atol=4 * (0.25 / FLIPS) ** 0.5)
        for bound, found in zip(bounds, difference_interval(differences), strict=True):
            np.testing.assert_allclose(found, bound, atol=0.05)
        significance._flips.cache_clear()

    def test_random_flips_count_what_was_observed(self):
        assert difference_p_value(labelled(np.ones(30))).item() == 1 / (FLIPS + 1)

    @pytest.mark.parametrize("units", [6, 9, EXACT, EXACT + 1, 40])
    @pytest.mark.parametrize("values", [integers, normal])
    def test_the_interval_leaves_out_zero_exactly_if_the_test_rejects_it(self, units, values):
        differences = labelled(values((300, units), units) + 1.5 / units**0.5)
        low, high = difference_interval(differences)
        rejected = difference_p_value(differences) < STAR
        assert 0.05 < rejected.mean() < 1
        np.testing.assert_array_equal((low > 0) | (high < 0), rejected)
        assert (low <= high).all()

    @pytest.mark.parametrize("units", [7, 8, 10])
    def test_the_interval_holds_what_the_test_does_not_reject(self, units):
        for differences in normal((4, units), units, 0.2).tolist():
            low, high = (one.item() for one in difference_interval(labelled(differences)))
            for inside, outside in ((low + 1e-6, low - 1e-6), (high - 1e-6, high + 1e-6)):
                assert slow_p(differences, inside) >= STAR > slow_p(differences, outside)

    def test_of_random_flips_exactly_one_in_twenty_is_as_extreme_at_an_end(self):
        differences = labelled(normal((20, 20), 3))
        for end in difference_interval(differences):
            np.testing.assert_allclose(difference_p_value(differences - end), 0.05, rtol=1e-12)

    def test_a_lower_level(self):
        differences = normal(9, 4).tolist()
        low, _ = difference_interval(labelled(differences), level=0.8)
        assert (
            slow_p(differences, low.item() + 1e-6) >= 0.2 > slow_p(differences, low.item() - 1e-6)
        )

    def test_sign_and_scale_play_no_role(self):
        differences = labelled(integers((30, 11), 1) + 0.1)
        p, (low, high) = difference_p_value(differences), difference_interval(differences)
        for factor in (-1, 7e-5, 1e150, -1e-150):
            np.testing.assert_array_equal(difference_p_value(factor * differences), p)
            ends = np.sort([factor * low, factor * high], axis=0)
            found = difference_interval(factor * differences)
            np.testing.assert_allclose(found, ends, rtol=1e-9, atol=abs(1e-12 * factor))

    def test_a_shift_moves_the_interval(self):
        differences = labelled(normal((30, 18), 1))
        low, high = difference_interval(differences)
        moved = difference_interval(differences + 5)
        np.testing.assert_allclose(moved, np.stack([low + 5, high + 5]), rtol=1e-9)

    def test_cells_do_not_depend_on_others_or_on_units_that_they_lack(self):
        differences = labelled(integers((7, 20), 6, missing=0.4))
        p = difference_p_value(differences)
        bounds = np.stack(difference_interval(differences))
        for place, cell in enumerate(differences):
            alone = cell.dropna("item")
            assert difference_p_value(alone).item() == p[place]
            np.testing.assert_array_equal(np.stack(difference_interval(alone)), bounds[:, place])

    def test_blocks_change_nothing(self, monkeypatch):
        differences = labelled(integers((9, 16), 6, missing=0.2))
        p, bounds = difference_p_value(differences), np.stack(difference_interval(differences))
        monkeypatch.setattr(significance, "SUMS", 1)
        np.testing.assert_allclose(difference_p_value(differences), p, rtol=1e-12)
        np.testing.assert_allclose(difference_interval(differences), bounds, rtol=1e-12)

    def test_few_units_have_no_interval_and_no_star(self):
        for units in range(1, fewest_units()):
            differences = labelled(np.full(units, 2.0))
            assert np.isnan(difference_interval(differences)).all()
            assert difference_p_value(differences) >= STAR
        differences = labelled(np.full(fewest_units(), 2.0))
        np.testing.assert_allclose(difference_interval(differences), 2)
        assert difference_p_value(differences) < STAR

    def test_no_difference_and_no_unit(self):
        low, high = difference_interval(labelled(np.zeros((1, 8))))
        assert low == high == 0
        assert difference_p_value(labelled(np.zeros(8))) == 1
        empty = labelled(np.full((1, 8), np.nan))
        assert difference_p_value(empty).isnull().all()
        assert np.isnan(difference_interval(empty)).all()

    def test_dimensions_and_attributes(self):
        differences = labelled(normal((2, 3, 8), 1)).assign_attrs(units="nats")
        turned = differences.transpose("item", "cell", "family").assign_coords(cell=[*"abc"])
        low, high = difference_interval(turned, level=0.9, seed=3)
        assert low.dims == high.dims == ("cell", "family")
        assert low["cell"].values.tolist() == [*"abc"]
        assert low.attrs == {"units": "nats", "level": 0.9, "seed": 3}
        assert difference_p_value(turned).attrs == {"units": "probability", "seed": 0}
        found = bounded_difference("change", turned)
        assert list(found) == ["change", "change_low", "change_high"]
        np.testing.assert_array_equal(found["change"], turned.mean("item"))
        np.testing.assert_array_equal(found["change_high"], difference_interval(turned)[1])
        assert found["change"].attrs == turned.attrs

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (xr.DataArray([1.0], dims="row"), "at least one item, found {'row': 1}"),
            (labelled(np.ones((2, 0))), "at least one item"),
            (labelled([1.0, np.inf]), "a difference is infinite"),
        ],
    )
    @pytest.mark.parametrize("function", [difference_interval, difference_p_value])
    def test_wrong_input_is_named(self, function, values, message):
        with pytest.raises(NeuroglotError, match=message):
            function(values)


class TestFamilies:
    @pytest.mark.parametrize("missing", [0, 0.2])
    @pytest.mark.parametrize("values", [integers, normal])
    def test_step_down_is_the_literal_algorithm(self, values, missing):
        families = values((3, 5, 8), 11) + np.linspace(0, 1.4, 5)[:, None]
        families[np.random.default_rng(2).random(families.shape) < missing] = np.nan
        found = step_down_p_value(labelled(families), "cell")
        alone = difference_p_value(labelled(families))
        for family, own, adjusted in zip(families, alone.values, found.values, strict=True):
            expected = np.maximum(slow_step_down(family), own)
            np.testing.assert_allclose(adjusted, expected, rtol=1e-12)
        assert found.min() < STAR < found.max()

    def test_one_cell_is_not_adjusted(self):
        for units in (9, 20):
            differences = labelled(normal((6, 1, units), units, 0.5))
            found = step_down_p_value(differences, "cell")
            np.testing.assert_array_equal(found, difference_p_value(differences))

    @pytest.mark.parametrize("units", [9, 20])
    def test_the_order_of_cells_and_their_scale_play_no_role(self, units):
        differences = labelled(integers((2, 6, units), 8, missing=0.1) + 0.2)
        found = step_down_p_value(differences, "cell")
        order = [4, 1, 5, 0, 3, 2]
        scaled = differences * xr.DataArray([1, -3, 1e-6, 1e6, -1, 2], dims="cell")
        np.testing.assert_array_equal(step_down_p_value(scaled, "cell"), found)
        turned = step_down_p_value(differences.isel(cell=order), "cell")
        np.testing.assert_array_equal(turned, found.isel(cell=order))
        moved = step_down_p_value(differences.transpose("item", "cell", "family"), "cell")
        xr.testing.assert_identical(moved, found.transpose("cell", "family"))

    @pytest.mark.parametrize("missing", [0, 0.5])
    def test_never_below_a_test_of_its_own(self, missing):
        """So the interval of a cell with a star leaves out zero."""
        values = normal((20, 6, 18), 3, 0.5)
        values[np.random.default_rng(4).random(values.shape) < missing] = np.nan
        found = step_down_p_value(labelled(values), "cell")
        assert (difference_p_value(labelled(values)) <= found).all()
        low, high = difference_interval(labelled(values))
        assert ((low > 0) | (high < 0)).values[found < STAR].all()
        assert (found < STAR).any()

    def test_copies_of_a_cell_cost_nothing(self):
        """The dependence between cells is used: Holm would multiply by the number of copies."""
        cell = normal((1, 1, 12), 9, 0.7)
        copies = labelled(np.repeat(cell, 20, axis=1))
        np.testing.assert_array_equal(
            step_down_p_value(copies, "cell"), np.full((1, 20), difference_p_value(labelled(cell)))
        )

    def test_cells_and_units_that_lack_everything(self):
        differences = labelled(normal((1, 4, 9), 4, 0.6))
        wider = np.full((1, 5, 25), np.nan)
        wider[:, 1:, 5:14] = differences
        found = step_down_p_value(labelled(wider), "cell")
        assert np.isnan(found[0, 0])
        np.testing.assert_array_equal(found[:, 1:], step_down_p_value(differences, "cell"))
        assert step_down_p_value(labelled(wider[:, :1]), "cell").isnull().all()

    def test_a_cell_of_few_units_in_a_family_of_many_earns_no_star(self):
        values = np.full((1, 2, 30), np.nan)
        values[0, 0], values[0, 1, : fewest_units() - 1] = normal(30, 1), 5.0
        assert step_down_p_value(labelled(values), "cell")[0, 1] >= STAR

    def test_holm_by_hand(self):
        p = labelled([[0.01, 0.04, np.nan, 0.03, 0.005], [0.5, 0.6, 0.02, 0.6, 0.9]])
        p = p.rename(cell="family", item="cell")
        expected = [[0.03, 0.06, np.nan, 0.06, 0.02], [1, 1, 0.1, 1, 1]]
        np.testing.assert_allclose(holm_p_value(p, "cell"), expected, rtol=1e-12)
        turned = holm_p_value(p.transpose("cell", "family"), "cell")
        np.testing.assert_array_equal(turned, holm_p_value(p, "cell").transpose())
        alone = xr.DataArray([0.01, np.nan, 0.04, 0.03, 0.5, 0.011], dims="cell")
        expected = [0.05, np.nan, 0.09, 0.09, 0.5, 0.05]
        np.testing.assert_allclose(holm_p_value(alone, "cell"), expected, rtol=1e-12)
        certain = holm_p_value(xr.DataArray([0.6, 0.7], dims="cell"), "cell")
        assert certain.values.tolist() == [1, 1]
        assert holm_p_value(xr.full_like(alone, np.nan), "cell").isnull().all()

    @pytest.mark.parametrize("cells", [1, 2, 8, 100, 499])
    def test_fewest_units_is_the_least_that_can_earn_a_star(self, cells):
        def best(units: int) -> xr.DataArray:
            agreeing = labelled(np.ones((1, units)))
            return holm_p_value(difference_p_value(agreeing).expand_dims(c=cells), "c").min()

        fewest = fewest_units(cells)
        assert best(fewest) < STAR <= best(fewest - 1)
        assert (cells, fewest) in {(1, 6), (2, 7), (8, 9), (100, 12), (499, EXACT + 1)}

    def test_too_many_cells_for_any_star(self):
        assert fewest_units(500) is None

    def test_fewest_units_of_step_down(self):
        for units in (fewest_units() - 1, fewest_units()):
            found = step_down_p_value(labelled(np.ones((1, 8, units))), "cell")
            assert (found < STAR).all() == (units == fewest_units())


class TestSimulations:
    """Seeds are fixed. A share of 5 % of 8,000 experiments has a standard error of 0.24 %."""

    @pytest.mark.parametrize("units", [8, 12, 24, 36])
    def test_false_stars_of_one_test(self, units):
        generator = np.random.default_rng(units)
        shape = (8000, units)
        for values in (generator.normal(size=shape), generator.laplace(size=shape)):
            false = (difference_p_value(labelled(values)) < STAR).mean().item()
            assert false <= 0.055
            assert units < 12 or false >= 0.045
        discrete = generator.choice([-1, 0, 0, 1], (2000, units))
        assert (difference_p_value(labelled(discrete)) < STAR).mean() <= 0.055

    @pytest.mark.parametrize(("units", "effect"), [(8, 1.25), (12, 0.85), (24, 0.55), (36, 0.45)])
    def test_families_of_eight_languages(self, units, effect):
        """Differences of a fact correlate by ½ between languages; effects in standard deviations.

        Without an effect, at most 5.5 % of families have a star. With it, at least 80 % have one.
        """
        families = 4000 if units <= EXACT else 1200
        generator = np.random.default_rng(units)
        shared = generator.normal(size=(families, 1, units))
        noise = (shared + generator.normal(size=(families, 8, units))) / 2**0.5
        without = (step_down_p_value(labelled(noise), "cell") < STAR).any("cell")
        assert without.mean() <= 0.055
        planted = labelled(noise[:400] + effect)
        assert (step_down_p_value(planted, "cell") < STAR).any("cell").mean() >= 0.8

    def test_step_down_finds_what_holm_cannot_at_eight_facts(self):
        generator = np.random.default_rng(0)
        shared = generator.normal(size=(500, 1, 8))
        values = labelled((shared + generator.normal(size=(500, 8, 8))) / 2**0.5 + 1.25)
        assert fewest_units(8) > 8
        power = (step_down_p_value(values, "cell") < STAR).mean()
        assert power > 0.6  # of the tests of single languages
        assert not (holm_p_value(difference_p_value(values), "cell") < STAR).any()

    @pytest.mark.parametrize("units", [8, 12, 24, 36])
    def test_coverage_of_differences(self, units):
        generator = np.random.default_rng(units)
        for values in (generator.normal(size=(2000, units)), generator.laplace(size=(2000, units))):
            low, high = difference_interval(labelled(values + 3))
            covered = ((low <= 3) & (high >= 3)).mean().item()
            assert 0.93 <= covered <= 0.965
