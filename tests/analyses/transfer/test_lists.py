"""Lists of transfer neurons by hand, and what is averaged over them and without them."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.transfer.measures.controls import DONE, controlled, variants_of
from neuroglot.analyses.transfer.measures.correlation import (
    GROUPINGS,
    LISTS,
    correlation_ratio,
    group_ratios,
    language_groups,
    mean_ratios,
)
from neuroglot.analyses.transfer.measures.deactivation import closeness_without
from neuroglot.analyses.transfer.measures.latent import (
    chance_overlap,
    closeness,
    nearest_neighbours,
    segment_mean,
)
from neuroglot.analyses.transfer.measures.lists import (
    HALVES,
    OTHER_HALF,
    by_layer,
    expected_jaccard,
    listed,
    ranked,
)
from neuroglot.analyses.transfer.measures.specific import lape_neurons, specificity
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import interval

SCORES = {  # [layer, neuron]; Type 1 is sought in the first two layers
    "de": np.array([[0.1, 0.5, 0.2], [0.9, 0.5, -0.1], [0.3, 0.4, 7.0]], np.float32),
    "es": np.array([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [0.6, 0.6, 0.5]], np.float32),
}


def in_parts(scores: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same scores on all segments and on the first half, and the opposite on the second."""
    return {language: np.stack([own, own, -own]) for language, own in scores.items()}


def lists(length: int = 2) -> xr.Dataset:
    return ranked(in_parts(SCORES), 0.5, 1, length)


def described(data: xr.Dataset, seed: int = 3) -> xr.Dataset:
    """Lists with what controls are matched by: random, and other in every part."""
    shape = (3, data.sizes["language"], data.sizes["layer"], data.sizes["neuron"])
    generator = np.random.default_rng(seed)
    dims = ("part", "language", "layer", "neuron")
    return data.assign(
        active_share=(dims, generator.integers(0, 4, shape) / 3),
        contribution=(dims, generator.lognormal(size=shape)),
    )


class TestLists:
    def test_a_fraction_is_of_the_types_own_candidates(self) -> None:
        """Of 40 neurons in Type 1's layers and 20 in Type 2's, and not of 60 for both."""
        scores = np.random.default_rng(0).normal(size=(3, 3, 20)).astype(np.float32)
        scores[:, 2, 15:] = np.nan  # padding neurons are none
        data = ranked({"de": scores}, 0.6, 0.1)
        assert data["list_length"].values.tolist() == [4, 2]
        assert [listed(data, name, "de").sum() for name in ("type1", "type2")] == [4, 2]
        assert ranked({"de": scores}, 0.6, 0.1, 3)["list_length"].values.tolist() == [3, 3]
        assert ranked({"de": scores}, 0.6, 1e-9)["list_length"].values.tolist() == [1, 1]

    def test_a_shorter_list_ends_before_the_longer(self) -> None:
        scores = np.random.default_rng(0).normal(size=(3, 3, 20)).astype(np.float32)
        data = ranked({"de": scores}, 0.6, 0.1)
        beyond = data.sel(type="type2", language="de").isel(rank=slice(2, None))
        assert (beyond["rank_layer"] == -1).all()
        assert (beyond["rank_neuron"] == -1).all()
        assert beyond["rank_score"].isnull().all()
        assert data["neurons"].sel(type="type2", language="de").values.tolist() == [0, 0, 2]
        assert sum(len(own) for own in by_layer(data)["type2"]["de"].values()) == 2

    def test_halves_have_lists_of_their_own(self) -> None:
        data = lists(1)
        assert np.argwhere(listed(data, "type1", "de", part="first")).tolist() == [[1, 0]]
        assert np.argwhere(listed(data, "type1", "de", part="second")).tolist() == [[1, 2]]
        assert data["halves_jaccard"].values.tolist() == [[0, 0], [0, 0]]
        both = ranked(in_parts(SCORES), 0.5, 1, 3)["halves_jaccard"]
        assert both.sel(type="type2").values.tolist() == [1, 1], "three of three neurons"
        longer = ranked(in_parts(SCORES), 0.5, 4 / 6)["halves_jaccard"]
        assert longer.sel(type="type1", language="de").item() == 2 / 6

    def test_chance_of_a_common_neuron(self) -> None:
        """All pairs of lists of 2 of 4 neurons: 1 equals, 4 share one of three, 1 shares none."""
        assert expected_jaccard(2, 4) == pytest.approx((1 + 4 / 3) / 6)

    def test_each_type_is_ranked_over_its_layers(self) -> None:
        data = lists()
        first = np.stack([data["rank_layer"][0], data["rank_neuron"][0]], axis=-1)
        assert first[0].tolist() == [[[1, 0], [0, 1]], [[0, 0], [0, 1]]]
        assert first[1].tolist() == [[[2, 2], [2, 1]], [[2, 0], [2, 1]]]
        np.testing.assert_array_equal(data["rank_score"][0, 0], np.float32([[0.9, 0.5], [3, 2]]))
        assert data["neurons"].values.tolist() == [
            [[1, 1, 0], [2, 0, 0]],
            [[0, 0, 2], [0, 0, 2]],
        ]
        assert data["rank"].values.tolist() == [1, 2]
        score = data["score"].sel(language="de")
        sought = score.notnull().all("neuron")
        np.testing.assert_array_equal(score[0, :2], SCORES["de"][:2])
        np.testing.assert_array_equal(score[1, 2:], SCORES["de"][2:])
        assert sought.values.tolist() == [[True, True, False], [False, False, True]]

    def test_more_than_there_are_cannot_be_listed(self) -> None:
        with pytest.raises(NeuroglotError, match="asks for 4 neurons, but 3"):
            lists(4)

    def test_the_first_of_a_list_are_marked(self) -> None:
        assert np.argwhere(listed(lists(), "type1", "de")).tolist() == [[0, 1], [1, 0]]
        assert np.argwhere(listed(lists(), "type1", "de", 1)).tolist() == [[1, 0]]
        assert np.argwhere(listed(lists(), "type2", "es", 1)).tolist() == [[2, 0]]

    def test_written_lists_name_every_layer_of_a_type(self) -> None:
        assert by_layer(lists()) == {
            "type1": {"de": {"1": [1], "2": [0]}, "es": {"1": [0, 1], "2": []}},
            "type2": {"de": {"3": [1, 2]}, "es": {"3": [0, 1]}},
        }


