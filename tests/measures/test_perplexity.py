"""Losses of segments: perplexity and its interval against literal loops, and the test's promise."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.measures import perplexity as measure
from neuroglot.measures.bootstrap import expanded_level, fold_weights
from neuroglot.measures.perplexity import (
    bounded_perplexity,
    by_segment,
    per_token,
    read_sizes,
)

RNG = np.random.default_rng


def losses_of(lengths: dict[str, list[int]], seed: int = 0) -> xr.Dataset:
    """About two nats a token; languages may lack the last segments."""
    numbers = np.concatenate([*lengths.values()])
    values = {
        "nll": (("language", "item"), numbers * RNG(seed).gamma(20, 0.1, len(numbers))),
        "tokens": (("language", "item"), numbers),
    }
    names = [[f"s{i}" for i in range(len(own))] for own in lengths.values()]
    return by_segment(values, names, {"language": [*lengths]})


def test_segments_are_aligned_by_name() -> None:
    values = {"nll": (("set", "language", "item"), np.arange(10).reshape(2, 5))}
    found = by_segment(values, [["a", "b"], ["c", "a", "d"]], {"language": ["en", "de"]})
    assert found["item"].values.tolist() == ["a", "b", "c", "d"]
    nan = np.nan
    expected = [[0, 1, nan, nan], [3, nan, 2, 4]]
    np.testing.assert_array_equal(found["nll"][0], expected)
    np.testing.assert_array_equal(found["nll"][1], np.array(expected) + 5)


def test_perplexity_is_that_of_all_tokens_however_long_segments_are() -> None:
    data = losses_of({"en": [3, 50, 9, 20], "de": [7, 7]})
    found = bounded_perplexity("p", data["nll"], data["tokens"], 50)
    for language in ("en", "de"):
        nll, tokens = (data[name].sel(language=language) for name in ("nll", "tokens"))
        expected = np.exp(float(nll.sum()) / float(tokens.sum()))
        assert found["p"].sel(language=language) == pytest.approx(expected)
    np.testing.assert_allclose(
        np.exp(per_token(data["nll"], data["tokens"]).mean("item")), found["p"]
    )
    sizes = read_sizes(data["tokens"])
    assert sizes["predicted_tokens"].values.tolist() == [82, 14]
    assert sizes["segments"].values.tolist() == [4, 2]


def test_the_interval_draws_segments_with_their_tokens() -> None:
    lengths = [3, 50, 9, 20, 8, 31, 12]
    data = losses_of({"en": lengths})
    found = bounded_perplexity("p", data["nll"], data["tokens"], 300)
    drawn = fold_weights(7, 300)
    sums = [np.array([row @ data[name][0].values for row in drawn]) for name in ("nll", "tokens")]
    level = expanded_level(7)
    expected = np.exp(np.quantile(sums[0] / sums[1], [(1 - level) / 2, (1 + level) / 2]))
    bounds = [found[f"p{end}"].item() for end in ("_low", "_high")]
    np.testing.assert_allclose(bounds, expected, rtol=1e-9)
    alike = data["tokens"] * 2.0  # every token costs two nats: only lengths differ
    narrow = bounded_perplexity("p", alike, data["tokens"], 300)
    np.testing.assert_allclose([narrow["p_low"], narrow["p_high"]], np.exp(2), rtol=1e-9)


def test_one_segment_has_no_interval_and_no_star() -> None:
    data = losses_of({"en": [40], "de": [40]})
    found = bounded_perplexity("p", data["nll"], data["tokens"], 50)
    assert found["p_low"].isnull().all()
    assert found["p_high"].isnull().all()
    of_test = measure.tested(per_token(data["nll"], data["tokens"]))
    assert of_test["excess_low"].isnull().all()
    assert (of_test["excess_p_value"] == 1).all()
    assert (of_test["fewest_segments"] == 6).all()


def differences(segments: int, languages: int, seed: int) -> xr.DataArray:
    """No effect; segments differ in how strongly all languages react, by skewed factors."""
    generator = RNG(seed)
    strength = generator.gamma(1, 1, (1, 1, segments))
    noise = generator.normal(0, 1, (300, languages, segments)) * strength
    names = {"run": range(300), "language": [f"l{i}" for i in range(languages)]}
    return xr.DataArray(noise, dims=("run", "language", "item")).assign_coords(names)


@pytest.mark.parametrize("segments", [8, 16])
def test_false_stars_are_kept_in_five_of_a_hundred_families(segments: int) -> None:
    """300 x 4 families without effect; two standard errors above 5 % are allowed."""
    p = [measure.tested(differences(segments, 8, seed))["excess_p_value"] for seed in range(4)]
    false = np.mean([(of < 0.05).any("language").mean().item() for of in p])
    assert false <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1200)


def test_a_planted_effect_is_found_at_the_shipped_size() -> None:
    """Eight segments, eight languages, an effect of two standard deviations in all of them."""
    planted = xr.DataArray(
        RNG(0).normal(2, 1, (100, 8, 8)), dims=("run", "language", "item")
    ).assign_coords(language=[f"l{i}" for i in range(8)])
    power = (measure.tested(planted)["excess_p_value"] < 0.05).mean().item()
    assert power >= 0.8
