"""Random controls: as many in every layer, of the right ones, and always the same draws."""

import numpy as np
import pytest

from neuroglot.measures.controls import matched_random, random_like


def masks(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A share of every layer's neurons of its own: none, few, half, most, all."""
    shares = np.resize([0, 0.1, 0.5, 0.8, 1], shape[-2])[:, None]
    return np.random.default_rng(seed).random(shape) < shares


def drawn(own: np.ndarray, seed: int, pool: str) -> np.ndarray:
    return matched_random(own, np.random.default_rng(seed), pool)


def test_others_are_as_many_but_others():
    own = masks((3, 40))
    control = drawn(own, 3, "others")
    assert own.any()
    assert control.dtype == bool
    assert control.shape == own.shape
    assert not (control & own).any()
    assert (control.sum(1) == own.sum(1)).all()
    np.testing.assert_array_equal(control, drawn(own, 3, "others"))
    assert not np.array_equal(control, drawn(own, 4, "others"))


def test_others_are_each_reached_and_run_out():
    own = np.array([[True, False, False, False], [True, True, True, False]])
    often = sum(drawn(own, seed, "others").astype(int) for seed in range(100))
    assert (often[0, 1:] > 15).all()
    assert often[1].tolist() == [0, 0, 0, 100], "one other neuron for three of its own"


def test_all_are_as_many_and_as_likely():
    own = masks((5, 12))
    often = np.zeros(own.shape)
    for seed in range(2000):
        control = drawn(own, seed, "all")
        np.testing.assert_array_equal(control.sum(1), own.sum(1))
        often += control / 2000
    np.testing.assert_allclose(often, own.mean(1, keepdims=True) + 0 * often, atol=0.05)


def test_as_many_random_neurons_and_others_while_there_are_any():
    neurons = masks((7, 5, 40))
    control = random_like(neurons, 3, range(7))
    counts = neurons.sum(-1)
    np.testing.assert_array_equal(control.sum(-1), counts)
    np.testing.assert_array_equal((control & neurons).sum(-1), np.maximum(0, 2 * counts - 40))
    np.testing.assert_array_equal(control, random_like(neurons, 3, range(7)))
    assert not np.array_equal(control, random_like(neurons, 4, range(7)))
    assert len({row.tobytes() for row in control[:, 1]}) == 7  # not one draw for all items


def test_an_items_draw_does_not_depend_on_its_batch():
    neurons = masks((6, 5, 40))
    whole = random_like(neurons, 1, range(6))
    order = np.array([4, 0, 3])
    np.testing.assert_array_equal(random_like(neurons[order], 1, order), whole[order])
    assert random_like(neurons[:0], 1, []).shape == (0, 5, 40)


def test_every_other_neuron_is_as_likely():
    neurons = np.zeros((4000, 1, 8), bool)
    neurons[..., :2] = True
    often = random_like(neurons, 0, range(4000)).mean((0, 1))
    assert often[:2].tolist() == [0, 0]
    np.testing.assert_allclose(often[2:], 2 / 6, atol=0.04)


@pytest.mark.parametrize("width", [5, 40, 3000])
def test_published_controls_are_drawn_again(width):
    """A seed means the same neurons in every version, so that results can be compared."""
    own = masks((6, width), seed=1)
    generator = np.random.default_rng(7)
    others = np.zeros_like(own)
    for layer, mine in zip(others, own, strict=True):
        left = np.flatnonzero(~mine)
        layer[generator.choice(left, min(mine.sum(), len(left)), replace=False)] = True
    np.testing.assert_array_equal(drawn(own, 7, "others"), others)
    shuffled = np.random.default_rng(7).permuted(own, axis=1)
    np.testing.assert_array_equal(drawn(own, 7, "all"), shuffled)
    ranked = np.argsort(np.random.default_rng([7, 4000000000]).random(own.shape) + own, axis=1)
    first = np.zeros_like(own)
    for layer, order, mine in zip(first, ranked, own, strict=True):
        layer[order[: mine.sum()]] = True
    np.testing.assert_array_equal(random_like(own[None], 7, np.array([4000000000]))[0], first)