class TestGroups:
    def test_rows_are_of_a_language_and_of_its_family(self) -> None:
        family = {"en": "I", "de": "I", "fi": "U"}
        groups = language_groups(["de", "fi"], ["en", "fi", "de"], family, 2)
        assert groups.astype(int).tolist() == [
            [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]],
            [[1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]],
        ]

    def test_a_group_of_all_rows_has_no_ratio(self) -> None:
        values = np.random.default_rng(0).normal(size=(6, 4))
        groups = language_groups(["de", "en"], ["en", "de"], {"en": "I", "de": "I"}, 3)
        found = group_ratios(values, groups)
        np.testing.assert_array_equal(found[0], correlation_ratio(values, groups[0]))
        assert np.isnan(found[1]).all()

    def test_lists_are_judged_in_the_half_that_did_not_choose_them(self) -> None:
        """A half's ratios are 1 in what it listed itself, and 0.3 in what the other listed."""
        scores = np.random.default_rng(0).normal(size=(3, 20)).astype(np.float32)
        data = described(ranked(in_parts({"de": scores}), 0.5, 1, 4))
        ratio = np.zeros((2, len(GROUPINGS), 1, 3, 20))
        first, second = (listed(data, "type1", "de", part=half) for half in ("first", "second"))
        assert not (first & second).any()
        ratio[0, 0, 0][first] = ratio[1, 0, 0][second] = 1
        ratio[1, 0, 0][first] = ratio[0, 0, 0][second] = 0.3
        ratio[:, 1] = 2 * ratio[:, 0]
        found = mean_ratios(ratio, data, [1, 4], 3)
        assert found["type"].values.tolist() == list(LISTS)
        own = found["mean_ratio"].sel(language="de", grouping="language")
        np.testing.assert_allclose(own.sel(type="type1"), 0.3)
        np.testing.assert_allclose(
            found["mean_ratio"].sel(grouping="family"),
            2 * found["mean_ratio"].sel(grouping="language"),
        )
        assert found["mean_ratio_control_low"].sel(type="type1").isnull().all()
        assert (found["matched_share"].sel(type="type1") <= 1).all()

    def test_controls_range_from_the_least_to_the_largest_draw(self) -> None:
        scores = np.broadcast_to(np.arange(60, dtype=np.float32).reshape(3, 20), (3, 3, 20))
        data = described(ranked({"de": scores}, 0.5, 1, 4))
        ratio = np.random.default_rng(1).random((2, 2, 1, 3, 20))
        found = mean_ratios(ratio, data, [4], 9).sel(type="active_type1")
        low, mean, high = (
            float(found[f"mean_ratio{end}"][0, 0, 0])
            for end in ("_control_low", "", "_control_high")
        )
        assert low < mean < high


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


