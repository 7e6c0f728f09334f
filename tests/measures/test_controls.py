"""Controls: random others, others that are alike, and comparisons with them, on planted neurons."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.measures import perplexity
from neuroglot.measures.controls import (
    CONTROLS,
    SETS,
    SHARES,
    controlled_sets,
    described,
    excess,
    random_like,
)
from neuroglot.measures.significance import STAR

RNG = np.random.default_rng


def masks(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A share of every layer's neurons of its own: none, few, half, most, all."""
    shares = np.resize([0, 0.1, 0.5, 0.8, 1], shape[-2])[:, None]
    return RNG(seed).random(shape) < shares


class TestRandomLike:
    def test_others_are_as_many_while_there_are_any_and_never_the_chosen(self):
        neurons = masks((7, 5, 40))
        control = random_like(neurons, 3, range(7))
        counts = neurons.sum(-1)
        assert not (control & neurons).any()
        np.testing.assert_array_equal(control.sum(-1), np.minimum(counts, 40 - counts))
        np.testing.assert_array_equal(control, random_like(neurons, 3, range(7)))
        assert not np.array_equal(control, random_like(neurons, 4, range(7)))
        assert len({row.tobytes() for row in control[:, 1]}) == 7  # not one draw for all items

    def test_an_items_draw_does_not_depend_on_its_batch(self):
        neurons, order = masks((6, 5, 40)), np.array([4, 0, 3])
        whole = random_like(neurons, 1, range(6))
        np.testing.assert_array_equal(random_like(neurons[order], 1, order), whole[order])
        assert random_like(neurons[:0], 1, []).shape == (0, 5, 40)

    def test_every_other_neuron_is_as_likely(self):
        neurons = np.zeros((4000, 1, 8), bool)
        neurons[..., :2] = True
        often = random_like(neurons, 0, range(4000)).mean((0, 1))
        assert often[:2].tolist() == [0, 0]
        np.testing.assert_allclose(often[2:], 2 / 6, atol=0.04)

    def test_a_layer_is_no_wider_than_it_is(self):
        chosen = np.zeros((1, 2, 10), bool)
        chosen[:, :, :3] = True
        control = random_like(chosen, 0, [0], [10, 5])
        assert control.sum(-1).tolist() == [[3, 2]]
        assert not control[0, 1, 5:].any()


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One layer: 40 of 200 neurons fire often, every second of these is chosen; others are silent.

    A chosen neuron and the next one fire about as often and contribute about as much.
    """
    often = np.arange(200) < 40
    frequency = np.where(often, 0.6 + 0.004 * (np.arange(200) // 2), 0.0)[None]
    contribution = np.where(often, np.exp(RNG(1).normal(0, 1, 100)).repeat(2), 0.0)[None]
    return (often & (np.arange(200) % 2 == 0))[None], frequency, contribution


class TestControlledSets:
    def test_others_fire_as_often_and_random_ones_are_mostly_silent(self):
        chosen, frequency, contribution = planted()
        sets = controlled_sets(chosen, frequency, contribution, 3)
        about = described([sets], frequency[None], ["de"]).sel(language="de")
        firing = about["firing_frequency"].to_series()
        assert firing["active"] == pytest.approx(firing["chosen"], abs=0.01)
        assert firing["random"] < 0.3 * firing["chosen"]
        assert about["neurons"].sel(variant=["active", "random"]).values.tolist() == [20, 20]
        assert about["active_share"] == 1

    def test_no_control_has_chosen_neurons_and_partners_contribute_alike(self):
        chosen, frequency, contribution = planted()
        sets = controlled_sets(chosen, frequency, contribution, 3)
        for name in ("active", "partner", "random"):
            assert not any((mask & chosen).any() for mask in sets.draws[name])
        [matched], [partner] = sets.draws["matched"], sets.draws["partner"]
        assert matched.sum() == partner.sum()
        assert (matched <= chosen).all()
        logs = [np.sort(np.log(contribution[mask])) for mask in (matched, partner)]
        assert np.abs(logs[0].mean() - logs[1].mean()) < 0.2 * np.log(contribution[0, :40]).std()
        assert sets.shares["matched_share"] == matched.sum() / 20
        share = contribution[matched].sum() / contribution[chosen].sum()
        assert sets.shares["matched_contribution"] == pytest.approx(share)

    def test_neurons_without_others_like_them(self):
        """All that fire are chosen: no other fires as often, and none contributes."""
        _, frequency, contribution = planted()
        sets = controlled_sets(frequency > 0, frequency, contribution, 1)
        assert [*sets.shares.values()] == [0, 0, 0]
        assert not sets.draws["active"][0].any()
        none = controlled_sets(np.zeros((1, 200), bool), frequency, contribution, 1)
        assert np.isnan([*none.shares.values()]).all()


class TestExcess:
    def values(self) -> xr.DataArray:
        numbers = np.arange(10.0).reshape(5, 2) ** 2
        return xr.DataArray(numbers, {"variant": [*SETS], "language": ["en", "de"]})

    def shares(self, **of: list[float]) -> xr.Dataset:
        every = {name: ("language", of.get(name, [1.0, 1.0])) for name in SHARES}
        return xr.Dataset(every, {"language": ["en", "de"]})

    def test_differences_by_hand(self):
        found = excess(self.values(), self.shares())
        assert [*found["control"].values] == [*CONTROLS]
        for control, (chosen, others) in CONTROLS.items():
            expected = self.values().sel(variant=chosen) - self.values().sel(variant=others)
            np.testing.assert_array_equal(found.sel(control=control), expected)

    def test_too_few_alike_is_no_number(self):
        shares = self.shares(matched_contribution=[0.79, 0.8], active_share=[1.0, 0.5])
        told = excess(self.values(), shares).notnull()
        assert told.sel(control="contribution").values.tolist() == [False, True]
        assert told.sel(control="activity").values.tolist() == [True, False]
        assert told.sel(control="naive").all()


class TestPlantedEffects:
    """Losses of 12 segments rise by the sum of what the removed neurons that fire do."""

    def starred(self, matters: np.ndarray) -> dict[str, bool]:
        """Controls against which the chosen neurons of ``planted`` do significantly more.

        Args:
            matters: what the removal of each neuron adds to the loss, [neuron].
        """
        chosen, frequency, contribution = planted()
        shares, changes = [], []
        for seed in range(2):  # two languages
            sets = controlled_sets(chosen, frequency, contribution, 1)
            shares.append(sets.shares)
            effect = [float(matters[sets.draws[name][0][0]].sum()) for name in SETS]
            changes.append(np.array(effect)[:, None] + RNG(seed).normal(0, 0.5, (5, 12)))
        names = {"variant": [*SETS], "language": ["en", "de"]}
        change = xr.DataArray(np.stack(changes, 1), names, ("variant", "language", "item"))
        by_language = xr.Dataset(
            {name: ("language", [share[name] for share in shares]) for name in SHARES},
            {"language": ["en", "de"]},
        )
        found = perplexity.tested(excess(change, by_language))
        star = (found["excess_p_value"] < STAR) & (found["excess"] > 0)
        return {name: bool(star.sel(control=name).all()) for name in CONTROLS}

    def test_the_naive_control_flatters_neurons_that_only_fire(self) -> None:
        """All that fire matter alike; most random ones are silent, and do nothing."""
        _, frequency, _ = planted()
        found = self.starred(0.1 * (frequency[0] > 0))
        assert found == {"activity": False, "contribution": False, "naive": True}

    def test_neurons_that_matter_more_than_others_that_fire(self) -> None:
        """The others fire and contribute as much, but do nothing to the loss."""
        chosen, _, _ = planted()
        found = self.starred(0.1 * chosen[0])
        assert found == {"activity": True, "contribution": True, "naive": True}
