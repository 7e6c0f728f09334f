"""Clusters of equal size: planted clusters, sizes, determinism and bad input."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.errors import NeuroglotError


def normal(neurons: int, hidden: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(neurons, hidden)).astype("float32")


def planted(n: int, size: int, hidden: int = 32, noise: float = 0.05) -> tuple[np.ndarray, ...]:
    """Rows near ``n`` directions, ``size`` each, shuffled, and which direction each is near."""
    rng = np.random.default_rng(1)
    direction = rng.permutation(np.repeat(np.arange(n), size))
    rows = rng.normal(size=(n, hidden))[direction] + noise * rng.normal(size=(n * size, hidden))
    return rows.astype("float32"), direction


def numbered(label: np.ndarray) -> list[int]:
    """Labels in the order in which they first occur."""
    seen: dict[int, int] = {}
    return [seen.setdefault(int(one), len(seen)) for one in label]


def inertia(rows: np.ndarray, cluster: np.ndarray) -> float:
    """Squared distances of normalised rows to their cluster's mean."""
    rows = rows.astype("float64")
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    total = 0.0
    for one in set(cluster.tolist()):
        own = rows[cluster == one]
        total += float(((own - own.mean(axis=0)) ** 2).sum())
    return total


def test_planted_clusters_are_found_and_numbered_by_their_first_neuron():
    rows, direction = planted(6, 8)
    found = equal_size_clusters(rows, 6, seed=0)
    assert found.dtype == np.int32
    assert found.tolist() == numbered(direction)


def test_only_directions_count():
    rows, direction = planted(5, 4)
    lengths = np.random.default_rng(2).uniform(0.01, 100, size=(len(rows), 1)).astype("float32")
    assert equal_size_clusters(rows * lengths, 5, seed=0).tolist() == numbered(direction)
    random = normal(40, 8)
    powers = 2.0 ** np.random.default_rng(3).integers(-9, 9, size=(40, 1))
    expected = equal_size_clusters(random, 7, seed=0).tolist()
    assert equal_size_clusters((random * powers).astype("float32"), 7, seed=0).tolist() == expected
    assert equal_size_clusters(random.astype("float64"), 7, seed=0).tolist() == expected


def test_sizes_are_forced_where_the_data_has_others():
    # Nine rows in one direction, three in another: clusters of six take three of the nine away.
    rows = np.repeat(np.eye(2, dtype="float32"), (9, 3), axis=0)
    rows = np.hstack([rows, 0.01 * normal(12, 3)])
    found = equal_size_clusters(rows, 2, seed=0)
    assert np.bincount(found).tolist() == [6, 6]
    assert len(set(found[9:].tolist())) == 1


def test_the_best_of_all_partitions_of_a_small_layer():
    rows = planted(3, 2, hidden=4, noise=0.2)[0]
    best = min(
        inertia(rows, np.array(label))
        for label in itertools.product(range(3), repeat=6)
        if sorted(np.bincount(label, minlength=3)) == [2, 2, 2]
    )
    assert inertia(rows, equal_size_clusters(rows, 3, seed=0)) == pytest.approx(best)


def test_lower_inertia_than_a_random_partition_of_the_same_sizes():
    rows = normal(256, 24)
    found = equal_size_clusters(rows, 32, seed=0)
    random = [
        inertia(rows, np.random.default_rng(seed).permutation(np.arange(256) % 32))
        for seed in range(5)
    ]
    assert inertia(rows, found) < 0.85 * min(random)


@given(st.integers(1, 24), st.data())
@settings(max_examples=25, deadline=None)
def test_sizes_differ_by_at_most_one(neurons, data):
    n = data.draw(st.integers(1, neurons))
    found = equal_size_clusters(normal(neurons, 5, seed=neurons), n, seed=0)
    sizes = np.bincount(found, minlength=n)
    assert len(sizes) == n
    assert set(sizes) <= {neurons // n, -(-neurons // n)}
    assert found.tolist() == numbered(found)


def test_one_cluster_and_one_neuron_per_cluster():
    rows = normal(9, 4)
    assert equal_size_clusters(rows, 1, seed=0).tolist() == [0] * 9
    assert equal_size_clusters(rows, 9, seed=0).tolist() == list(range(9))


def test_rows_of_zeros_are_neurons_like_others(recwarn):
    rows = normal(30, 6)
    rows[5:25] = 0
    found = equal_size_clusters(rows, 10, seed=0)
    assert np.bincount(found).tolist() == [3] * 10
    assert equal_size_clusters(np.zeros((12, 4), "float32"), 4, seed=0).tolist().count(3) == 3
    assert not recwarn.list


def test_the_rows_are_left_alone():
    rows = normal(20, 6)
    before = rows.copy()
    equal_size_clusters(rows, 4, seed=0)
    assert rows.tobytes() == before.tobytes()


def test_the_seed_decides_and_the_number_of_threads_does_not():
    rows = normal(600, 48)
    found = equal_size_clusters(rows, 60, seed=3)
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert equal_size_clusters(rows, 60, seed=3).tobytes() == found.tobytes()
    assert equal_size_clusters(rows, 60, seed=4).tobytes() != found.tobytes()
    np.random.seed(5)
    assert equal_size_clusters(rows, 60, seed=3).tobytes() == found.tobytes()


def test_importing_the_measure_imports_no_solver():
    code = (
        "import neuroglot.analyses.experts.measures.clusters, sys; print('ortools' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("n", [1, 4, 10])
def test_weights_that_are_not_finite_are_an_error(bad, n):
    rows = normal(10, 4)
    rows[[2, 7], 1] = bad
    rows[7, 3] = bad
    with pytest.raises(NeuroglotError, match="2 of 10 neurons have weights that are NaN"):
        equal_size_clusters(rows, n, seed=0)