class TestDeactivation:
    variants = variants_of(["type1"])
    data = xr.Dataset(
        {
            "similarity": (
                ("variant", "pair", "language", "state", "segment"),
                drawn(0, 6, 2, 3, 2, 7),
            ),
            "mutual_knn": (
                ("variant", "language", "state", "k", "segment"),
                drawn(1, 6, 3, 2, 4, 7),
            ),
        },
        {
            "variant": variants,
            "pair": ["parallel", "non_parallel"],
            "language": ["de", "es", "hi"],
        },
    )

    def test_means_by_hand(self) -> None:
        found = closeness_without(self.data, 30)
        assert found["variant"].values.tolist() == [
            "baseline",
            *(f"{done}_type1" for done in ("without", "random", "active", "matched", "partner")),
        ]
        compared = {
            "naive": ("without", "random"),
            "activity": ("without", "active"),
            "contribution": ("matched", "partner"),
        }
        for name in ("similarity", "mutual_knn"):
            means = self.data[name].mean("segment")
            xr.testing.assert_allclose(found[name], means)
            change = means - means.sel(variant="baseline", drop=True)
            effect = found[f"{name}_effect"].drop_sel(variant="baseline")
            xr.testing.assert_allclose(effect, change.drop_sel(variant="baseline"))
            excess = found[f"{name}_excess"].sel(variant="without_type1", drop=True)
            for control, pair in compared.items():
                one, other = (means.sel(variant=f"{done}_type1", drop=True) for done in pair)
                xr.testing.assert_allclose(excess.sel(control=control, drop=True), one - other)
            assert "units" in found[name].attrs

    def test_changes_are_within_segments(self) -> None:
        """What is the same in all segments leaves the means apart, and no interval."""
        shifts = xr.DataArray([0, -0.3, -0.1, 0.0, 0.1, 0.2], dims="variant")
        same = self.data.isel(variant=[0] * 6).assign_coords(variant=self.variants) + shifts
        found = closeness_without(same, 30)
        for end in ("", "_low", "_high"):
            effect = found[f"mutual_knn_effect{end}"]
            assert effect.sel(variant="baseline").isnull().all()
            np.testing.assert_allclose(effect.sel(variant="without_type1"), -0.3)
            excess = found[f"similarity_excess{end}"].sel(variant="without_type1")
            np.testing.assert_allclose(excess.sel(control="naive"), -0.2)
            np.testing.assert_allclose(excess.sel(control="activity"), -0.3)
            np.testing.assert_allclose(excess.sel(control="contribution"), -0.1, atol=1e-12)
        assert (found["similarity_low"] < found["similarity_high"]).all()


class TestControls:
    lists = described(
        ranked(
            {"de": np.random.default_rng(5).normal(size=(3, 3, 200)).astype(np.float32)}, 0.6, 0.1
        )
    )

    def test_halves_are_matched_by_the_other_half(self) -> None:
        """Partners contribute alike, and drawn neurons fire as often, where nothing was chosen."""
        chosen = {half: listed(self.lists, "type1", "de", part=half) for half in HALVES}
        found = controlled(chosen, self.lists, "de", 2)
        for place, half in enumerate(HALVES):
            other = self.lists.sel(language="de", part=OTHER_HALF[half])
            share, contribution = other["active_share"].values, other["contribution"].values
            for draw in found.masks["active"]:
                drawn_share = np.sort(share[draw[place]])
                np.testing.assert_array_equal(drawn_share, np.sort(share[chosen[half]]))
            matched, partner = (found.masks[done][0, place] for done in ("matched", "partner"))
            assert not (matched & ~chosen[half]).any()
            for layer in range(2):
                levels = np.log(contribution[layer])
                pairs = [np.sort(levels[mask[layer]]) for mask in (matched, partner)]
                assert np.abs(np.subtract(*pairs)).max() < 0.2 * levels.std()
        for done in ("random", "active", "partner"):
            assert not (found.masks[done] & [*chosen.values()]).any()
        assert found.neurons["without"] == found.neurons["random"] == 40

    def test_neurons_that_are_like_no_others_are_not_compared(self) -> None:
        """The chosen ones contribute a thousand times as much as all others."""
        mask = listed(self.lists, "type1", "de")
        contribution = self.lists["contribution"].where(
            ~xr.DataArray(mask, dims=("layer", "neuron")), 1000
        )
        lists = self.lists.assign(contribution=contribution)
        found = controlled({"all": mask}, lists, "de", 2)
        assert found.matched_share < 0.5
        assert [len(found.masks[done]) for done in DONE] == [1, 2, 2, 0, 0]

    def test_every_language_and_seed_has_a_draw_of_its_own(self) -> None:
        mask = listed(self.lists, "type1", "de")
        others = self.lists.assign_coords(language=["fr"])
        both = xr.concat([self.lists, others], "language", data_vars="minimal")
        found = [controlled({"all": mask}, both, one, 2).masks for one in ("de", "fr")]
        for done in ("random", "active"):
            draws = [draw.tobytes() for masks in found for draw in masks[done]]
            assert len({*draws}) == 4
        again = controlled({"all": mask}, self.lists, "de", 1).masks
        np.testing.assert_array_equal(again["active"], found[0]["active"][:1])


