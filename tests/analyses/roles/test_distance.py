"""Algorithm 1 against its literal loops, hand-computed cases and planted structure."""

import math

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.roles.measures.distance import (
    DERANGEMENTS,
    derangements,
    distance_matrix,
    prepare,
)
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import expanded_level, fold_weights


def recorded(values: np.ndarray, segment: list, width: str = "neuron") -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("layer", "row", width),
        coords={
            "layer": np.arange(len(values)),
            "stack": ("layer", ["decoder"] * len(values)),
            "segment": ("row", segment),
        },
    )


def language(seed: int, segment: list, layers: int = 2, width: int = 7) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    return recorded(rng.normal(size=(layers, len(segment), width)).astype("float32"), segment)


def representation_distance(
    source: xr.DataArray, target: xr.DataArray, scale: str = "none"
) -> xr.Dataset:
    """Algorithm 1 from one language to another."""
    matrix = distance_matrix({"source": source, "target": target}, scale)
    return matrix.sel(language_a="source", language_b="target", drop=True)


def literal(source: np.ndarray, target: np.ndarray) -> float:
    """Algorithm 1 of one segment pair, line by line."""
    total_dist = 0.0
    for i in range(len(source)):
        min_dist = math.inf
        for j in range(len(target)):
            score = math.dist(source[i].tolist(), target[j].tolist())
            if score < min_dist:
                min_dist = score
        total_dist += min_dist
    return total_dist


def slow(source: xr.DataArray, target: xr.DataArray) -> list[float]:
    common = sorted(set(source["segment"].values) & set(target["segment"].values))
    return [
        sum(
            literal(
                source.values[layer][source["segment"].values == segment],
                target.values[layer][target["segment"].values == segment],
            )
            for segment in common
        )
        for layer in range(source.sizes["layer"])
    ]


def scaled_slowly(rows: xr.DataArray) -> xr.DataArray:
    values = rows.astype("float64")
    low, high = values.min("neuron"), values.max("neuron")
    return ((values - low) / (high - low)).transpose(*rows.dims)


A = language(1, ["s1", "s1", "s0", "s0", "s0", "s3"])
B = language(2, ["s0", "s0", "s0", "s1", "s1", "s1", "s2", "s2"])


def test_by_hand():
    source = recorded(np.array([[[0.0, 0.0], [3.0, 4.0]]]), [5, 5])
    target = recorded(np.array([[[0.0, 0.0], [0.0, 1.0]]]), [5, 5])
    forth = representation_distance(source, target)
    assert forth["distance"].item() == pytest.approx(math.sqrt(18))
    assert forth["distance_mean"].item() == pytest.approx(math.sqrt(18) / 2)
    assert representation_distance(target, source)["distance"].item() == pytest.approx(1.0)
    assert forth["stack"].values.tolist() == ["decoder"]


@pytest.mark.parametrize("scale", ["none", "minmax"])
def test_against_the_literal_algorithm(scale):
    found = representation_distance(A, B, scale)
    a, b = (A, B) if scale == "none" else (scaled_slowly(A), scaled_slowly(B))
    np.testing.assert_allclose(found["distance"], slow(a, b), rtol=1e-10)
    np.testing.assert_allclose(found["distance_mean"], found["distance"] / 5, rtol=1e-14)
    assert found["prefixes"] == 5
    assert found["segments"] == 2
    assert found["segments_left_out"] == 2


def test_the_two_directions_differ():
    forth, back = representation_distance(A, B), representation_distance(B, A)
    assert (forth["prefixes"], back["prefixes"]) == (5, 6)
    assert abs(forth["distance"] - back["distance"]).min() > 0.01


def test_order_of_rows_and_segments_does_not_matter():
    shuffled = A.isel(row=[2, 5, 1, 3, 0, 4])
    xr.testing.assert_allclose(
        representation_distance(shuffled, B), representation_distance(A, B), rtol=1e-12
    )


def test_a_language_is_no_distance_from_itself():
    found = representation_distance(A, A)
    np.testing.assert_allclose(found["distance"], 0, atol=1e-6)
    assert found["segments_left_out"] == 0
    assert (found["unrelated_mean"] > 0.1).all()


def test_without_a_common_segment_there_is_no_distance():
    found = representation_distance(A, language(3, ["x", "y"]))
    assert found["distance"].isnull().all()
    assert found["distance_mean"].isnull().all()
    assert found["segments"] == found["prefixes"] == 0
    assert found["segments_left_out"] == 5


def test_massive_activations_do_not_drown_the_nearest():
    """A neuron at 1e5 in every row leaves float32 products no digits for the others."""
    a, b = A.copy(deep=True), B.copy(deep=True)
    a[:, :, 0], b[:, :, 0] = 1e5, 1e5
    np.testing.assert_allclose(representation_distance(a, b)["distance"], slow(a, b), rtol=1e-5)


def test_float16_rows():
    half = representation_distance(A.astype("float16") * 200, B.astype("float16") * 200)
    wide = representation_distance(
        (A.astype("float16") * 200).astype("float64"), (B.astype("float16") * 200).astype("float64")
    )
    xr.testing.assert_identical(half, wide)


