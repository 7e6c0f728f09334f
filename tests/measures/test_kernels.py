"""The per-row kernels against loops written from the paper, on numpy and torch alike."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from support.arrays import BACKENDS, back, on

INTEGERS = {"count", "argmax_count"}


def normal(rows: int, width: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(dtype)


def slow_flatness(row: np.ndarray) -> float:
    """Equations 2 and 3, literally."""
    values = [float(value) for value in row]
    low, high = min(values), max(values)
    total = 0.0
    for value in values:
        scaled = (value - low) / (high - low) if high > low else 0.0
        if scaled > 0:
            total -= scaled * math.log2(scaled)
    return total / len(values)


def slow_statistics(x: np.ndarray) -> dict[str, Any]:
    width = x.shape[1]
    result: dict[str, Any] = {
        "count": [0] * width,
        "sum": [0.0] * width,
        "sum_of_squares": [0.0] * width,
        "argmax_count": [0] * width,
        "flatness_sum": 0.0,
    }
    for row in x:
        for neuron, value in enumerate(row):
            result["count"][neuron] += int(value != 0)
            result["sum"][neuron] += float(value)
            result["sum_of_squares"][neuron] += float(value) ** 2
        result["argmax_count"][list(row).index(max(row))] += 1
        result["flatness_sum"] += slow_flatness(row)
    return result


def assert_same_statistics(found: dict, expected: dict, rtol: float = 1e-12) -> None:
    assert found.keys() == expected.keys()
    for key in expected:
        a, b = back(found[key]), back(expected[key])
        if key in INTEGERS:
            np.testing.assert_array_equal(a, b, err_msg=key)
        else:
            scale = float(np.max(np.abs(b), initial=1e-300))
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=key)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rules(backend):
    x = on(backend, np.array([[-1.0, -0.0, 0.0, 1e-45, 0.5, 2.0]], dtype="float32"))
    assert back(kernels.fires(x, "nonzero")).tolist() == [[True, False, False, True, True, True]]
    assert back(kernels.fires(x, "positive")).tolist() == [[False, False, False, True, True, True]]
    assert back(kernels.fires(x, "above", 0.5)).tolist() == [[False] * 5 + [True]]
    with pytest.raises(NeuroglotError, match="did you mean 'positive'"):
        kernels.fires(x, "postive")


def test_threshold_is_not_rounded_to_half_precision():
    half = torch.tensor([[0.1001]], dtype=torch.bfloat16)  # stored as 0.10009765625
    assert kernels.fires(half, "above", 0.1).item()


@pytest.mark.parametrize("backend", BACKENDS)
def test_flatness_by_hand(backend):
    rows = np.array([[0, 0.5, 1], [-4, 0, 4], [7, 7, 7], [0, 0, 1]], dtype="float32")
    found = back(kernels.flatness(on(backend, rows)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [0.5 / 3, 0.5 / 3, 0, 0], atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_scale_by_hand(backend):
    rows = np.array([[2, 4, 3], [5, 5, 5]], dtype="float32")
    x = on(backend, rows.copy())
    assert back(kernels.scale(x)).tolist() == [[0, 1, 0.5], [0, 0, 0]]
    assert back(x).tolist() == rows.tolist(), "the input is left alone"


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(-100, 100, width=32),
    )
)
@settings(max_examples=60, deadline=None)
def test_flatness_is_the_papers(x):
    expected = [slow_flatness(row) for row in x]
    np.testing.assert_allclose(kernels.flatness(x), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        kernels.flatness(torch.from_numpy(x)).numpy(), expected, rtol=1e-9, atol=1e-12
    )


def test_flatness_ignores_shift_and_positive_factor():
    x = normal(5, 33, dtype="float64")
    np.testing.assert_allclose(kernels.flatness(3.5 * x - 8), kernels.flatness(x), rtol=1e-12)


def test_peaked_rows_are_less_flat_than_uniform_ones():
    uniform = np.random.default_rng(0).uniform(size=(4, 500))
    peaked = uniform * 0.01
    peaked[:, 7] = 1
    assert (kernels.flatness(peaked) < 0.2 * kernels.flatness(uniform)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_gelu(backend):
    x = np.linspace(-12, 12, 4801, dtype="float32")[None]
    found = back(kernels.gelu(on(backend, x)))
    assert found.dtype == np.float32
    exact = [value * 0.5 * math.erfc(-value / math.sqrt(2)) for value in x[0].astype("float64")]
    np.testing.assert_allclose(found[0], exact, rtol=1e-6, atol=2e-6)
    silent = ~back(kernels.fires(on(backend, found), "nonzero"))[0]
    expected = (x[0] < -5.5426) | (x[0] == 0)
    np.testing.assert_array_equal(silent, expected, "the published combinators' zeros")


@pytest.mark.parametrize("backend", BACKENDS)
def test_gelu_is_zero_up_to_silent(backend):
    silent = np.float32(kernels.SILENT)
    x = np.array([[-6, np.nextafter(silent, np.float32(-9)), silent, np.nextafter(silent, 0)]])
    found = back(kernels.gelu(on(backend, x.astype(np.float32))))
    assert (found != 0).tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(
    ("rule", "threshold"), [("nonzero", 0), ("positive", 0), ("above", -0.1), ("above", 0.4)]
)
def test_counts_by_fold_are_those_of_the_rows(backend, zeros, rule, threshold, monkeypatch):
    monkeypatch.setattr(kernels, "CPU_BLOCK", 500)
    x = normal(37, 50) * 4
    if zeros:
        x[3], x[:, 5], x[7, 1] = 0, 0, -0.0
        silent = np.float32(kernels.SILENT)
        x[:6, 9] = [silent, np.nextafter(silent, 0), 1.4e-45, -1.4e-45, 2.8e-45, -2.8e-45]
    fold = np.arange(37) % 3
    folds = on(backend, np.eye(3, dtype=np.float32)[:, fold])
    for count, values in (
        (kernels.fire_count_by_fold, x),
        (kernels.gelu_count_by_fold, kernels.gelu(x)),
    ):
        found = back(count(on(backend, x), folds, rule, threshold))
        fired = kernels.fires(values, rule, threshold)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, [fired[fold == one].sum(0) for one in range(3)])


def test_gelu_of_wider_and_narrower_types_is_float32s():
    x = np.array([[-8.0, -6.0, -5.0, 1.0]])
    for dtype in ("float16", "float32", "float64"):
        assert (kernels.gelu(x.astype(dtype)) != 0).tolist() == [[False, False, True, True]]


def test_gelu_agrees_with_torchs():
    x = torch.from_numpy(normal(50, 700) * 2)
    torch.testing.assert_close(kernels.gelu(x), torch.nn.functional.gelu(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_statistics_against_loops(backend):
    x = normal(23, 9)
    x[4] = 0
    x[:, 3] *= x[:, 3] > 0
    found = kernels.row_statistics(on(backend, x), "nonzero")
    assert_same_statistics(found, slow_statistics(x), rtol=1e-6)
    for key, value in found.items():
        expected = np.int64 if key in INTEGERS else np.float64
        assert back(value).dtype == expected, key
    np.testing.assert_allclose(
        back(found["sum"]), x.astype("float64").sum(0), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("backend", BACKENDS)
@given(data=st.data(), dtype=st.sampled_from(["float16", "float32", "float64"]))
@settings(max_examples=25, deadline=None)
def test_statistics_of_parts_add_up(backend, data, dtype):
    rows, width = data.draw(st.integers(0, 40)), data.draw(st.integers(1, 70))
    x = normal(rows, width, seed=rows, dtype=dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=5)))
    whole = kernels.row_statistics(on(backend, x), "positive")
    parts = [kernels.row_statistics(on(backend, part), "positive") for part in np.split(x, cuts)]
    merged = {key: sum(back(part[key]) for part in parts) for key in whole}
    assert_same_statistics(merged, whole)


@pytest.mark.parametrize("width", [1, 7, 640, 2048])
def test_numpy_and_torch_agree(width):
    x = normal(60, width, seed=width) * 3
    a = kernels.row_statistics(x, "above", 0.3)
    b = kernels.row_statistics(torch.from_numpy(x), "above", 0.3)
    flat = {"flatness_sum"}  # two libraries' float32 logarithms
    assert_same_statistics({k: a[k] for k in a.keys() - flat}, {k: b[k] for k in b.keys() - flat})
    np.testing.assert_allclose(float(a["flatness_sum"]), float(b["flatness_sum"]), rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_blocks_change_nothing(backend, monkeypatch):
    x = normal(37, 50)
    whole = kernels.row_statistics(on(backend, x), "positive")
    folds = np.eye(3, dtype=np.float32)[:, np.arange(37) % 3]
    counted = (on(backend, x), on(backend, folds), "positive")
    count, activated = kernels.fire_count_by_fold(*counted), kernels.gelu(on(backend, x))
    monkeypatch.setattr(kernels, "CPU_BLOCK", 120)
    monkeypatch.setattr(kernels, "DEVICE_BLOCK", 120)
    assert_same_statistics(kernels.row_statistics(on(backend, x), "positive"), whole)
    np.testing.assert_array_equal(back(count).sum(axis=0), back(whole["count"]))
    np.testing.assert_array_equal(back(kernels.fire_count_by_fold(*counted)), back(count))
    np.testing.assert_array_equal(back(kernels.gelu(on(backend, x))), back(activated))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_first(dtype):
    x = (torch.from_numpy(normal(3000, 40)) + 100).to(dtype)  # a float16 sum would overflow
    found = kernels.row_statistics(x, "nonzero")
    expected = kernels.row_statistics(x.float(), "nonzero")
    assert_same_statistics(found, expected)
    assert found["sum"].min() > 65504


def test_long_sums_do_not_drift():
    x = np.full((200_000, 1), 0.1, dtype="float32")
    exact = 200_000 * float(np.float32(0.1))
    assert kernels.row_statistics(x, "nonzero")["sum"][0] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_of_equal_maxima_is_counted(backend):
    x = on(backend, np.array([[1, 3, 3], [0, 0, 0], [0, 0, 2]], dtype="float32"))
    found = kernels.row_statistics(x, "nonzero")
    assert back(found["argmax_count"]).tolist() == [1, 1, 1]
    assert back(found["count"]).tolist() == [1, 1, 2]


def test_input_is_left_alone():
    for dtype in ("float32", "float64"):
        x = normal(6, 5, dtype=dtype)
        before = x.copy()
        kernels.row_statistics(x, "nonzero")
        kernels.row_statistics(torch.from_numpy(x), "nonzero")
        kernels.gelu(x)
        np.testing.assert_array_equal(x, before)


def test_wrong_shape_is_named():
    with pytest.raises(NeuroglotError, match=r"\[row, width\], found \(2, 3, 4\)"):
        kernels.row_statistics(np.zeros((2, 3, 4)), "nonzero")
