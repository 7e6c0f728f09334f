"""Measures of latent spaces against slow references, by hand, and in their invariances."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from neuroglot.analyses.transfer.measures import latent as module
from neuroglot.analyses.transfer.measures.latent import (
    centroid_similarity,
    chance_overlap,
    closeness,
    component_counts,
    nearest_neighbours,
    neighbour_overlap,
    non_parallel_similarity,
    parallel_similarity,
    principal_coordinates,
)
from neuroglot.errors import NeuroglotError


def drawn(segments: int = 12, hidden: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two languages' states that are related, float32 [segment, hidden]."""
    generator = np.random.default_rng(seed)
    first, noise = generator.normal(size=(2, segments, hidden))
    return first.astype(np.float32), (first + noise).astype(np.float32)


def rotation(hidden: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(hidden, hidden)))[0]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float).tolist(), b.astype(float).tolist()
    length = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length


@pytest.mark.parametrize("shape", [(30, 6), (6, 30), (7, 7)])
def test_principal_coordinates_are_those_of_scikit_learn(shape):
    from sklearn.decomposition import PCA

    states = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    reference = PCA(3, svd_solver="full").fit(states.astype(float))
    coordinates, explained = principal_coordinates(states, 3)
    np.testing.assert_allclose(explained, reference.explained_variance_ratio_, rtol=1e-10)
    axes = reference.components_
    sign = np.sign(axes[np.arange(3), np.abs(axes).argmax(axis=1)])
    expected = (states.astype(float) - reference.mean_) @ (axes * sign[:, None]).T
    np.testing.assert_allclose(coordinates, expected, atol=1e-10)


def test_principal_coordinates_by_hand():
    """Around (2, -2, 1): along (1, -1, 0), whose first loading is positive, and (1, 1, 0)."""
    states = np.array([[0, 0, 1], [4, -4, 1], [2.5, -1.5, 1], [1.5, -2.5, 1]], np.float32)
    coordinates, explained = principal_coordinates(states, 3)
    np.testing.assert_allclose(explained, [16 / 17, 1 / 17, 0], atol=1e-12)
    expected = np.array([[-4, 0, 0], [4, 0, 0], [0, 1, 0], [0, -1, 0]]) / sqrt(2)
    np.testing.assert_allclose(coordinates, expected, atol=1e-12)


def test_identical_rows_have_no_components():
    states = np.tile(np.float32([0.1, -700.3, 1e-3]), (9, 1))
    for some in (states, states[:2], states[:1], states.astype(float) / 3):
        coordinates, explained = principal_coordinates(some)
        np.testing.assert_array_equal(coordinates, np.zeros((len(some), 2)))
        np.testing.assert_array_equal(explained, [0, 0])
        np.testing.assert_array_equal(component_counts(some, [0.5, 1]), [0, 0])


@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_principal_coordinates_in_any_order_place_and_direction(shape):
    generator = np.random.default_rng(1)
    states = generator.normal(size=shape)
    coordinates, explained = principal_coordinates(states)
    order = generator.permutation(len(states))
    np.testing.assert_allclose(
        principal_coordinates(states[order])[0], coordinates[order], atol=1e-10
    )
    np.testing.assert_allclose(principal_coordinates(states + 5)[0], coordinates, atol=1e-10)
    turned, share = principal_coordinates(states @ rotation(shape[1]))
    np.testing.assert_allclose(share, explained, rtol=1e-10)
    np.testing.assert_allclose(np.abs(turned), np.abs(coordinates), atol=1e-10)


def test_component_counts():
    states = np.vstack([np.diag([3, 2, 1]), -np.diag([3, 2, 1])]).astype(np.float32)
    # Shares 9, 4 and 1 of 14.
    shares = [0.1, 9 / 14, 0.65, 13 / 14, 0.93, 1]
    np.testing.assert_array_equal(component_counts(states, shares), [1, 1, 2, 2, 3, 3])
    wide = np.hstack([states, np.zeros((6, 20), np.float32)]) @ rotation(23)
    np.testing.assert_array_equal(component_counts(wide, [0.65, 0.93, 1]), [2, 3, 3])
    np.testing.assert_array_equal(component_counts(wide + 100, [0.65, 0.93, 1]), [2, 3, 3])