def test_matrix_holds_every_ordered_pair():
    rows = {"hi": A, "cs": B, "en": language(4, ["s0", "s1", "s1", "s3"])}
    matrix = distance_matrix(rows, "minmax")
    assert matrix["distance"].dims == ("language_a", "language_b", "layer")
    assert matrix["language_a"].values.tolist() == ["hi", "cs", "en"]
    for a in rows:
        for b in rows:
            found = matrix.sel(language_a=a, language_b=b, drop=True)
            expected = distance_matrix({b: rows[b], a: rows[a]}, "minmax")
            expected = expected.sel(language_a=a, language_b=b)
            assert (found["unrelated_mean"].isnull() == (a == b)).all()
            for name in expected:
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=1e-6)
    assert (matrix["distance"].sel(language_a="en", language_b="en") == 0).all()


def test_bounds_are_those_of_the_segments_that_two_languages_share():
    """Each replicate draws from all segments; a pair takes its own segments' draws."""
    rows = {"hi": A, "cs": B, "en": language(4, ["s0", "s1", "s1", "s3"])}
    matrix = distance_matrix(rows, replicates=50)
    labels = ["s0", "s1", "s2", "s3"]
    draws = fold_weights(len(labels), 50)
    for a, b in (("hi", "cs"), ("cs", "hi"), ("hi", "en"), ("en", "cs")):
        source, target = rows[a], rows[b]
        shared = sorted(set(source["segment"].values) & set(target["segment"].values))
        means = []
        for draw in draws:
            times = {label: draw[labels.index(label)] for label in shared}
            prefixes = sum(times[label] * (source["segment"] == label).sum() for label in shared)
            parts = [
                np.multiply(times[label], slow(source[:, source["segment"] == label], target))
                for label in shared
            ]
            means.append(sum(parts) / float(prefixes) if prefixes else [np.nan] * 2)
        level = expanded_level(len(shared))
        low, high = np.nanquantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
        found = matrix.sel(language_a=a, language_b=b)
        np.testing.assert_allclose(found["distance_mean_low"], low, rtol=1e-10)
        np.testing.assert_allclose(found["distance_mean_high"], high, rtol=1e-10)


def test_each_segment_is_paired_with_another_one_in_five_ways():
    labels = [f"article-{number}" for number in range(8)]
    pairings = derangements(labels)
    assert len(pairings) == DERANGEMENTS == 5
    assert len({tuple(pairing[label] for label in labels) for pairing in pairings}) > 1
    for pairing in pairings:
        assert sorted(pairing) == sorted(pairing.values()) == labels
        assert all(segment != other for segment, other in pairing.items())
    assert derangements(labels[::-1]) == [
        {label: pairing[label] for label in pairing} for pairing in pairings
    ]


def test_any_two_segments_are_paired_about_equally_often():
    counts = np.zeros((5, 5))
    for text in range(400):
        labels = [f"{text} {number}" for number in range(5)]
        for pairing in derangements(labels):
            for segment, other in pairing.items():
                counts[labels.index(segment), labels.index(other)] += 1
    off = counts[~np.eye(5, dtype=bool)]
    assert np.abs(off / 500 - 1).max() < 0.2  # 2,000 draws over four others each


def test_segments_that_a_pair_lacks_leave_the_order_of_the_others():
    labels = [f"s{number}" for number in range(6)]
    for whole, part in zip(derangements(labels), derangements(labels[1:]), strict=True):
        expected = {segment: other for segment, other in whole.items() if segment != "s0"}
        before = next(segment for segment, other in whole.items() if other == "s0")
        expected[before] = whole["s0"]
        assert part == expected


def unrelated_slowly(source: xr.DataArray, target: xr.DataArray) -> list[float]:
    """The mean over derangements of Algorithm 1 between a segment and another one, per prefix."""
    common = sorted(set(source["segment"].values) & set(target["segment"].values))
    prefixes = np.isin(source["segment"], common).sum()
    sums = np.zeros(source.sizes["layer"])
    for pairing in derangements(common):
        for segment, other in pairing.items():
            for layer in range(source.sizes["layer"]):
                sums[layer] += literal(
                    source.values[layer][source["segment"].values == segment],
                    target.values[layer][target["segment"].values == other],
                )
    return (sums / DERANGEMENTS / prefixes).tolist()


