"""Transfer scores compared with the literal procedure, and mutual k-NN at a paper's size.

For each neuron, the literal procedure builds h + a v for every row and computes its cosine with the
centroid by scikit-learn. It is timed on some neurons of a layer and scaled to the whole model.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity
from threadpoolctl import threadpool_limits

from comparing import at_least, at_most, compared, sized
from neuroglot.analyses.transfer.measures.latent import nearest_neighbours, neighbour_overlap
from neuroglot.analyses.transfer.measures.transfer import transfer_score
from neuroglot.models.norms import norm_scale

# Gemma 3 270M and a short parallel text
LAYERS, NEURONS, HIDDEN, ROWS = sized(18, 2), sized(2048, 64), sized(640, 16), 40
TIMED = sized(256, 8)  # neurons of one layer on which the literal procedure is timed
STATES, SEGMENTS, WIDTH, K = sized(33, 2), sized(1000, 40), sized(4096, 64), 10
SECONDS = 5


@pytest.mark.parametrize("norm", [False, True], ids=["plain", "behind_a_norm"])
def test_scores_against_a_vector_per_neuron(benchmark, norm: bool) -> None:
    """All layers of the default model's shape: at least 50 times as fast, and equal to 1e-5."""
    generator = np.random.default_rng(0)
    shapes = {"mid": (ROWS, HIDDEN), "act": (ROWS, NEURONS), "values": (HIDDEN, NEURONS)}
    mid, act, values = (
        generator.standard_normal((LAYERS, *shape), dtype=np.float32) for shape in shapes.values()
    )
    centroids = mid.mean(axis=1)
    gain = generator.uniform(0.5, 2, HIDDEN).astype(np.float32) if norm else None
    scales = [norm_scale(a @ v.T, 1e-6) if norm else None for a, v in zip(act, values, strict=True)]

    def ours() -> NDArray[np.float64]:
        layers = zip(mid, act, values, centroids, scales, strict=True)
        return np.stack([transfer_score(h, a, v, C, gain, s) for h, a, v, C, s in layers])

    def literal() -> NDArray[np.float32]:
        h, C = mid[0], centroids[0][None]
        before = cosine_similarity(h, C)
        score = []
        for i in range(TIMED):
            contributed = act[0][:, [i]] * values[0][:, i]
            if norm:
                contributed *= scales[0][:, None] * gain
            score.append((cosine_similarity(h + contributed, C) - before).mean())
        return np.array(score)

    np.testing.assert_allclose(ours()[0, :TIMED], literal(), rtol=0, atol=1e-5)
    with threadpool_limits(1):
        measured = compared(benchmark, ours, literal, rounds=5)
    for name in ("ratio", "least", "greatest", "other_seconds"):
        benchmark.extra_info[name] = measured[name] * LAYERS * NEURONS / TIMED
    at_least(benchmark.extra_info["ratio"], 50)


def test_mutual_knn_of_a_language_pair(benchmark) -> None:
    """A language pair, without the pivot's neighbours, which are found once for all pairs.

    Compared with plain inner products of the states in float64, on one thread.
    """
    generator = np.random.default_rng(0)
    pivot, other = generator.standard_normal((2, SEGMENTS, WIDTH), dtype=np.float32)
    [near_in_pivot] = nearest_neighbours(pivot, [K])

    def ours() -> None:
        for _ in range(STATES):
            [near] = nearest_neighbours(other, [K])
            neighbour_overlap(near_in_pivot, near)

    def products() -> None:
        for _ in range(STATES):
            wide = other.astype(np.float64)
            wide @ wide.T

    with threadpool_limits(1):
        measured = compared(benchmark, ours, products, rounds=3)
    at_most(measured["seconds"], SECONDS)
