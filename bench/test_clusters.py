"""Clustering a layer into 256 experts: seconds, and inertia compared with a random partition."""

import numpy as np
import pytest
import torch

from comparing import sized
from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.models.ffn import ffns

EXPERTS = sized(256, 4)


def inertia(rows: np.ndarray, cluster: np.ndarray) -> float:
    """Sum the squared distances of normalised rows from the mean of their cluster."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    sums = np.zeros((EXPERTS, rows.shape[1]))
    np.add.at(sums, cluster, rows)
    sizes = np.bincount(cluster, minlength=EXPERTS)
    return float((rows**2).sum() - ((sums**2).sum(axis=1) / sizes).sum())


@pytest.mark.parametrize("layer", ["first", "middle", "last"])
def test_layer_of_the_default_model(benchmark, model: torch.nn.Module, layer: str) -> None:
    layers = ffns(model)
    at = {"first": 0, "middle": len(layers) // 2, "last": -1}[layer]
    rows = layers[at].input_matrix().detach().float().numpy()
    cluster = benchmark.pedantic(lambda: equal_size_clusters(rows, EXPERTS, seed=0), rounds=3)
    random = np.random.default_rng(0).permutation(len(rows)) % EXPERTS
    benchmark.extra_info["ratio"] = inertia(rows, cluster) / inertia(rows, random)


def test_layer_of_the_papers_model(benchmark) -> None:
    """11008 neurons of 4096 weights, as in Llama 2 7B, drawn at random."""
    rows = np.random.default_rng(0).standard_normal(
        (43 * EXPERTS, sized(4096, 16)), dtype=np.float32
    )
    cluster = benchmark.pedantic(lambda: equal_size_clusters(rows, EXPERTS, seed=0), rounds=1)
    assert np.bincount(cluster).tolist() == [43] * EXPERTS
