"""Transfer scores against the literal procedure, by hand, on planted neurons and in invariances."""

from decimal import Decimal, localcontext
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroglot.analyses.transfer.measures import correlation as of_groups
from neuroglot.analyses.transfer.measures import transfer as module
from neuroglot.analyses.transfer.measures.correlation import correlation_ratio
from neuroglot.analyses.transfer.measures.transfer import (
    centroid,
    layer_ranges,
    shared_centroid,
    top_neurons,
    transfer_score,
)
from neuroglot.errors import NeuroglotError
from neuroglot.models.norms import norm_scale


def drawn(rows: int = 5, neurons: int = 17, hidden: int = 8, seed: int = 0):
    """mid [row, hidden], act [row, neuron], values [hidden, neuron], C, gain [hidden], float32."""
    generator = np.random.default_rng(seed)
    shapes = ((rows, hidden), (rows, neurons), (hidden, neurons), (hidden,), (hidden,))
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


def cosine(a: list[float], b: list[float]) -> float:
    length = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0


def literal(mid, act, values, C, gain=None, scale=None, center=False) -> list[float]:
    """mean_k cos(h + contribution, C) - cos(h, C), one neuron and row at a time."""
    score = []
    for i in range(act.shape[1]):
        v = [float(x) for x in values[:, i]]
        if center:
            v = [x - sum(v) / len(v) for x in v]
        if gain is not None:
            v = [float(g) * x for g, x in zip(gain, v, strict=True)]
        turned = []
        for k, h in enumerate(mid.tolist()):
            s = 1.0 if scale is None else float(scale[k])
            moved = [x + s * float(act[k, i]) * y for x, y in zip(h, v, strict=True)]
            turned.append(cosine(moved, C.tolist()) - cosine(h, C.tolist()))
        score.append(sum(turned) / len(turned))
    return score


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 20), st.integers(1, 9), st.integers(0, 10_000))
def test_score_is_the_literal_procedure(rows, neurons, hidden, seed):
    mid, act, values, C, _ = drawn(rows, neurons, hidden, seed)
    score = transfer_score(mid, act, values, C)
    assert score.dtype == np.float64
    np.testing.assert_allclose(score, literal(mid, act, values, C), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("with_gain", [False, True])
def test_score_behind_a_norm_is_the_literal_procedure(center, with_gain):
    mid, act, values, C, gain = drawn(seed=1)
    gain = gain if with_gain else None
    scale = norm_scale(act @ values.T, 1e-6, center)
    np.testing.assert_allclose(
        transfer_score(mid, act, values, C, gain, scale, center),
        literal(mid, act, values, C, gain, scale, center),
        rtol=1e-9,
        atol=1e-11,
    )


@pytest.mark.parametrize("center", [False, True])
def test_contributions_behind_a_norm_add_up_to_what_the_layer_adds(center):
    """The linearisation is exact for all neurons together: a neuron of their sum scores alike."""
    import torch

    mid, act, values, C, gain = drawn(seed=2)
    out = act.astype(np.float64) @ values.T.astype(np.float64)
    row, epsilon = torch.from_numpy(out), 1e-5
    if center:
        normed = torch.nn.functional.layer_norm(row, row.shape[-1:], eps=epsilon)
    else:
        normed = torch.nn.functional.rms_norm(row, row.shape[-1:], eps=epsilon)
    added = normed.numpy() * gain
    scale = norm_scale(out, epsilon, center)
    for k in range(len(mid)):
        all_neurons = transfer_score(
            mid[[k]], np.ones((1, 1)), out[[k]].T, C, gain, scale[[k]], center
        )
        turned = cosine((mid[k] + added[k]).tolist(), C.tolist()) - cosine(
            mid[k].tolist(), C.tolist()
        )
        np.testing.assert_allclose(all_neurons, [turned], rtol=1e-10)


def test_score_by_hand():
    mid = np.array([[3, 4], [1, 0]], np.float32)
    C = np.array([0, 2], np.float32)
    act = np.array([[1, 1, 0], [1, -1, 0]], np.float32)
    values = np.array([[-3, 0, 1], [0, 1, 1]], np.float32)
    # Neuron 0: (0, 4) and (-2, 0); neuron 1: (3, 5) and (1, -1); neuron 2 is silent.
    first = ((1 - 0.8) + (0 - 0)) / 2
    second = ((5 / sqrt(34) - 0.8) + (-1 / sqrt(2) - 0)) / 2
    np.testing.assert_allclose(
        transfer_score(mid, act, values, C), [first, second, 0], rtol=1e-15, atol=1e-16
    )


def test_a_neuron_that_moves_exactly_to_the_centroid_is_first():
    mid, act, values, C, _ = drawn(rows=1, neurons=40, hidden=16, seed=3)
    act[0, 23] = 2
    values[:, 23] = (C - mid[0]) / 2
    score = transfer_score(mid, act, values, C)
    np.testing.assert_allclose(score[23], 1 - cosine(mid[0].tolist(), C.tolist()), rtol=1e-6)
    layer, neuron, found = top_neurons(np.stack([np.full(40, np.nan), score]), 3)
    assert (layer[0], neuron[0], found[0]) == (1, 23, score[23])


def test_vectors_of_zeros_have_no_direction():
    mid = np.array([[3, 4], [0, 0]], np.float32)
    C = np.array([4, 3], np.float32)
    values = np.array([[-3, 1], [-4, 0]], np.float32)
    one = np.ones((1, 2), np.float32)
    cancelled, turned = transfer_score(mid[:1], one, values, C)
    assert cancelled == pytest.approx(-24 / 25, abs=1e-15)
    assert turned == pytest.approx(28 / (5 * sqrt(32)) - 24 / 25)
    from_nothing = transfer_score(mid[1:], one, values, C)
    np.testing.assert_allclose(from_nothing, [-24 / 25, 4 / 5], rtol=1e-15)
    np.testing.assert_array_equal(transfer_score(mid, np.ones((2, 2)), values, 0 * C), [0, 0])


def exact_turn(h, a, v, C) -> Decimal:
    """cos(h + a v, C) - cos(h, C) to forty digits from the float32 values."""
    with localcontext() as context:
        context.prec = 60
        h, v, C = ([Decimal(float(x)) for x in vector] for vector in (h, v, C))
        a = Decimal(float(a))

        def cos(x):
            dot = sum(p * q for p, q in zip(x, C, strict=True))
            return dot / (sum(p * p for p in x).sqrt() * sum(q * q for q in C).sqrt())

        return cos([x + a * y for x, y in zip(h, v, strict=True)]) - cos(h)


@pytest.mark.parametrize("size", [1e-6, 1e-9])
def test_small_turns_keep_their_digits(size):
    """A stream with one massive activation, and neurons that move it by a millionth or less.

    Cosines in float32 cannot tell the neurons apart; those in float64 lose the digits that the
    closed form keeps.
    """
    mid, act, values, C, _ = drawn(rows=1, neurons=12, hidden=32, seed=4)
    mid[0, 5] = C[5] = 300
    act *= np.float32(size)
    exact = [float(exact_turn(mid[0], act[0, i], values[:, i], C)) for i in range(12)]
    np.testing.assert_allclose(transfer_score(mid, act, values, C), exact, rtol=1e-8)

    def subtracted(dtype) -> np.ndarray:
        def cosines(x):
            c = C.astype(dtype)
            return x @ c / (np.linalg.norm(x, axis=-1) * np.linalg.norm(c))

        h = mid[0].astype(dtype)
        moved = h + (act[0].astype(dtype) * values.astype(dtype)).T
        return cosines(moved) - cosines(h[None])

    single = np.abs(subtracted(np.float32) - exact) / np.abs(exact)
    double = np.abs(subtracted(np.float64) - exact) / np.abs(exact)
    assert np.median(single) > 0.5
    assert double.max() > 1e-8


def test_score_in_any_blocks(monkeypatch):
    mid, act, values, C, gain = drawn(seed=5)
    scale = norm_scale(act @ values.T, 1e-6)
    for norm in ((), (gain, scale)):
        whole = transfer_score(mid, act, values, C, *norm)
        for neurons in (1, 3, 16):
            monkeypatch.setattr(module, "BLOCK_VALUES", neurons * max(mid.shape))
            blocks = transfer_score(mid, act, values, C, *norm)
            np.testing.assert_allclose(blocks, whole, rtol=1e-11, atol=1e-14)
        monkeypatch.undo()


def test_score_invariances():
    mid, act, values, C, _ = (array.astype(np.float64) for array in drawn(seed=6))
    score = transfer_score(mid, act, values, C)

    def same(*arguments) -> None:
        np.testing.assert_allclose(transfer_score(*arguments), score, rtol=1e-9, atol=1e-13)

    order = np.random.default_rng(0).permutation(len(mid))
    same(mid[order], act[order], values, C)
    same(np.tile(mid, (3, 1)), np.tile(act, (3, 1)), values, C)
    same(mid, act, values, 1000.0 * C)
    same(7.0 * mid, act, 7.0 * values, C)
    same(mid, act * 4, values / 4, C)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    same(mid @ rotation, act, rotation.T @ values, C @ rotation)
    neurons = np.random.default_rng(2).permutation(act.shape[1])
    np.testing.assert_allclose(
        transfer_score(mid, act[:, neurons], values[:, neurons], C),
        score[neurons],
        rtol=1e-9,
        atol=1e-13,
    )


def test_score_refuses_what_does_not_fit():
    mid, act, values, C, gain = drawn()
    scale = np.ones(len(mid))
    for arguments, message in [
        ((mid, act[:-1], values, C), r"activations.*expected \[5, 17\], found \[4, 17\]"),
        ((mid, act, values.T, C), r"value vectors.*expected \[8, 17\]"),
        ((mid, act, values, C[:-1]), "centroid"),
        ((mid, act, values, C, gain[:-1], scale), "gain"),
        ((mid, act, values, C, gain, scale[:-1]), "scale"),
        ((mid, act, values, C, gain), "needs its scale"),
        ((mid, act, values, C, None, None, True), "needs its scale"),
        ((mid[:0], act[:0], values, C), "a transfer score needs"),
        ((mid[0], act[0], values, C), "a transfer score needs"),
        ((np.where(mid == mid[0, 0], np.nan, mid), act, values, C), "a state is NaN"),
        ((mid, np.where(act == act[0, 0], np.inf, act), values, C), "an activation is NaN"),
        ((mid, act, np.where(values == values[0, 0], np.nan, values), C), "a value vector is NaN"),
    ]:
        with pytest.raises(NeuroglotError, match=message):
            transfer_score(*arguments)


def test_centroids():
    generator = np.random.default_rng(7)
    pivot, other = generator.normal(size=(2, 3, 10, 4)).astype(np.float32)  # [state, segment, …]
    np.testing.assert_allclose(centroid(pivot)[1], [np.mean(c.astype(float)) for c in pivot[1].T])
    midpoints = [(p.astype(float) + o) / 2 for p, o in zip(pivot[2], other[2], strict=True)]
    np.testing.assert_allclose(shared_centroid(pivot, other)[2], np.mean(midpoints, axis=0))
    np.testing.assert_array_equal(shared_centroid(pivot, other), shared_centroid(other, pivot))
    np.testing.assert_array_equal(shared_centroid(pivot, pivot), centroid(pivot))
    # A float32 sum of so many would be off in the fourth digit.
    np.testing.assert_allclose(
        centroid(np.full((300_000, 1), 1e4 + 1 / 256, np.float32)), 10000.004, 1e-7
    )
    with pytest.raises(NeuroglotError, match="same segments"):
        shared_centroid(pivot, other[:, 1:])
    with pytest.raises(NeuroglotError, match="one segment or more"):
        centroid(pivot[:, :0])
    with pytest.raises(NeuroglotError, match="NaN or infinite"):
        centroid(np.full_like(pivot, np.inf))


def test_top_neurons_over_layers():
    score = np.array([[0.5, -1, 0.5], [np.nan] * 3, [0.5, 2, np.nan]], np.float32)
    layer, neuron, found = top_neurons(score, 5)
    assert list(zip(layer.tolist(), neuron.tolist(), strict=True)) == [
        (2, 1), (0, 0), (0, 2), (2, 0), (0, 1),
    ]  # fmt: skip
    np.testing.assert_array_equal(found, [2, 0.5, 0.5, 0.5, -1])
    for n in (0, 6):
        with pytest.raises(
            NeuroglotError, match=rf"asks for {n} neurons, but 5 .* between 1 and 5"
        ):
            top_neurons(score, n)


@given(st.integers(2, 200), st.floats(0.001, 0.999))
def test_layers_are_divided(layers, share):
    lower, upper = layer_ranges(layers, share)
    assert [*lower, *upper] == list(range(layers))
    assert len(lower) == min(max(round(share * layers), 1), layers - 1)


def test_the_papers_division_and_misfits():
    assert layer_ranges(32, 20 / 32) == (range(20), range(20, 32))
    assert layer_ranges(18, 0.625) == (range(11), range(11, 18))
    with pytest.raises(NeuroglotError, match="need two layers, found 1"):
        layer_ranges(1, 0.5)
    for share in (0, 1, float("nan")):
        with pytest.raises(NeuroglotError, match="type1_layers"):
            layer_ranges(4, share)


def slow_ratio(values: list[float], group: list[bool]) -> float:
    mean = sum(values) / len(values)
    between = 0.0
    for inside in (True, False):
        mine = [x for x, g in zip(values, group, strict=True) if g == inside]
        between += len(mine) * (sum(mine) / len(mine) - mean) ** 2
    return between / sum((x - mean) ** 2 for x in values)


def test_correlation_ratio_against_sums_of_squares(monkeypatch):
    generator = np.random.default_rng(8)
    values = generator.normal(size=(12, 7)) + 100
    groups = np.array([np.arange(12) < 3, np.arange(12) % 2 == 0])
    ratio = correlation_ratio(values, groups)
    slow = [[slow_ratio(values[:, i].tolist(), g.tolist()) for i in range(7)] for g in groups]
    np.testing.assert_allclose(ratio, slow, rtol=1e-9)
    np.testing.assert_array_equal(correlation_ratio(values, groups[0]), ratio[0])
    np.testing.assert_allclose(correlation_ratio(values, ~groups), ratio, rtol=1e-9)
    order = generator.permutation(12)
    np.testing.assert_allclose(correlation_ratio(values[order], groups[:, order]), ratio, rtol=1e-9)
    np.testing.assert_allclose(correlation_ratio(values * -3 + 5, groups), ratio, rtol=1e-9)
    monkeypatch.setattr(of_groups, "BLOCK_VALUES", 24)
    np.testing.assert_allclose(correlation_ratio(values, groups), ratio, rtol=1e-12)


def test_correlation_ratio_by_hand():
    group = np.array([True, True, False, False])
    values = np.array([[1, 0.1, 1, 1], [1, 0.1, 2, 2], [5, 0.1, 1, 3], [5, 0.1, 2, 4]])
    np.testing.assert_array_equal(correlation_ratio(values, group), [1, 0, 0, 4 / 5])
    for wrong in (np.ones(4, bool), np.zeros(4, bool)):
        with pytest.raises(NeuroglotError, match="inside and outside"):
            correlation_ratio(values, wrong)
    with pytest.raises(NeuroglotError, match="same rows"):
        correlation_ratio(values, group[:3])
    with pytest.raises(NeuroglotError, match="NaN"):
        correlation_ratio(values * np.nan, group)