@pytest.mark.parametrize("shape", [(20, 9), (9, 20)])
def test_component_counts_against_singular_values(shape):
    states = np.random.default_rng(2).normal(size=shape)
    spread = np.linalg.svd(states - states.mean(axis=0), compute_uv=False) ** 2
    for share in (0.5, 0.9, 0.95, 0.99):
        count = next(
            n for n in range(1, len(spread) + 1) if spread[:n].sum() >= share * spread.sum()
        )
        assert component_counts(states, [share]).tolist() == [count]


def test_all_variance_needs_no_more_components_than_there_are():
    """Shares that add up to 1 but for rounding."""
    for seed in range(20):
        states = np.random.default_rng(seed).normal(size=(50, 30))
        assert component_counts(states, [1]).tolist() == [30]


def test_components_refuse_what_does_not_fit():
    states, _ = drawn()
    for components in (0, 6):
        with pytest.raises(NeuroglotError, match=f"{components} principal components of 5"):
            principal_coordinates(states, components)
    with pytest.raises(NeuroglotError, match=r"found 1\.5"):
        component_counts(states, [0.9, 1.5])
    for measure in (principal_coordinates, lambda s: component_counts(s, [0.9])):
        with pytest.raises(NeuroglotError, match=r"\[row, hidden\]"):
            measure(states[:0])
        with pytest.raises(NeuroglotError, match="NaN or infinite"):
            measure(states * np.nan)


