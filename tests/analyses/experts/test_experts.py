"""Experts against literal loops over tokens, cases by hand, planted experts and invariances."""

import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroglot.analyses.experts.measures import experts
from neuroglot.analyses.experts.settings import Score
from neuroglot.errors import NeuroglotError
from support.arrays import BACKENDS, back, on


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def partition(neurons: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(neurons) % n).astype("int32")


def routed(backend: str, layers: list[np.ndarray], parts: list[np.ndarray], n: int, **score) -> Any:
    """What the analysis does with one batch: z-scores [row, layer, expert]."""
    z = [
        experts.standardise(
            experts.expert_scores(on(backend, act), on(backend, experts.members(part, n)), **score)
        )
        for act, part in zip(layers, parts, strict=True)
    ]
    return np.stack(z, axis=1) if backend == "numpy" else torch.stack(z, dim=1)


def counted(z: Any, fraction: float) -> Any:
    """Active tokens of each expert, all rows in one fold."""
    ones = torch.ones if isinstance(z, torch.Tensor) else np.ones
    where = {"device": z.device} if isinstance(z, torch.Tensor) else {}
    dtype = torch.float32 if where else np.float32
    return experts.active_count(z, fraction, ones((1, len(z)), dtype=dtype, **where))[:, 0]


def literal_count(layers, parts, n, count, score="signed") -> np.ndarray:
    """Section 3, token by token: sum, z-score within the layer, rank across layers, count."""
    value = {"signed": float, "absolute": abs, "positive": lambda v: max(v, 0.0)}[score]
    counts = np.zeros((len(layers), n), int)
    for token in range(len(layers[0])):
        ranked = []
        for layer, (act, part) in enumerate(zip(layers, parts, strict=True)):
            scores = [0.0] * n
            for neuron, expert in enumerate(part):
                scores[expert] += value(float(act[token, neuron]))
            mean = math.fsum(scores) / n
            std = math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / n)
            level = max(scores) == min(scores)
            for expert, s in enumerate(scores):
                ranked.append((0.0 if level else -(s - mean) / std, layer, expert))
        for _, layer, expert in sorted(ranked)[:count]:
            counts[layer, expert] += 1
    return counts


def test_members_by_hand():
    part = np.array([1, 0, 1, 0, 2, 1, 0, 2], "int32")
    assert experts.members(part, 3).tolist() == [[1, 3, 6], [0, 2, 5], [4, 7, 8]]
    assert experts.members(part, 4).tolist()[3] == [8, 8, 8], "an expert without neurons"


def test_members_hold_every_neuron_once():
    part = partition(29, 4)
    listed = experts.members(part, 4)
    assert sorted(listed[listed < 29].tolist()) == list(range(29))
    for expert, own in enumerate(listed):
        assert (part[own[own < 29]] == expert).all()
        assert own.tolist() == sorted(own.tolist())


@pytest.mark.parametrize("backend", BACKENDS)
def test_scores_by_hand(backend):
    act = on(backend, np.array([[1, -2, 4, 8, -16], [0, 0, 0, -1, 0]], "float32"))
    own = on(backend, experts.members(np.array([0, 1, 0, 1, 1], "int32"), 2))
    found = experts.expert_scores(act, own)
    assert back(found).dtype == np.float64
    assert back(found).tolist() == [[5, -10], [0, -1]]
    assert back(experts.expert_scores(act, own, "absolute")).tolist() == [[5, 26], [0, 1]]
    assert back(experts.expert_scores(act, own, "positive")).tolist() == [[5, 8], [0, 0]]
    assert back(act).tolist()[0] == [1, -2, 4, 8, -16], "the activations are left alone"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("score", get_args(Score))
def test_half_precision_is_summed_exactly(dtype, score):
    act = torch.from_numpy(1000 * normal(5, 23)).to(dtype)
    own = torch.from_numpy(experts.members(partition(23, 4), 4))
    found = experts.expert_scores(act, own, score)
    assert torch.equal(found, experts.expert_scores(act.to(torch.float64), own, score))
    if dtype == torch.float16:
        numpy = experts.expert_scores(act.numpy(), own.numpy(), score)
        assert numpy.tobytes() == found.numpy().tobytes()


