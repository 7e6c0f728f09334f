"""Matched controls: against a slow reference, and on neurons whose effect is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroglot.measures.matching import (
    CALIPER,
    activity_matched,
    as_many,
    contribution_matched,
    drawn_like,
)

RNG = np.random.default_rng


def greedy(chosen, contribution, caliper):
    """The closest pair of all, then the closest of the rest, by looking at every pair."""
    level = {i: float(np.log(c)) for i, c in enumerate(contribution) if c > 0}
    width = caliper * np.std([*level.values()] or [0])
    pairs = sorted(
        (abs(level[i] - level[j]), i, j)
        for i in level
        for j in level
        if chosen[i] and not chosen[j]
    )
    ours, others = set(), set()
    for distance, i, j in pairs:
        if distance <= width and i not in ours and j not in others:
            ours.add(i)
            others.add(j)
    return ours, others


class TestAsMany:
    def test_every_row_has_as_many_or_its_whole_pool(self):
        pool = RNG(0).random((3, 4, 50)) < 0.3
        count = RNG(1).integers(0, 25, (3, 4))
        drawn = as_many(pool, count, RNG(2))
        assert not (drawn & ~pool).any()
        assert (drawn.sum(-1) == np.minimum(count, pool.sum(-1))).all()

    def test_all_of_the_pool_are_drawn_equally_often(self):
        pool = np.arange(6) < 4
        drawn = [as_many(pool, np.array(2), generator) for generator in map(RNG, range(2000))]
        assert np.mean(drawn, axis=0) == pytest.approx([0.5] * 4 + [0] * 2, abs=0.05)


class TestDrawnLike:
    def test_a_silent_neuron_is_no_control(self):
        """Half of the layer is silent: a naive control would remove half as much."""
        active = np.tile(np.arange(100) < 50, (8, 2, 1))
        chosen = active & (np.arange(100) % 5 == 0)
        control = drawn_like(chosen, active & ~chosen, 0, range(8))
        assert (control.sum(-1) == 10).all()
        assert not (control & (chosen | ~active)).any()

    def test_a_shortage_is_not_filled_up_with_chosen_neurons(self):
        chosen = np.arange(10)[None, None] < 8
        control = drawn_like(chosen, ~chosen[0], 0, [3])
        assert control.tolist() == [[[False] * 8 + [True] * 2]]

    def test_an_items_draw_depends_on_its_number_alone(self):
        chosen = RNG(0).random((6, 3, 40)) < 0.3
        whole, order = drawn_like(chosen, ~chosen, 1, range(6)), [4, 0, 5]
        some = drawn_like(chosen[order], ~chosen[order], 1, order)
        assert (some == whole[order]).all()
        assert (drawn_like(chosen, ~chosen, 2, range(6)) != whole).any()


class TestAsOftenActive:
    def test_drawn_neurons_are_active_as_often(self):
        """Not the silent ones, which most of the others are."""
        share = np.repeat([[0, 0, 0, 0.5, 1]], 40, axis=1)
        chosen = np.zeros((1, 200), bool)
        chosen[0, [121, 130, 165]] = True
        drawn = activity_matched(chosen, share, RNG(0)).control
        assert np.sort(share[drawn]).tolist() == [0.5, 0.5, 1]
        assert not (drawn & chosen).any()

    def test_every_like_neuron_is_drawn_as_often(self):
        share = np.array([[0.5, 0.5, 0.5, 0.5, 0.58, 0.7]])
        chosen = np.array([[True, False, False, False, False, False]])
        draws = (activity_matched(chosen, share, RNG(seed)).control for seed in range(600))
        times = sum(drawn[0].astype(int) for drawn in draws)
        assert (abs(times[1:4] - 200) < 45).all()
        assert times[4:].tolist() == [0, 0], "farther than the closest"

    def test_neurons_without_like_others_are_left_out(self):
        share = np.array([[0.9, 0.9, 0.85, 0.1, np.nan]])
        chosen = np.array([[True, True, False, False, False]])
        pairs = activity_matched(chosen, share, RNG(0), widths=[4])
        assert pairs.control.tolist() == [[False] * 2 + [True] + [False] * 2]


class TestContributionMatched:
    @given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([0.05, CALIPER, 1.0]))
    def test_equals_the_closest_pairs_of_all(self, seed, neurons, caliper):
        contribution = np.exp(RNG(seed).normal(size=(2, neurons)))
        contribution[RNG(seed + 1).random((2, neurons)) < 0.2] = 0
        chosen = RNG(seed + 2).random((2, neurons)) < 0.4
        pairs = contribution_matched(chosen, contribution, caliper)
        for row in range(2):
            ours, others = greedy(chosen[row], contribution[row], caliper)
            assert set(np.flatnonzero(pairs.chosen[row])) == ours
            assert set(np.flatnonzero(pairs.control[row])) == others

    def test_both_sets_contribute_the_same_however_strong_the_chosen_are(self):
        """Chosen neurons contribute twice as much as others. Their partners contribute the same."""
        generator = RNG(0)
        chosen = generator.random((20, 2000)) < 0.15
        contribution = np.exp(generator.normal(size=chosen.shape)) * np.where(chosen, 2, 1)
        pairs = contribution_matched(chosen, contribution)
        assert not (pairs.control & chosen).any()
        assert not (pairs.chosen & ~chosen).any()
        assert (pairs.chosen.sum(-1) == pairs.control.sum(-1)).all()
        ours, theirs = ((mask * contribution).sum() for mask in pairs)
        assert ours / theirs == pytest.approx(1, abs=0.01)
        assert pairs.chosen.sum() > 0.95 * chosen.sum()

    def test_where_only_chosen_neurons_contribute_no_like_neurons_exist(self):
        chosen = np.arange(40)[None] < 20
        contribution = np.where(chosen, 100.0, 0.1) * np.exp(0.01 * RNG(0).normal(size=(1, 40)))
        pairs = contribution_matched(chosen, contribution)
        assert not pairs.chosen.any()
        assert not contribution_matched(chosen, np.where(chosen, 1.0, 0.0)).chosen.any()

    def test_the_unit_of_contribution_and_the_order_of_neurons_do_not_matter(self):
        chosen = RNG(0).random((3, 60)) < 0.3
        contribution = np.exp(RNG(1).normal(size=chosen.shape))
        pairs, order = contribution_matched(chosen, contribution), RNG(2).permutation(60)
        scaled = contribution_matched(chosen, contribution * 1024)
        turned = contribution_matched(chosen[:, order], contribution[:, order])
        for mask, of_scaled, of_turned in zip(pairs, scaled, turned, strict=True):
            assert (mask == of_scaled).all()
            assert (mask[:, order] == of_turned).all()


class TestActivityMatched:
    def greedy(self, chosen, frequency, caliper):
        """Pairs of distances, the closest first, by looking at every pair; no ties."""
        width, pairs = caliper * frequency.std(), []
        for i in np.flatnonzero(chosen):
            for j in np.flatnonzero(~chosen):
                pairs.append((abs(frequency[i] - frequency[j]), i, j))
        ours, others = set(), set()
        for distance, i, j in sorted(pairs):
            if distance <= width and i not in ours and j not in others:
                ours.add(i)
                others.add(j)
        return ours, others

    @pytest.mark.parametrize("seed", range(5))
    def test_pairs_are_the_closest_ones(self, seed):
        chosen, frequency = RNG(seed).random((1, 60)) < 0.3, RNG(seed + 9).beta(0.5, 1, (1, 60))
        pairs = activity_matched(chosen, frequency, RNG(0))
        found = tuple(set(np.flatnonzero(mask[0])) for mask in pairs)
        assert found == self.greedy(chosen[0], frequency[0], CALIPER)

    def test_silent_neurons_are_partners_of_silent_ones_only(self):
        frequency = np.repeat([0.0, 0.9], 50)[None]
        chosen = (np.arange(100) % 10 == 0)[None]
        pairs = activity_matched(chosen, frequency, RNG(0))
        assert pairs.chosen.sum() == 10
        assert pairs.control[0, :50].sum() == pairs.control[0, 50:].sum() == 5

    def test_neurons_beyond_a_layers_width_are_none(self):
        chosen, frequency = np.zeros((2, 8), bool), np.zeros((2, 8))
        chosen[:, :3] = True
        pairs = activity_matched(chosen, frequency, RNG(0), widths=[8, 4])
        assert pairs.control.sum(1).tolist() == [3, 1]
        assert not pairs.control[1, 4:].any()
