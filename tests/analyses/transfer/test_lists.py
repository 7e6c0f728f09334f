"""Lists of transfer neurons by hand, and what is averaged over them and without them."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.transfer.measures.correlation import (
    GROUPINGS,
    LISTS,
    correlation_ratio,
    group_ratios,
    language_groups,
    mean_ratios,
)
from neuroglot.analyses.transfer.measures.deactivation import VARIANTS, closeness_without
from neuroglot.analyses.transfer.measures.latent import (
    chance_overlap,
    closeness,
    nearest_neighbours,
    segment_mean,
)
from neuroglot.analyses.transfer.measures.lists import (
    by_layer,
    controls,
    list_length,
    listed,
    ranked,
)
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import interval

SCORES = {  # [layer, neuron]; Type 1 is sought in the first two layers
    "de": np.array([[0.1, 0.5, 0.2], [0.9, 0.5, -0.1], [0.3, 0.4, 7.0]], np.float32),
    "es": np.array([[3.0, 2.0, 1.0], [0.0, 0.0, 0.0], [0.6, 0.6, 0.5]], np.float32),
}


def lists(length: int = 2) -> xr.Dataset:
    return ranked(SCORES, 0.5, length)


class TestLists:
    def test_a_fraction_takes_the_place_of_the_number(self) -> None:
        assert list_length(1000, None, 48) == 1000
        assert list_length(1000, 0.1, 48) == 5
        assert list_length(1000, 0.001, 48) == 1

    def test_each_type_is_ranked_over_its_layers(self) -> None:
        data = lists()
        first = np.stack([data["rank_layer"], data["rank_neuron"]], axis=-1)
        assert first[0].tolist() == [[[1, 0], [0, 1]], [[0, 0], [0, 1]]]
        assert first[1].tolist() == [[[2, 2], [2, 1]], [[2, 0], [2, 1]]]
        np.testing.assert_array_equal(data["rank_score"][0], np.float32([[0.9, 0.5], [3, 2]]))
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

    def test_lists_are_averaged_beside_their_controls(self) -> None:
        """Ratios are 1 in listed neurons and 0 in others, and twice that by family."""
        data = ranked({"de": np.arange(60, dtype=np.float32).reshape(3, 20)}, 0.5, 4)
        ratio = np.zeros((len(GROUPINGS), 1, 3, 20))
        for kind in ("type1", "type2"):
            ratio[0, 0][listed(data, kind, "de")] = 1
        ratio[0, 0, 1, 19] = 0.2  # the very first of Type 1
        ratio[0, 0, 0] = 5  # where no neuron is listed
        ratio[1] = 2 * ratio[0]
        found = mean_ratios(ratio, data, [1, 4], 3)
        assert found["type"].values.tolist() == list(LISTS)
        own = found["mean_ratio"].sel(language="de", grouping="language")
        np.testing.assert_allclose(own.sel(type="type1"), [0.2, 0.8])
        np.testing.assert_allclose(own.sel(type="type2"), [1, 1])
        np.testing.assert_allclose(
            found["mean_ratio"].sel(grouping="family"),
            2 * found["mean_ratio"].sel(grouping="language"),
        )
        of_controls = found.sel(type="random_type2", grouping="language", language="de", top=4)
        for name in ("mean_ratio", "mean_ratio_control_low", "mean_ratio_control_high"):
            assert float(of_controls[name]) == 0, name
        assert found["mean_ratio_control_low"].sel(type="type1").isnull().all()

    def test_controls_range_from_the_least_to_the_largest_draw(self) -> None:
        data = ranked({"de": np.arange(60, dtype=np.float32).reshape(3, 20)}, 0.5, 4)
        ratio = np.broadcast_to(np.random.default_rng(1).random((3, 20)), (2, 1, 3, 20))
        found = mean_ratios(ratio, data, [4], 9).sel(type="random_type1")
        low, mean, high = (
            float(found[f"mean_ratio{end}"][0, 0, 0])
            for end in ("_control_low", "", "_control_high")
        )
        assert low < mean < high


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


class TestDeactivation:
    similarity = xr.DataArray(
        drawn(0, 2, 3, 5, 2, 7),
        {"pair": ["parallel", "non_parallel"], "language": ["de", "es", "hi"]},
        ("pair", "language", "draw", "state", "segment"),
    )
    overlap = xr.DataArray(
        drawn(1, 3, 5, 2, 4, 7),
        {"language": ["de", "es", "hi"]},
        ("language", "draw", "state", "k", "segment"),
    )

    def test_means_by_hand(self) -> None:
        data = closeness_without(self.similarity, self.overlap, 30)
        assert data["variant"].values.tolist() == list(VARIANTS)
        for name, values in (("similarity", self.similarity), ("mutual_knn", self.overlap)):
            means = values.mean("segment")
            found = data[name]
            xr.testing.assert_allclose(found.sel(variant="baseline", drop=True), means[{"draw": 0}])
            without = found.sel(variant="without_type1", drop=True)
            xr.testing.assert_allclose(without, means.isel(draw=1))
            random = means.isel(draw=[2, 3, 4])
            xr.testing.assert_allclose(found.sel(variant="random", drop=True), random.mean("draw"))
            xr.testing.assert_allclose(data[f"{name}_control_low"], random.min("draw"))
            xr.testing.assert_allclose(data[f"{name}_control_high"], random.max("draw"))
            assert found.attrs["units"] == data[f"{name}_control_low"].attrs["units"]

    def test_changes_are_within_segments(self) -> None:
        """What is the same in all segments leaves the means apart, and no interval."""
        shifts = xr.DataArray([0, -0.3, -0.1, 0.0, 0.1], dims="draw")
        data = closeness_without(self.similarity[:, :, 0] + shifts, self.overlap, 30)
        for end in ("", "_low", "_high"):
            effect = data[f"effect{end}"]
            assert effect.sel(variant="baseline").isnull().all()
            np.testing.assert_allclose(effect.sel(variant="without_type1"), -0.3)
            np.testing.assert_allclose(effect.sel(variant="random"), 0, atol=1e-12)
            np.testing.assert_allclose(data[f"excess{end}"], -0.3)
        assert (data["similarity_low"] < data["similarity_high"]).all()


class TestCloseness:
    def test_of_chance_neighbours(self) -> None:
        found = chance_overlap([1, 3], 6)
        assert found.values.tolist() == [1 / 5, 3 / 5]
        assert found["k"].values.tolist() == [1, 3]

    def test_of_itself(self) -> None:
        rows = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
        found = closeness(rows, rows, nearest_neighbours(rows, 3), [1, 3])
        np.testing.assert_allclose(found["parallel"], 1)
        np.testing.assert_array_equal(found["mutual_knn"], np.ones((2, 6)))
        assert (found["non_parallel"] < 1).all()

    def test_segments_are_averaged_and_resampled(self) -> None:
        values = xr.DataArray(drawn(3, 2, 9), {"k": [1, 3]}, ("k", "segment"))
        found = segment_mean("x", values.assign_coords(segment=list("abcdefghi")), "share", 40)
        low, high = interval(values.rename(segment="item"), 40)
        assert list(found) == ["x", "x_low", "x_high"]
        for one, expected in zip(found.values(), (values.mean("segment"), low, high), strict=True):
            np.testing.assert_array_equal(one, expected)
            assert one.attrs["units"] == "share"


def test_every_language_and_seed_has_a_draw_of_its_own() -> None:
    own = np.zeros((2, 40), bool)
    own[:, :10] = True
    draws = [one for language in ("de", "fr") for one in controls(own, language, seeds=2)]
    assert len({one.tobytes() for one in draws}) == 4
    assert all((one.sum(1) == 10).all() and not (one & own).any() for one in draws)
    np.testing.assert_array_equal(controls(own, "fr", seeds=1)[0], draws[2])
