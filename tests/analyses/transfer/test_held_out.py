"""Neurons that were chosen on noise show no effect on held-out segments; planted ones do."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.transfer.measures.correlation import (
    group_ratios,
    language_groups,
    mean_ratios,
)
from neuroglot.analyses.transfer.measures.latent import parallel_similarity
from neuroglot.analyses.transfer.measures.lists import HALVES, PARTS, listed, ranked
from neuroglot.analyses.transfer.measures.transfer import shared_centroid, transfer_score
from neuroglot.analyses.transfer.states import halves

LANGUAGES = ("en", "de", "hi")
SEGMENTS, HIDDEN, NEURONS, LISTED = 16, 24, 400, 8
PLANTED = (3, 5)


class World:
    """One layer of Type 1: activations are noise, apart from planted neurons in German.

    Both of these write what German segments have in common with English ones.
    """

    def __init__(self, seed: int, planted: bool = False) -> None:
        generator = np.random.default_rng(seed)
        self.values = generator.normal(size=(HIDDEN, NEURONS))
        self.act = {one: generator.normal(size=(SEGMENTS, NEURONS)) for one in LANGUAGES}
        self.mid = {one: generator.normal(size=(SEGMENTS, HIDDEN)) for one in LANGUAGES}
        if planted:
            shared = generator.normal(size=HIDDEN)
            self.mid["en"] += 6 * shared
            self.values[:, PLANTED] = shared[:, None]
            self.act["de"][:, PLANTED] += 6
        self.half = halves([f"s{i}" for i in range(SEGMENTS)])
        chosen_on = {part: self.half == part for part in HALVES} | {"all": np.ones(SEGMENTS, bool)}
        scores = np.stack([self.scores(chosen_on[part]) for part in PARTS])
        with_type2 = np.stack([scores, np.zeros_like(scores)], 1).astype(np.float32)
        self.lists = ranked({"de": with_type2}, 0.5, 1, LISTED)

    def states(self, language: str, without: np.ndarray | None = None) -> np.ndarray:
        act = self.act[language] * (1 if without is None else ~without)
        return self.mid[language] + act @ self.values.T

    def scores(self, rows: np.ndarray) -> np.ndarray:
        states = [self.states(one)[rows] for one in ("en", "de")]
        mid, act = self.mid["de"][rows], self.act["de"][rows]
        return transfer_score(mid, act, self.values, shared_centroid(*states))

    def ratios(self, rows: np.ndarray) -> np.ndarray:
        """η² of German, [grouping, language, layer, neuron]."""
        groups = language_groups(["de"], LANGUAGES, dict.fromkeys(LANGUAGES, "one"), rows.sum())
        act = np.concatenate([self.act[one][rows] for one in LANGUAGES])
        ratio = group_ratios(act, groups)[:, :, None]
        return np.concatenate([ratio, np.zeros_like(ratio)], 2)

    def held_out_ratio(self) -> float:
        """Mean η² of the Type 1 list as the step computes it."""
        described = self.lists.assign(
            active_share=(
                ("part", "language", "layer", "neuron"),
                np.full((3, 1, 2, NEURONS), 0.5),
            ),
            contribution=(("part", "language", "layer", "neuron"), np.ones((3, 1, 2, NEURONS))),
        )
        ratio = np.stack([self.ratios(self.half == half) for half in HALVES])
        found = mean_ratios(ratio, described, [LISTED], 1)["mean_ratio"]
        return float(found.sel(type="type1", grouping="language").item())

    def change(self, part: str, rows: np.ndarray) -> float:
        """Change of the parallel cosine without the neurons that a part of the segments chose."""
        mask = listed(self.lists, "type1", "de", part=part)[0]
        pivot = self.states("en")[rows]
        without, whole = (self.states("de", edit)[rows] for edit in (mask, None))
        return float(
            (parallel_similarity(pivot, without) - parallel_similarity(pivot, whole)).mean()
        )

    def held_out_change(self) -> float:
        return float(np.mean([self.change(half, self.half != half) for half in HALVES]))


@pytest.fixture(scope="module")
def noise() -> list[World]:
    return [World(seed) for seed in range(40)]


def test_noise_has_ratios_of_chance_on_held_out_segments(noise: list[World]) -> None:
    """On the segments that chose them, the same neurons seem to tell German from others."""
    chance = 1 / (len(LANGUAGES) * SEGMENTS / 2 - 1)
    found = np.array([world.held_out_ratio() for world in noise])
    error = found.std() / np.sqrt(len(noise))
    assert abs(found.mean() - chance) < 3 * error
    everything = np.ones(SEGMENTS, bool)
    chosen = [listed(world.lists, "type1", "de") for world in noise]
    seen = [
        world.ratios(everything)[0, 0][mask].mean()
        for world, mask in zip(noise, chosen, strict=True)
    ]
    assert np.mean(seen) > 2 / (len(LANGUAGES) * SEGMENTS - 1)


def test_noise_changes_nothing_on_held_out_segments(noise: list[World]) -> None:
    found = np.array([world.held_out_change() for world in noise])
    error = found.std() / np.sqrt(len(noise))
    assert abs(found.mean()) < 3 * error
    seen = np.array([world.change("all", np.ones(SEGMENTS, bool)) for world in noise])
    assert seen.mean() < -3 * seen.std() / np.sqrt(len(noise))


def test_planted_neurons_show_their_effect() -> None:
    worlds = [World(seed, planted=True) for seed in range(10)]
    for world in worlds:
        for half in HALVES:
            assert listed(world.lists, "type1", "de", part=half)[0, list(PLANTED)].all()
        assert world.lists["halves_jaccard"].sel(type="type1").item() >= 2 / 14
    chance = 1 / (len(LANGUAGES) * SEGMENTS / 2 - 1)
    ratios, changes = zip(*((w.held_out_ratio(), w.held_out_change()) for w in worlds), strict=True)
    assert np.min(ratios) > 0.15 > 2 * chance, "a quarter of the list explains nearly all"
    assert np.max(changes) < -0.03


def test_halves_are_the_same_in_every_language_and_order() -> None:
    ids = [f"article-{i}" for i in range(13)]
    half = dict(zip(ids, halves(ids), strict=True))
    backwards = dict(zip(ids[::-1], halves(ids[::-1]), strict=True))
    assert half == backwards
    assert xr.DataArray(list(half.values())).isin(["first"]).sum() == 6
    assert [half[one] for one in ids] != ["first"] * 6 + ["second"] * 7
    assert len({half[one] for one in ids[::2]}) == 2, "not by place"
