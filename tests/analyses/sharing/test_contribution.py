"""Contributions and effective scores: loops from the equations, by hand, and invariances."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroglot.analyses.sharing.measures import effective as module
from neuroglot.analyses.sharing.measures.contribution import (
    contribution,
    contribution_by_item,
    contributions_bounded,
    mean_by_kind,
    sum_by_kind,
    top_composition,
)
from neuroglot.analyses.sharing.measures.effective import (
    effective_score,
    score_statistics,
    scores_bounded,
)
from neuroglot.analyses.sharing.measures.kinds import KINDS, KindBits, kinds, pack
from neuroglot.errors import NeuroglotError


def drawn(items: int = 4, neurons: int = 21, hidden: int = 6, seed: int = 0):
    """Activations [item, neuron], values [hidden, neuron] and rows [item, hidden], float32."""
    generator = np.random.default_rng(seed)
    shapes = ((items, neurons), (hidden, neurons), (items, hidden))
    return [generator.normal(size=shape).astype(np.float32) for shape in shapes]


def some_kinds(items: int = 4, neurons: int = 21, seed: int = 0, languages: int = 3) -> KindBits:
    active = np.random.default_rng(seed).random((languages, items, neurons)) < 0.5
    return kinds(map(pack, active), neurons)


def from_numbers(number: list[list[int]]) -> KindBits:
    """Kinds by their place in KINDS, [item, neuron]."""
    kind = np.array(number)
    return KindBits(kind.shape[-1], *(pack(kind == i) for i in range(len(KINDS))))


def averages(share: np.ndarray, found: KindBits, fraction: float = 0.05) -> xr.Dataset:
    """Means over items of one layer and language, [kind]."""
    by_item = contribution_by_item(share, found, fraction)
    by_item = by_item.expand_dims(layer=1, language=["en"])
    facts = [f"f{item}" for item in range(len(share))]
    return contributions_bounded(by_item, facts, 10).isel(layer=0, language=0)


def norms_of(values: np.ndarray) -> np.ndarray:
    return np.linalg.norm(values.astype(np.float64), axis=0)


def test_contribution_by_hand():
    act = np.array([[1, -2, 0], [0, 0, -5]], np.float32)
    values = np.array([[3, 0, 1], [4, 2.5, 1]], np.float32)  # norms 5, 2.5 and √2
    share = contribution(act, norms_of(values))
    np.testing.assert_array_equal(share, [[0.5, 0.5, 0], [0, 0, 1]])
    assert share.dtype == np.float64


def test_contribution_is_equation_3():
    act, values, _ = drawn()
    share = contribution(act, norms_of(values))
    for item in range(len(act)):
        weights = [
            abs(float(act[item, i])) * sum(float(v) ** 2 for v in values[:, i]) ** 0.5
            for i in range(act.shape[1])
        ]
        np.testing.assert_allclose(share[item], np.array(weights) / sum(weights), rtol=1e-13)
    np.testing.assert_allclose(share.sum(axis=-1), 1, rtol=1e-14)
    layers = np.stack([act, 3 * act], axis=1)  # [item, layer, neuron]; a scale cancels out
    np.testing.assert_allclose(contribution(layers, norms_of(values))[:, 1], share, rtol=1e-6)


def slow_by_kind(share: np.ndarray, found: KindBits, fraction: float):
    """Top composition, mean and sum of each item, in loops."""
    neurons = share.shape[1]
    count = next(k for k in range(1, neurons + 1) if k >= fraction * neurons - 1e-9)
    top = np.zeros((len(share), len(KINDS)))
    mean, total = np.full_like(top, np.nan), np.zeros_like(top)
    for item, row in enumerate(share):
        highest = sorted(range(neurons), key=lambda i: (-row[i], i))[:count]
        for k, kind in enumerate(KINDS):
            mine = [i for i in range(neurons) if found.mask(kind)[item, i]]
            top[item, k] = len(set(highest) & set(mine)) / count
            total[item, k] = sum(row[i] for i in mine)
            if mine:
                mean[item, k] = total[item, k] / len(mine)
    return top, mean, total


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.sampled_from([0.05, 0.1, 0.5, 1]), st.data())
def test_kinds_against_loops(items, neurons, fraction, data):
    seed = data.draw(st.integers(0, 1000))
    act = np.random.default_rng(seed).integers(-2, 3, (items, neurons)).astype(np.float32)
    act[:, 0] += 0.5  # never silent; ties are many
    share = contribution(act, np.ones(neurons))
    found = some_kinds(items, neurons, seed)
    top, mean, total = slow_by_kind(share, found, fraction)
    np.testing.assert_array_equal(top_composition(share, found, fraction), top)
    np.testing.assert_allclose(mean_by_kind(share, found), mean, rtol=1e-13)
    np.testing.assert_allclose(sum_by_kind(share, found), total, rtol=1e-13, atol=1e-16)
    averaged = averages(share, found, fraction)
    for k, kind in enumerate(KINDS):
        have = [m for m in mean[:, k] if not np.isnan(m)]
        one = averaged.sel(kind=kind)
        assert float(one["top_share"]) == pytest.approx(top[:, k].mean(), rel=1e-13)
        assert float(one["sum"]) == pytest.approx(total[:, k].mean(), rel=1e-13)
        expected = sum(have) / len(have) if have else np.nan
        assert float(one["mean"]) == pytest.approx(expected, rel=1e-13, nan_ok=True)


def test_layers_at_once_are_layers_one_by_one():
    share = contribution(np.stack([drawn(seed=s)[0] for s in range(3)], axis=1), np.ones(21))
    found = KindBits(
        21, *(np.stack([some_kinds(seed=s).bits(k) for s in range(3)], 1) for k in KINDS)
    )
    for measure in (top_composition, mean_by_kind, sum_by_kind):
        together = measure(share, found)
        assert together.shape == (4, 3, 4)
        for layer in range(3):
            np.testing.assert_array_equal(
                together[:, layer], measure(share[:, layer], found[:, layer])
            )


def test_ties_go_to_the_lower_index_and_the_top_is_rounded_up():
    share = np.full((1, 30), 1 / 30)
    found = from_numbers([[0, 3, *[1] * 28]])
    # ceil(0.05 * 30) = 2: the neurons 0 and 1
    assert top_composition(share, found).tolist() == [[0.5, 0, 0, 0.5]]
    hundred = from_numbers([[0] * 7 + [3] * 93])
    assert top_composition(np.full((1, 100), 0.01), hundred, 0.07).tolist() == [[1, 0, 0, 0]]


def test_planted_contributors_are_found():
    act, values, _ = drawn(items=3, neurons=100)
    act[:, [4, 50, 51, 98, 99]] = -1000
    number = np.zeros((3, 100), int)
    number[:, [4, 50, 51, 98]] = 1
    number[:, 99] = 2
    share = contribution(act, norms_of(values))
    averaged = averages(share, from_numbers(number.tolist()))
    assert averaged["top_share"].values.tolist() == pytest.approx([0, 0.8, 0.2, 0])
    assert averaged["sum"].sel(kind=["partial_shared", "specific"]).sum() > 0.95
    assert averaged["kind"].values.tolist() == list(KINDS)
    assert all(averaged[name].attrs["units"] for name in ("top_share", "mean", "sum"))


def test_kinds_without_neurons_and_silent_layers():
    share = contribution(np.array([[1, 3, 0], [0, 0, 0]], np.float32), np.ones(3))
    assert np.isnan(share[1]).all()
    found = from_numbers([[0, 0, 3], [0, 1, 3]])
    np.testing.assert_array_equal(sum_by_kind(share, found), [[1, 0, 0, 0], [np.nan] * 4])
    np.testing.assert_array_equal(
        mean_by_kind(share, found), [[0.5, np.nan, np.nan, 0], [np.nan] * 4]
    )
    averaged = averages(share, found)
    assert averaged["sum"].values.tolist() == [1, 0, 0, 0]
    assert averaged["top_share"].values.tolist() == [1, 0, 0, 0]
    np.testing.assert_array_equal(averaged["mean"], [0.5, np.nan, np.nan, 0])
    silent = averages(share[1:], found[1:])
    assert all(silent[name].isnull().all() for name in silent)


def test_effective_score_is_a_vector_per_neuron():
    act, values, rows = drawn(items=5, neurons=30)
    rows[3] = rows[1]  # two items with the same gold token
    score = effective_score(act, rows, values, np.ones(len(act)))
    assert score.dtype == np.float64
    for item in range(5):
        for i in range(30):
            vector = [float(act[item, i]) * float(v) for v in values[:, i]]
            expected = sum(float(e) * v for e, v in zip(rows[item], vector, strict=True))
            assert score[item, i] == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_effective_scores_of_blocks_and_of_single_items(monkeypatch):
    act, values, rows = drawn(items=5, neurons=30)
    whole = effective_score(act, rows, values, np.ones(len(act)))
    one_by_one = [
        effective_score(act[i : i + 1], rows[i : i + 1], values, np.ones(1))[0] for i in range(5)
    ]
    np.testing.assert_allclose(one_by_one, whole, rtol=1e-12)
    monkeypatch.setattr(module, "BLOCK_VALUES", 40)
    np.testing.assert_allclose(
        effective_score(act, rows, values, np.ones(len(act))), whole, rtol=1e-12
    )


def test_scores_add_up_to_the_ffns_logit():
    act, values, rows = drawn()
    logits = np.einsum("ih,hn,in->i", *(x.astype(np.float64) for x in (rows, values, act)))
    np.testing.assert_allclose(
        effective_score(act, rows, values, np.ones(len(act))).sum(axis=1), logits, rtol=1e-12
    )


def summary(layers: list[xr.Dataset]) -> xr.Dataset:
    """``max``, ``min`` and ``mean`` of one language over layers."""
    labelled = [layer.assign_coords(item=range(layer.sizes["item"])) for layer in layers]
    facts = [f"f{item}" for item in range(layers[0].sizes["item"])]
    data = scores_bounded({"en": labelled}, facts, 10)
    return data[["max", "min", "mean"]].isel(language=0)


def test_statistics_by_hand():
    score = np.array([[1.0, -2, 5], [0.5, 4, -6]])
    found = score_statistics(score, from_numbers([[0, 0, 3], [0, 1, 3]]))
    assert found["count"].values.tolist() == [[2, 0, 0, 1], [1, 1, 0, 1]]
    assert found["sum"].values.tolist() == [[-1, 0, 0, 5], [0.5, 4, 0, -6]]
    nan = np.nan
    np.testing.assert_array_equal(found["max"], [[1, nan, nan, 5], [0.5, 4, nan, -6]])
    np.testing.assert_array_equal(found["min"], [[-2, nan, nan, 5], [0.5, 4, nan, -6]])
    shown = summary([found])
    np.testing.assert_array_equal(shown["max"], [1, 4, np.nan, 5])
    np.testing.assert_array_equal(shown["min"], [-2, 4, np.nan, -6])
    np.testing.assert_allclose(shown["mean"], [-0.5 / 3, 4, np.nan, -0.5], rtol=1e-15)
    assert shown["mean"].attrs["units"] == "logits before the final norm"


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 16), st.integers(0, 100))
def test_statistics_of_layers_add_up_to_those_of_all(cut, seed):
    score = np.random.default_rng(seed).normal(size=(6, 17))
    number = np.random.default_rng(seed).integers(0, 4, (6, 17))
    found = from_numbers(number.tolist())
    edges = [0, cut, 17]
    parts = [
        score_statistics(score[:, a:b], from_numbers(number[:, a:b].tolist()))
        for a, b in pairwise(edges)
    ]
    whole = score_statistics(score, found)
    xr.testing.assert_allclose(summary(parts), summary([whole]), rtol=1e-12)
    for k, kind in enumerate(KINDS):
        mask = found.mask(kind)
        for item in range(6):
            pairs = [score[item, n] for n in np.flatnonzero(mask[item])]
            of_item = whole.isel(item=item, kind=k)
            assert of_item["count"] == len(pairs)
            assert of_item["sum"] == pytest.approx(sum(pairs), abs=1e-12)
            np.testing.assert_equal(of_item["max"].item(), max(pairs, default=np.nan))
            np.testing.assert_equal(of_item["min"].item(), min(pairs, default=np.nan))
        assert whole["total"][k] == pytest.approx(score[mask].sum(), abs=1e-12)


def test_activations_that_are_not_finite_are_an_error():
    act, values, rows = drawn()
    broken = np.where(act == act[0, 0], np.inf, act)
    for measure in (
        lambda: contribution(broken, norms_of(values)),
        lambda: effective_score(broken, rows, values, np.ones(len(act))),
    ):
        with pytest.raises(NeuroglotError, match="NaN or infinite"):
            measure()
