"""Matrix regression against literal permutations, planted similarities, and simulated chance."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr

from neuroglot.measures.matrix_regression import (
    PREDICTORS,
    matrix_regression,
    regression_by_layer,
    relations,
)
from neuroglot.measures.overlap import token_overlap
from neuroglot.measures.significance import holm_p_value

FAMILIES = ["ie", "ie", "ie", "ie", "ie", "ie", "st", "st", "tk", "aa"]
SCRIPTS = ["Latn", "Latn", "Latn", "Cyrl", "Cyrl", "Deva", "Hans", "Latn", "Thai", "Arab"]


def planted(n: int = 10, seed: int = 0) -> xr.DataArray:
    """Families and scripts of n languages, and tokens that go by the script, mostly."""
    generator = np.random.default_rng(seed)
    ids = [f"l{place}" for place in range(n)]
    scripts = dict(zip(ids, SCRIPTS, strict=False))
    by_script = {script: generator.gamma(0.3, 1, 60) for script in sorted(set(scripts.values()))}
    counts = {
        name: generator.poisson(20 * by_script[script] * generator.gamma(0.3, 3, 60))
        for name, script in scripts.items()
    }
    families = dict(zip(ids, FAMILIES, strict=False))
    return relations(families, scripts, token_overlap(counts))


def noise(n: int, generator: np.random.Generator, outcomes: int = 1) -> np.ndarray:
    """Similarities of languages that share effects of single languages, [outcome, a, b]."""
    single = generator.normal(size=(outcomes, n))
    pairs = generator.normal(size=(outcomes, n, n))
    return single[:, :, None] + single[:, None] + pairs + pairs.swapaxes(1, 2)


def similarity(values: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    ids = like["language_a"].values
    return xr.DataArray(
        values, {"language_a": ids, "language_b": ids}, ("outcome", "language_a", "language_b")
    )


def literal(y: np.ndarray, predictors: np.ndarray, place: int, alone: bool) -> tuple[float, float]:
    """The coefficient, and its p value, with ordinary regressions of every permutation."""
    n = len(y)
    pairs = [(a, b) for a in range(n) for b in range(a)]

    def vector(matrix: np.ndarray) -> np.ndarray:
        values = np.array([(matrix[a, b] + matrix[b, a]) / 2 for a, b in pairs])
        return (values - values.mean()) / values.std()

    def fit(target: np.ndarray, x: np.ndarray, others: list[np.ndarray]) -> tuple[float, float]:
        design = np.stack([x, np.ones(len(x)), *others], axis=1)
        solution, *_ = np.linalg.lstsq(design, target, rcond=None)
        rest = target - design @ solution
        variance = rest @ rest / (len(x) - design.shape[1])
        return solution[0], solution[0] / np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])

    others = [] if alone else [vector(x) for i, x in enumerate(predictors) if i != place]
    x, target = vector(predictors[place]), vector(y)
    coefficient, t = fit(target, x, others)
    around = np.stack([np.ones(len(x)), *others], axis=1)
    rest = x - around @ np.linalg.lstsq(around, x, rcond=None)[0]
    matrix = np.zeros((n, n))
    for (a, b), value in zip(pairs, rest, strict=True):
        matrix[a, b] = matrix[b, a] = value
    as_large = []
    for order in permutations(range(n)):
        permuted = np.array([matrix[order[a], order[b]] for a, b in pairs])
        as_large.append(abs(fit(target, permuted, others)[1]) >= abs(t) * (1 - 1e-9))
    return coefficient, float(np.mean(as_large))


def test_it_is_the_literal_regression_and_all_permutations():
    few = [f"l{place}" for place in (0, 1, 3, 6, 7, 8)]
    predictors = planted(10).sel(language_a=few, language_b=few)
    values = noise(6, np.random.default_rng(1), 2) + 3 * predictors.values[2]
    result = matrix_regression(similarity(values, predictors), predictors)
    assert result["compared_languages"].item() == 6
    for name, alone in (("correlation", True), ("coefficient", False)):
        expected = np.array(
            [[literal(y, predictors.values, place, alone) for place in range(3)] for y in values]
        )
        np.testing.assert_allclose(result[name], expected[..., 0], rtol=1e-9)
        p = xr.DataArray(expected[..., 1], dims=("outcome", "predictor"))
        if alone:  # of 720 orders, 3! 2! leave the family as it is, and 3! 3! the script
            p[:, 1] = np.nan
        np.testing.assert_allclose(result[f"{name}_p_value"], holm_p_value(p, "predictor"))


@pytest.mark.parametrize("made_of", PREDICTORS)
def test_what_is_planted_is_told_from_what_goes_with_it(made_of):
    predictors = planted(10)
    generator = np.random.default_rng(3)
    outcomes = 40
    chosen = predictors.sel(predictor=made_of).values
    chosen = (chosen - chosen.mean()) / chosen.std()
    values = 2.5 * chosen + 0.5 * noise(10, generator, outcomes)
    result = matrix_regression(similarity(values, predictors), predictors)
    star = (result["coefficient_p_value"] < 0.05).mean("outcome")
    assert (result["coefficient"].sel(predictor=made_of) > 0.5).all()
    assert star.sel(predictor=made_of) > 0.9
    assert (star.drop_sel(predictor=made_of) <= 0.1).all()
    assert (result["correlation"].sel(predictor=made_of) > 0.5).all()


def test_chance_earns_few_stars():
    """Similarities with effects of single languages, on which tests over pairs would fail."""
    predictors, generator = planted(9), np.random.default_rng(4)
    outcomes = 2000
    chance = similarity(noise(9, generator, outcomes), predictors)
    result = matrix_regression(chance, predictors)
    for name in ("correlation_p_value", "coefficient_p_value"):
        assert ((result[name] < 0.05).mean("outcome") <= 0.055).all()
        assert ((result[name] < 0.05).any("predictor").mean("outcome")) <= 0.055
    # Of similarities that the script makes, family and tokens earn no more.
    made = chance + 2 * predictors.sel(predictor="script", drop=True)
    p = matrix_regression(made, predictors)["coefficient_p_value"]
    assert ((p.drop_sel(predictor="script") < 0.05).mean("outcome") <= 0.055).all()


def test_languages_may_come_in_any_order_and_lack_values():
    predictors = planted(9)
    values = similarity(noise(9, np.random.default_rng(5), 2), predictors)
    result = matrix_regression(values, predictors)
    order = np.random.default_rng(6).permutation(9)
    turned = values.isel(language_a=order, language_b=order)
    xr.testing.assert_allclose(matrix_regression(turned, predictors), result)
    flipped = values.copy(data=values.values.swapaxes(1, 2))
    xr.testing.assert_allclose(matrix_regression(flipped, predictors), result)
    xr.testing.assert_allclose(matrix_regression(7 * values - 3, predictors), result)
    lacking = (values["language_a"] == "l3") | (values["language_b"] == "l3")
    without = matrix_regression(values.where(~lacking), predictors)
    keep = {name: [f"l{i}" for i in range(9) if i != 3] for name in ("language_a", "language_b")}
    xr.testing.assert_allclose(without, matrix_regression(values.sel(keep), predictors))
    assert without["compared_languages"].item() == 8


def test_too_few_languages_earn_no_p_value():
    predictors = planted(10)
    values = similarity(noise(10, np.random.default_rng(7)), predictors)
    for n in range(5):
        few = dict.fromkeys(("language_a", "language_b"), predictors["language_a"].values[:n])
        result = matrix_regression(values.sel(few), predictors)
        assert result["compared_languages"].item() == (n if n > 1 else 0)
        assert result["correlation_p_value"].sel(predictor=["family", "script"]).isnull().all()
        overlap = result["correlation"].sel(predictor="token_overlap")
        assert overlap.notnull().all() == (n > 2)
    assert result["coefficient"].sel(predictor="family").isnull().all(), "all of one family"


def test_a_predictor_that_others_determine_has_no_coefficient():
    predictors = planted(9)
    twice = predictors.copy()
    twice[1] = twice[0]
    values = similarity(noise(9, np.random.default_rng(8)), predictors)
    result = matrix_regression(values, twice)
    assert result["coefficient"].isnull().values.tolist() == [[True, True, False]]
    assert result["correlation"].notnull().all()
    rounded = 1 + 1e-8 * noise(9, np.random.default_rng(9))
    for level in (np.ones((1, 9, 9)), rounded):
        of_level = matrix_regression(similarity(level, predictors), predictors)
        assert of_level["correlation"].isnull().all()
        assert of_level["coefficient_p_value"].isnull().all()


def test_layers_are_regressed_one_by_one_and_their_mean_is_tested():
    predictors = planted(8)
    values = similarity(noise(8, np.random.default_rng(10), 3), predictors).rename(outcome="layer")
    result = regression_by_layer(values, predictors, "layer")
    each = matrix_regression(values, predictors)
    for name in ("correlation", "coefficient"):
        np.testing.assert_array_equal(result[f"layer_{name}"], each[name])
    mean = matrix_regression(values.mean("layer"), predictors)
    xr.testing.assert_identical(result[[*mean.data_vars]], mean)
