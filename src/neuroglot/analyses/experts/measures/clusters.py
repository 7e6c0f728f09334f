"""Partition of a layer's neurons into clusters of equal size, the experts (experts, section 3)."""

import warnings

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

# Clusters of a few nearly orthogonal rows converge in two or three rounds. Other clusters may not
# converge, because the constrained assignment minimises distances and the centroids minimise
# squared distances.
MAX_ITERATIONS = 50


def equal_size_clusters(rows: NDArray[np.floating], n: int, seed: int) -> NDArray[np.int32]:
    """Cluster rows of weights into ``n`` clusters whose sizes differ by at most one.

    Balanced k-means (experts, section 3) assigns rows by an exact minimum-cost flow, which needs
    memory for neuron x n arcs. It starts from the centroids of unconstrained k-means, which reach a
    lower inertia than k-means++ seeds in no more time. With few rows per cluster, each row pulls
    its centroid towards itself, and k-means stays near its start. Further starts therefore gain
    almost nothing.

    The result depends on the seed. It does not depend on the number of threads: one is used.

    Args:
        rows: [neuron, hidden], each neuron's row of ``W_up`` (``W_in`` if not gated). Rows are
            first divided by their Euclidean norm; a row of zeros stays zero.
        n: number of clusters, between 1 and the number of neurons.
        seed: seed of the initial centroids.

    Returns:
        Each neuron's cluster, [neuron]. Clusters are numbered from 0 in the order of their first
        neurons.

    Raises:
        NeuroglotError: a weight is not finite.
    """
    neurons = len(rows)
    broken = int((~np.isfinite(rows)).any(axis=1).sum())
    if broken:
        raise NeuroglotError(
            f"{broken} of {neurons} neurons have weights that are NaN or infinite: "
            "the checkpoint is damaged, or overflowed in half precision; obtain it again"
        )
    if n in (1, neurons):
        return np.arange(neurons, dtype=np.int32) % n
    return _numbered_by_first_neuron(_balanced_k_means(_normalised(rows), n, seed))


def _normalised(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Divide rows by their Euclidean norm, in float64, and store them in float32."""
    double = rows.astype(np.float64)
    norm = np.linalg.norm(double, axis=1, keepdims=True)
    return (double / np.where(norm > 0, norm, 1)).astype(np.float32)


def _balanced_k_means(rows: NDArray[np.float32], n: int, seed: int) -> NDArray[np.int32]:
    from k_means_constrained import KMeansConstrained
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), warnings.catch_warnings():
        # Ignore the warning of fewer distinct rows than clusters, for example many zero rows.
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = KMeans(n, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed).fit(rows)
        balanced = KMeansConstrained(
            n,
            size_min=len(rows) // n,
            size_max=-(-len(rows) // n),
            init=start.cluster_centers_,
            n_init=1,
            max_iter=MAX_ITERATIONS,
            random_state=seed,
        ).fit(rows)
    return np.asarray(balanced.labels_, dtype=np.int32)


def _numbered_by_first_neuron(cluster: NDArray[np.int32]) -> NDArray[np.int32]:
    _, first, label = np.unique(cluster, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int32)[label]