def test_unrelated_segments_against_the_literal_algorithm():
    english = language(4, ["s0", "s1", "s1", "s3", "s4"])
    german = language(7, ["s4", "s0", "s3", "s3", "s2", "s1"])
    matrix = distance_matrix({"en": english, "de": german}, replicates=50)
    forth = matrix.sel(language_a="de", language_b="en")
    np.testing.assert_allclose(forth["unrelated_mean"], unrelated_slowly(german, english))
    np.testing.assert_allclose(
        forth["distance_ratio"], forth["distance_mean"] / forth["unrelated_mean"]
    )
    back = matrix.sel(language_a="en", language_b="de")
    inverse = [
        {other: segment for segment, other in pairing.items()}
        for pairing in derangements(["s0", "s1", "s3", "s4"])
    ]
    sums = [
        literal(
            english.values[0][english["segment"] == a], german.values[0][german["segment"] == b]
        )
        for pairing in inverse
        for a, b in pairing.items()
    ]
    assert back["unrelated_mean"][0].item() == pytest.approx(sum(sums) / 5 / 5)
    bounds_of_ratio(forth, german, english, derangements(["s0", "s1", "s3", "s4"]))
    bounds_of_ratio(back, english, german, inverse)
    for pair in (forth, back):
        assert (pair["distance_ratio_low"] <= pair["distance_ratio"]).all()
        assert (pair["distance_ratio"] <= pair["distance_ratio_high"]).all()


def bounds_of_ratio(
    found: xr.Dataset, source: xr.DataArray, target: xr.DataArray, pairings: list[dict[str, str]]
) -> None:
    """A replicate draws source segments, with their parallel and their unrelated distances."""
    labels = ["s0", "s1", "s3", "s4"]

    def apart(segment: str, other: str) -> float:
        rows = (source.values[0][source["segment"] == segment],)
        return literal(*rows, target.values[0][target["segment"] == other])

    parallel = np.array([apart(label, label) for label in labels])
    unrelated = np.mean([[apart(a, pairing[a]) for a in labels] for pairing in pairings], axis=0)
    every = ["s0", "s1", "s2", "s3", "s4"]
    draws = fold_weights(len(every), 50)[:, [every.index(label) for label in labels]]
    ratios = (draws @ parallel) / (draws @ unrelated)
    level = expanded_level(len(labels))
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    assert found["distance_ratio_low"][0].item() == pytest.approx(low)
    assert found["distance_ratio_high"][0].item() == pytest.approx(high)


def test_planted_content_brings_parallel_segments_nearer_than_unrelated_ones():
    """Prefixes are content of their segment + noise of size 0.1, or noise alone."""
    segment = [number // 5 for number in range(40)]
    rng = np.random.default_rng(8)
    content = rng.normal(size=(1, 8, 50))[:, np.array(segment)]

    def noisy(meaning: float) -> xr.DataArray:
        return recorded(meaning * content + 0.1 * rng.normal(size=(1, 40, 50)), segment)

    rows = {"en": noisy(1), "de": noisy(1), "none": noisy(0)}
    ratio = distance_matrix(rows).isel(layer=0)
    near = ratio.sel(language_a="en", language_b="de")
    # Noise alone is 0.1 √(2 · 50) = 1 apart, and less to the nearest of five; content √(2 · 50).
    assert 0.08 < near["distance_ratio"] < 0.11
    assert near["distance_ratio_high"] < 0.12
    unrelated = ratio.sel(language_a="none", language_b="en")
    assert unrelated["distance_ratio"] == pytest.approx(1, abs=0.02)


def test_a_lone_common_segment_has_no_unrelated_one():
    matrix = distance_matrix({"en": A, "de": language(3, ["s1", "s2"])})
    pair = matrix.sel(language_a="en", language_b="de")
    assert pair["segments"] == 1
    assert pair["distance_mean"].notnull().all()
    assert pair[["unrelated_mean", "distance_ratio"]].isnull().all().to_array().all()


def test_order_of_languages_changes_no_bit():
    segment = [number // 9 for number in range(80)]
    rows = {name: language(seed, segment[seed:], width=333) for seed, name in enumerate("dacb")}
    forward = distance_matrix(rows)
    backward = distance_matrix({name: rows[name] for name in reversed(rows)})
    order = list(rows)
    xr.testing.assert_identical(backward.sel(language_a=order, language_b=order), forward)


def test_layers_can_be_taken_in_parts():
    rows = {"hi": A, "cs": B}
    parts = [
        distance_matrix({name: one.isel(layer=[layer]) for name, one in rows.items()})
        for layer in range(2)
    ]
    whole = distance_matrix(rows)
    np.testing.assert_allclose(
        xr.concat([part["distance"] for part in parts], dim="layer"), whole["distance"], rtol=1e-12
    )


def test_planted_translation_is_nearest():
    segment = [number // 5 for number in range(40)]
    english = language(5, segment, width=50)
    noise = np.random.default_rng(6).normal(size=english.shape).astype("float32")
    close, far = english + 0.1 * noise, english + 2 * noise
    matrix = distance_matrix({"en": english, "near": close, "far": far})["distance"]
    assert (
        matrix.sel(language_a="en", language_b="near") * 5
        < matrix.sel(language_a="en", language_b="far")
    ).all()


def test_clear_errors():
    with pytest.raises(NeuroglotError, match="did you mean 'minmax'"):
        prepare(A, "min-max")
    with pytest.raises(NeuroglotError, match="differ in layers or width"):
        representation_distance(A, language(2, ["s0"], width=8))
    with pytest.raises(NeuroglotError, match=r"segment\(row\)"):
        prepare(A.drop_vars("segment"))
    with pytest.raises(NeuroglotError, match="no languages"):
        distance_matrix({})