def test_sums_do_not_lose_small_values_beside_large_ones():
    act = np.array([[2.0**24, 1, 1, 1]], "float32")
    own = experts.members(np.zeros(4, "int32"), 1)
    assert experts.expert_scores(act, own).item() == 2.0**24 + 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_standardise_by_hand(backend):
    scores = np.array([[1, 2, 3, 6], [-5, -5, 5, 5]], "float64")
    found = back(experts.standardise(on(backend, scores)))
    np.testing.assert_allclose(found[0], np.array([-2, -1, 0, 3]) / math.sqrt(3.5), rtol=1e-15)
    assert found[1].tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [1, 3, 7, 10, 256])
def test_equal_scores_have_z_scores_of_zero(backend, n):
    level = np.array([[0.0], [0.1], [-1 / 3], [1e300], [5e-324]]) * np.ones(n)
    assert back(experts.standardise(on(backend, level))).tolist() == [[0.0] * n] * 5


def test_z_scores_have_mean_zero_and_unit_deviation():
    z = experts.standardise(normal(9, 37).astype("float64") * 50 + 7)
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(z.std(axis=1), 1, rtol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_at_the_boundary_go_to_the_lower_index(backend):
    z = on(backend, np.array([[1, 0, 2, 1, 1, 0], [0, 0, 0, 0, 0, 0], [-1, 5, -1, 5, -2, -1.0]]))
    assert back(experts.active(z, 0.5)).tolist() == [
        [True, False, True, True, False, False],
        [True, True, True, False, False, False],
        [True, True, False, True, False, False],
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_signed_zeros_are_ties(backend):
    z = on(backend, np.array([[-0.0, 0.0, -0.0, 0.0]]))
    assert back(experts.active(z, 0.5)).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    z=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(-3, 3).map(float),
    ),
    fraction=st.floats(0.01, 1),
)
@settings(max_examples=60, deadline=None)
def test_active_are_the_first_of_a_stable_sort(backend, z, fraction):
    count = max(1, round(fraction * z.shape[1]))
    expected = np.zeros(z.shape, bool)
    for row, values in enumerate(z):
        expected[row, sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]] = True
    np.testing.assert_array_equal(back(experts.active(on(backend, z), fraction)), expected)


def test_the_papers_800_of_8192():
    z = normal(4, 8192).astype("float64")
    assert experts.active(z, 0.09765625).sum(axis=1).tolist() == [800] * 4
    assert experts.active(z[:, :5], 1e-9).sum(axis=1).tolist() == [1] * 4
    assert experts.active(z, 1).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_overflown_activations_are_an_error(backend, bad):
    act = normal(3, 12)
    act[1, 4] = bad
    z = routed(backend, [act], [partition(12, 3)], 3)
    with pytest.raises(NeuroglotError, match="activations overflow"):
        counted(z, 0.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("score", get_args(Score))
@pytest.mark.parametrize("neurons", [24, 29])
def test_counts_are_the_literal_procedures(backend, score, neurons):
    n, parts = 8, [partition(neurons, 8, seed) for seed in range(3)]
    layers = [normal(40, neurons, seed=seed) * 10**seed for seed in range(3)]
    layers[1] = np.maximum(layers[1], 0)  # a ReLU layer, silent for some tokens
    layers[1][5:9] = 0
    found = back(counted(routed(backend, layers, parts, n, score=score), 0.25))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, literal_count(layers, parts, n, 6, score))
    assert found.sum() == 40 * 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_counts_by_fold_are_those_of_the_folds_rows(backend):
    z = routed(backend, [normal(30, 24), normal(30, 24, seed=1)], [partition(24, 6)] * 2, 6)
    fold = np.random.default_rng(2).integers(0, 4, 30)
    folds = (np.arange(5)[:, None] == fold).astype(np.float32)
    found = back(experts.active_count(z, 0.25, on(backend, folds)))
    assert found.dtype == np.int64
    assert found.shape == (2, 5, 6)
    for one in range(5):
        np.testing.assert_array_equal(found[:, one], back(counted(z[fold == one], 0.25)))
    assert found.sum() == 30 * 3