class TestCloseness:
    def test_of_chance_neighbours(self) -> None:
        found = chance_overlap([1, 3], 6)
        assert found.values.tolist() == [1 / 5, 3 / 5]
        assert found["k"].values.tolist() == [1, 3]

    def test_of_itself(self) -> None:
        rows = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
        found = closeness(rows, rows, nearest_neighbours(rows, [1, 3]), [1, 3])
        np.testing.assert_allclose(found["parallel"], 1)
        np.testing.assert_allclose(found["mutual_knn"], np.ones((2, 6)))
        assert (found["non_parallel"] < 1).all()

    def test_segments_are_averaged_and_resampled(self) -> None:
        values = xr.DataArray(drawn(3, 2, 9), {"k": [1, 3]}, ("k", "segment"))
        found = segment_mean("x", values.assign_coords(segment=list("abcdefghi")), "share", 40)
        low, high = interval(values.rename(segment="item"), 40)
        assert list(found) == ["x", "x_low", "x_high"]
        for one, expected in zip(found.values(), (values.mean("segment"), low, high), strict=True):
            np.testing.assert_array_equal(one, expected)
            assert one.attrs["units"] == "share"


class TestSpecific:
    """Of 40 neurons in Type 1's layers, LAPE has 5; 3 of them are among the 4 listed."""

    scores = np.random.default_rng(6).permutation(60).reshape(3, 20).astype(np.float32)
    lists = described(
        ranked({"de": np.stack([scores] * 3), "fr": np.stack([scores] * 3)}, 0.6, 0.1)
    )

    def test_lape_and_the_lists_by_hand(self) -> None:
        mask = np.zeros((3, 20), bool)
        by_score = np.argsort(-self.scores[:2], axis=None)
        mask[:2].flat[by_score[[0, 1, 2, 20, 30]]] = True
        names = {"language": ["de", "fr"]}
        ratio = np.random.default_rng(7).random((2, 3, 20))
        ratios = xr.DataArray(ratio, names, ("language", "layer", "neuron"))
        found = specificity(self.lists, {"de": mask}, ratios, 3)
        of_german = found.sel(type="type1", language="de")
        assert [
            of_german[name].item()
            for name in ("lape_listed", "lape_listed_chance", "listed_lape", "listed_lape_chance")
        ] == [3 / 5, 4 / 40, 3 / 4, 5 / 40]
        assert of_german["lape_neurons"].item() == 5
        drawn = controlled({"all": mask}, self.lists, "de", 3).masks["active"]
        of_drawn = of_german.sel(set="active")
        for name, values in (("lape_score", self.scores), ("lape_ratio", ratio[0])):
            assert of_german[name].sel(set="lape").item() == pytest.approx(values[mask].mean())
            means = [values[draw[0]].mean() for draw in drawn]
            ends = [of_drawn[name + end].item() for end in ("_control_low", "", "_control_high")]
            np.testing.assert_allclose(ends, [min(means), np.mean(means), max(means)])
            assert of_german[f"{name}_control_low"].sel(set="lape").isnull()
        for nobody in (found.sel(language="fr"), found.sel(type="type2")):
            assert all(values.isnull().all() for values in nobody.values())

    def test_languages_without_neurons_are_left_out(self) -> None:
        mask = xr.DataArray(np.zeros((2, 3, 20), bool), dims=("language", "layer", "neuron"))
        mask = mask.assign_coords(language=["de", "fr"])
        mask[1, 0, 3] = True
        assert list(lape_neurons(mask)) == ["fr"]