def test_similarities_against_loops():
    first, second = drawn(seed=3)
    expected = [cosine(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(parallel_similarity(first, second), expected, rtol=1e-12)
    others = [
        np.mean([cosine(a, b) for j, b in enumerate(second) if j != k]) for k, a in enumerate(first)
    ]
    np.testing.assert_allclose(non_parallel_similarity(first, second), others, atol=1e-14)
    matrix = [[cosine(a, b) for b in first] for a in first]
    np.testing.assert_allclose(centroid_similarity(first), matrix, atol=1e-14)


def test_similarities_of_rotated_and_scaled_states():
    first, second = (states.astype(np.float64) for states in drawn(seed=4))
    turn = rotation(5)
    for measure in (parallel_similarity, non_parallel_similarity):
        found = measure(3 * first @ turn, second @ turn / 7)
        np.testing.assert_allclose(found, measure(first, second), atol=1e-14)
        order = np.random.default_rng(0).permutation(len(first))
        np.testing.assert_allclose(
            measure(first[order], second[order]), measure(first, second)[order], atol=1e-14
        )
    order = [3, 0, 2, 1]
    np.testing.assert_allclose(
        centroid_similarity(first[order]),
        centroid_similarity(first[:4])[np.ix_(order, order)],
        atol=1e-15,
    )


def test_similarities_of_identical_states():
    first, _ = drawn(seed=5)
    parallel = parallel_similarity(first, first)
    np.testing.assert_allclose(parallel, 1, rtol=1e-15)
    assert parallel.max() <= 1
    same = np.tile(first[:1], (6, 1))
    np.testing.assert_allclose(non_parallel_similarity(same, same), 1, rtol=1e-15)
    np.testing.assert_array_equal(parallel_similarity(0 * first, first), 0)


def test_similarities_differ_in_the_eighth_digit():
    """Two states of one massive activation: in float32 their cosine is 1 and nothing is seen."""
    first, second = drawn(seed=6)
    first[:, 0] = second[:, 0] = 3000
    found = 1 - parallel_similarity(first, second)
    wide = [a.astype(np.longdouble) for a in (first, second)]
    cosines = (wide[0] * wide[1]).sum(1) / np.sqrt((wide[0] ** 2).sum(1) * (wide[1] ** 2).sum(1))
    np.testing.assert_allclose(found, (1 - cosines).astype(float), rtol=1e-6, atol=1e-15)
    assert found.max() < 1e-5
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (first, second)]
    single = 1 - (unit[0] * unit[1]).sum(axis=1)
    assert np.median(np.abs(single - found) / found) > 0.01


def test_similarities_refuse_other_segments():
    first, second = drawn()
    for measure in (parallel_similarity, non_parallel_similarity):
        with pytest.raises(NeuroglotError, match=r"\[12, 5\] against \[11, 5\]"):
            measure(first, second[:-1])
        with pytest.raises(NeuroglotError, match="NaN or infinite"):
            measure(first, second * np.inf)
    with pytest.raises(NeuroglotError, match="two segments or more, found 1"):
        non_parallel_similarity(first[:1], second[:1])


def slow_neighbours(states: np.ndarray, k: int) -> list[list[int]]:
    """Sort all other segments by their cosine with each, the lower index first among equals."""
    unit = states.astype(float) / np.linalg.norm(states.astype(float), axis=1, keepdims=True)
    return [
        sorted((j for j in range(len(unit)) if j != i), key=lambda j: (-(unit[i] @ unit[j]), j))[:k]
        for i in range(len(unit))
    ]


def near(states: np.ndarray, k: int) -> csr_array:
    """Probabilities of neighbours for one k."""
    [found] = nearest_neighbours(states, [k])
    return found


def marked(neighbours: list[list[int]]) -> np.ndarray:
    """Neighbours' indices as 0 and 1, [segment, segment]."""
    found = np.zeros((len(neighbours), len(neighbours)))
    np.put_along_axis(found, np.array(neighbours), 1, axis=1)
    return found


def mutual_knn(first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    return neighbour_overlap(near(first, k), near(second, k))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 25), st.integers(2, 6), st.integers(0, 10_000), st.data())
def test_neighbours_against_sorting(segments, hidden, seed, data):
    k = data.draw(st.integers(1, segments - 1))
    first, second = drawn(segments, hidden, seed)
    a, b = slow_neighbours(first, k), slow_neighbours(second, k)
    np.testing.assert_array_equal(near(first, k).toarray(), marked(a))
    expected = [len(set(x) & set(y)) / k for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(mutual_knn(first, second, k), expected)


def test_neighbours_by_hand():
    angle = np.radians([0, 10, 30, 90])
    first = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    expected = marked([[1, 2], [0, 2], [1, 0], [2, 1]])
    np.testing.assert_array_equal(near(first, 2).toarray(), expected)
    second = first[[3, 1, 2, 0]]  # segments 0 and 3 change places
    np.testing.assert_array_equal(near(second, 1).toarray(), marked([[2], [3], [1], [1]]))
    np.testing.assert_array_equal(mutual_knn(first, second, 1), [0, 0, 1, 0])
    np.testing.assert_array_equal(mutual_knn(first, second, 2), [1, 0.5, 0.5, 1])
    np.testing.assert_array_equal(mutual_knn(first, second, 3), [1, 1, 1, 1])


@pytest.mark.parametrize("block", [1, 3 * 40, 1 << 24])
def test_ties_are_drawn_by_expectation(monkeypatch, block):
    """As in state 0, where segments with the same last token have the same state, bit for bit.

    The probabilities, and the expected overlap, are those of ties that are broken at random.
    """
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    generator = np.random.default_rng(7)
    tokens = generator.normal(size=(3, 65)).astype(np.float32)
    token, other = generator.integers(3, size=(2, 40))
    first, second = tokens[token], tokens[other]

    def broken(of_token: np.ndarray) -> np.ndarray:
        """Neighbours, 2,000 times: similar segments in an order that is drawn among equals."""
        unit = tokens.astype(float) / np.linalg.norm(tokens.astype(float), axis=1, keepdims=True)
        similarity = (unit @ unit.T)[of_token][:, of_token]
        np.fill_diagonal(similarity, -2)
        order = np.argsort(-similarity - 1e-9 * generator.random((2000, 40, 40)), axis=-1)
        found = np.zeros((2000, 40, 40))
        np.put_along_axis(found, order[..., :5], 1, axis=-1)
        return found

    drawn_first, drawn_second = broken(token), broken(other)
    np.testing.assert_allclose(near(first, 5).toarray(), drawn_first.mean(0), atol=0.06)
    expected = (drawn_first * drawn_second).sum(-1).mean(0) / 5
    np.testing.assert_allclose(mutual_knn(first, second, 5), expected, atol=0.03)


def test_identical_segments_have_what_chance_gives():
    """Two languages whose segments all end in one token: lower indices used to agree fully."""
    same = np.ones((9, 4), np.float32)
    np.testing.assert_allclose(mutual_knn(same, same, 2), chance_overlap([2], 9).item())


def test_neighbours_in_any_blocks_order_and_direction(monkeypatch):
    first, second = drawn(40, 6, seed=8)
    overlap = mutual_knn(first, second, 5)
    assert 0 < overlap.mean() < 1
    np.testing.assert_array_equal(mutual_knn(second, first, 5), overlap)
    np.testing.assert_allclose(mutual_knn(first, first, 5), 1)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(mutual_knn(first[order], second[order], 5), overlap[order])
    lengths = np.random.default_rng(1).uniform(0.5, 2, size=(40, 1))
    np.testing.assert_array_equal(mutual_knn(lengths * first, second @ rotation(6), 5), overlap)
    both = nearest_neighbours(first, [5, 10])
    for found, k in zip(both, (5, 10), strict=True):
        np.testing.assert_array_equal(found.toarray(), near(first, k).toarray())
        assert (found.sum(axis=1) == k).all()
    for block in (1, 41, 120, 1599):
        monkeypatch.setattr(module, "BLOCK_VALUES", block)
        np.testing.assert_array_equal(near(first, 10).toarray(), both[1].toarray())


def test_only_judged_segments_are_compared():
    """Cosines are within the judged segments, neighbours among all of them."""
    first, second = drawn(12, 6, seed=12)
    judged = np.arange(12) % 3 > 0
    found = closeness(first, second, nearest_neighbours(first, [1, 2]), [1, 2], judged)
    whole = closeness(first, second, nearest_neighbours(first, [1, 2]), [1, 2])
    among = first[judged], second[judged]
    np.testing.assert_array_equal(found["parallel"][judged], parallel_similarity(*among))
    np.testing.assert_array_equal(found["non_parallel"][judged], non_parallel_similarity(*among))
    np.testing.assert_array_equal(found["mutual_knn"][:, judged], whole["mutual_knn"][:, judged])
    for values in found.values():
        assert np.isnan(values[..., ~judged]).all()


def test_unrelated_languages_agree_by_chance():
    first, second = np.random.default_rng(9).normal(size=(2, 400, 8))
    assert mutual_knn(first, second, 10).mean() == pytest.approx(10 / 399, abs=0.006)


def test_neighbours_need_float64():
    """A massive activation leaves differences between cosines that float32 rounds away."""
    states, _ = drawn(30, 6, seed=10)
    states[:, 0] += 4000
    found = near(states, 5)
    wide = states.astype(np.longdouble)
    unit = wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))
    similarity = (unit[:, None] * unit[None]).sum(axis=2)
    np.fill_diagonal(similarity, -1)
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :5]
    expected = csr_array(marked(expected))
    assert neighbour_overlap(found, expected).mean() > 0.99
    single = unit.astype(np.float32)
    rounded = single @ single.T
    np.fill_diagonal(rounded, -1)
    rounded = csr_array(marked(np.argsort(-rounded, axis=1, kind="stable")[:, :5]))
    assert neighbour_overlap(rounded, expected).mean() < 0.8


def test_neighbours_refuse_what_does_not_fit():
    first, second = drawn()
    for k in (0, 12):
        with pytest.raises(NeuroglotError, match=rf"k is \[{k}\], but a segment has 11 others"):
            mutual_knn(first, second, k)
    with pytest.raises(NeuroglotError, match="differ in shape"):
        mutual_knn(first, second[:-1], 3)
    with pytest.raises(NeuroglotError, match="NaN or infinite"):
        nearest_neighbours(first * np.nan, [3])