def test_a_silent_model_activates_the_first_experts():
    layers, parts = [np.zeros((3, 12), "float32")] * 2, [partition(12, 4)] * 2
    found = counted(routed("numpy", layers, parts, 4), 0.75)
    assert found.tolist() == [[3, 3, 3, 3], [3, 3, 0, 0]]
    np.testing.assert_array_equal(found, literal_count(layers, parts, 4, 6))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_planted_expert_is_always_active_and_others_seldom(backend):
    n, parts = 16, [partition(64, 16, seed) for seed in range(4)]
    layers = [normal(200, 64, seed=seed) for seed in range(4)]
    layers[2][:, parts[2] == 5] += 6
    found = back(counted(routed(backend, layers, parts, n), 0.1))
    assert found[2, 5] == 200
    found[2, 5] = 0
    assert found.max() < 60


def test_no_rows_count_nothing():
    for backend in ("numpy", "torch"):
        z = routed(backend, [normal(0, 12)] * 2, [partition(12, 3)] * 2, 3)
        assert back(counted(z, 0.5)).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize("neurons", [2048, 2100])
def test_torch_and_numpy_agree_bit_by_bit(neurons):
    parts = [partition(neurons, 256, seed) for seed in range(2)]
    layers = [normal(33, neurons, seed=seed) for seed in range(2)]
    a, b = (routed(backend, layers, parts, 256) for backend in ("numpy", "torch"))
    assert a.tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_token_does_not_depend_on_those_beside_it(backend):
    parts = [partition(2100, 250, seed) for seed in range(2)]
    layers = [normal(70, 2100, seed=seed) for seed in range(2)]
    whole = back(routed(backend, layers, parts, 250))
    total = back(counted(routed(backend, layers, parts, 250), 0.1))
    for size in (1, 7, 64):
        batches = [[act[at : at + size] for act in layers] for at in range(0, 70, size)]
        pieces = [routed(backend, batch, parts, 250) for batch in batches]
        assert np.concatenate([back(piece) for piece in pieces]).tobytes() == whole.tobytes()
        counts = sum(back(counted(piece, 0.1)) for piece in pieces)
        np.testing.assert_array_equal(counts, total)


def test_renumbered_experts_are_renumbered_in_the_result():
    part, act = partition(40, 8), normal(30, 40)
    new = np.random.default_rng(5).permutation(8)
    a = experts.expert_scores(act, experts.members(part, 8))
    b = experts.expert_scores(act, experts.members(new[part], 8))
    assert b[:, new].tobytes() == a.tobytes()
    one = counted(routed("numpy", [act], [part], 8), 0.25)
    other = counted(routed("numpy", [act], [new[part]], 8), 0.25)
    np.testing.assert_array_equal(other[:, new], one)


@pytest.mark.parametrize("factor", [0.25, 8])
def test_a_layers_scale_does_not_matter(factor):
    layers, parts = [normal(30, 40, seed=seed) for seed in (0, 1)], [partition(40, 8)] * 2
    a = routed("numpy", layers, parts, 8)
    b = routed("numpy", [layers[0] * np.float32(factor), layers[1]], parts, 8)
    assert a.tobytes() == b.tobytes()


def frequencies(languages: int = 4, layers: int = 3, n: int = 6, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).uniform(0, 0.3, size=(languages, layers, n))
    return xr.DataArray(
        values,
        dims=("language", "layer", "expert"),
        coords={
            "language": ["en", "fr", "hi", "zh"][:languages],
            "family": ("language", ["ie", "ie", "ie", "st"][:languages]),
            "stack_layer": ("layer", np.arange(layers)),
        },
    )


def test_frequency_by_hand():
    count = xr.DataArray(
        [[[1, 4]], [[0, 0]]], dims=("language", "layer", "expert"), coords={"language": ["en", "x"]}
    )
    tokens = xr.DataArray([8, 0], dims="language", coords={"language": ["en", "x"]})
    found = experts.expert_frequency(count, tokens)
    assert found.dims == ("language", "layer", "expert")
    assert found.sel(language="en").values.tolist() == [[0.125, 0.5]]
    assert found.sel(language="x").isnull().all()
    one = experts.expert_frequency(count.sel(language="en"), tokens.sel(language="en"))
    assert one.dims == ("layer", "expert")
    assert one.values.tolist() == [[0.125, 0.5]]


def test_shared_by_and_specific_by_hand():
    frequency = xr.DataArray(
        [[[0.05, 0.0499, 0.9]], [[0.05, 0.06, 0.0]], [[0.2, 0.0, np.nan]]],
        dims=("language", "layer", "expert"),
    )
    high = experts.high_frequency(frequency, 0.05)
    shared = experts.shared_by(high)
    assert shared.dtype == np.int32
    assert shared.dims == ("layer", "expert")
    assert shared.values.tolist() == [[3, 1, 1]]
    assert experts.shared_by(experts.high_frequency(frequency, 0.06)).values.tolist() == [[1, 1, 1]]
    specific = experts.specific_experts(high).values[:, 0].tolist()
    assert specific == [[False, False, True], [False, True, False], [False] * 3]


def test_high_frequency_begins_at_the_threshold():
    frequency = xr.DataArray([[0.05, 0.0499, 0.9, 0.0, np.nan]], dims=("layer", "expert"))
    high = experts.high_frequency(frequency, 0.05)
    assert high.values.tolist() == [[True, False, True, False, False]]


def test_kept_neurons_by_hand():
    expert = xr.DataArray([[0, 1, 1, 2], [2, 2, 0, 1], [0, 1, 2, 0]], dims=("layer", "neuron"))
    high = xr.DataArray(
        [[True, False, True], [False, False, False], [True] * 3], dims=("layer", "expert")
    )
    found = experts.kept_neurons(expert, high)
    assert [own.tolist() for own in found] == [[0, 3], [], [0, 1, 2, 3]]
    turned = experts.kept_neurons(expert.transpose(), high.transpose())
    assert [own.tolist() for own in turned] == [own.tolist() for own in found]


def test_random_experts_are_as_many_in_each_layer():
    high = experts.high_frequency(frequencies(n=40).sel(language="hi"), 0.12)
    high[0], high[1] = False, True
    drawn = [experts.random_experts(high, seed) for seed in range(200)]
    for one in drawn:
        assert one.dims == ("layer", "expert")
        assert one.dtype == bool
        np.testing.assert_array_equal(one.sum("expert"), high.sum("expert"))
    xr.testing.assert_identical(drawn[3], experts.random_experts(high, 3))
    share = np.mean([one.values[2] for one in drawn], axis=0)
    expected = float(high[2].mean())
    assert 0.2 < expected < 0.8
    assert np.abs(share - expected).max() < 0.2, "every expert is as likely as any other"


def test_another_languages_most_frequent_experts_are_as_many_in_each_layer():
    frequency = xr.DataArray(
        [[0.5, 0.01, 0.3, 0.3], [0.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]],
        dims=("layer", "expert"),
    )
    high = xr.DataArray(
        [[False, True, True, False], [True, False, False, False], [False] * 4],
        dims=("layer", "expert"),
    )
    chosen = experts.as_many_of(frequency, high)
    assert chosen.values.tolist() == [
        [True, False, True, False],
        [True, False, False, False],
        [False] * 4,
    ]
    turned = experts.as_many_of(frequency.transpose(), high.transpose())
    xr.testing.assert_identical(turned, chosen)
