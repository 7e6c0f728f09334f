"""Frequency, flatness, dominant neurons and heatmaps: statistics into the paper's quantities."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.analyses.roles.measures.dominance import dominant_neurons
from neuroglot.analyses.roles.measures.flatness import activation_flatness
from neuroglot.analyses.roles.measures.frequency import activation_frequency, layer_spread
from neuroglot.analyses.roles.measures.heatmap import scaled_rows
from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from neuroglot.measures.axes import prefix_rows, width_dimension

LANGUAGES = ["en", "hi", "cs"]  # cs has no rows
ROWS = xr.DataArray([20, 13, 0], dims="language", coords={"language": LANGUAGES})


def activations(rows: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(2, rows, 6)).astype("float32")
    values[:, :, 1] *= values[:, :, 1] > 0
    return values  # [layer, row, neuron]


def statistic(key: str, values: list[np.ndarray]) -> xr.DataArray:
    stacked = [
        [np.asarray(kernels.row_statistics(layer, "nonzero")[key]) for layer in one]
        for one in values
    ]
    dims = ("language", "layer", "neuron")[: np.ndim(stacked)]
    return xr.DataArray(np.array(stacked), dims=dims, coords={"language": LANGUAGES})


@pytest.fixture
def values() -> list[np.ndarray]:
    return [activations(int(rows), seed) for seed, rows in enumerate(ROWS.values)]


def test_frequency_by_hand():
    count = xr.DataArray([[4, 0, 2], [1, 1, 1]], dims=("layer", "neuron"))
    frequency = activation_frequency(count, 4)
    assert frequency.values.tolist() == [[1, 0, 0.5], [0.25, 0.25, 0.25]]
    spread = layer_spread(frequency)
    assert spread["mean"].values.tolist() == [0.5, 0.25]
    np.testing.assert_allclose(spread["std"], [np.sqrt(1 / 6), 0])  # the population's
    assert spread["mean"].attrs["units"] == frequency.attrs["units"] == "share of rows"


def test_frequency_of_rows(values):
    frequency = activation_frequency(statistic("count", values), ROWS)
    assert frequency.dims == ("language", "layer", "neuron")
    for index, language in enumerate(LANGUAGES[:2]):
        expected = (values[index] != 0).mean(axis=1)
        np.testing.assert_allclose(frequency.sel(language=language), expected)
    assert frequency.sel(language="cs").isnull().all()
    assert layer_spread(frequency).sel(language="cs").isnull().all()["std"]


def test_frequency_does_not_change_when_rows_are_repeated(values):
    repeated = [np.concatenate([one, one, one], axis=1) for one in values]
    xr.testing.assert_allclose(
        activation_frequency(statistic("count", repeated), 3 * ROWS),
        activation_frequency(statistic("count", values), ROWS),
    )


def test_statistics_of_hidden_dimensions_work_too():
    frequency = activation_frequency(xr.DataArray([[3, 1]], dims=("layer", "hidden")), 4)
    assert layer_spread(frequency)["mean"].values.tolist() == [0.5]


def test_flatness_sum_grows_with_rows_and_mean_does_not(values):
    total = statistic("flatness_sum", values)
    once = activation_flatness(total, ROWS)
    twice = activation_flatness(2 * total, 2 * ROWS)
    np.testing.assert_allclose(twice["flatness_sum"], 2 * once["flatness_sum"])
    np.testing.assert_allclose(twice["flatness_mean"], once["flatness_mean"])
    expected = [[kernels.flatness(layer).mean() for layer in one] for one in values[:2]]
    np.testing.assert_allclose(once["flatness_mean"][:2], expected)
    assert once.sel(language="cs").isnull().all()["flatness_sum"]
    assert once["flatness_mean"].dims == ("language", "layer")


def dominance(values: list[np.ndarray]) -> xr.Dataset:
    return dominant_neurons(
        statistic("argmax_count", values),
        statistic("sum", values),
        statistic("sum_of_squares", values),
        ROWS,
    )


def test_dominant_neurons_against_rows(values):
    table = dominance(values)
    for index in range(2):
        for layer in range(2):
            rows = values[index][layer].astype("float64")
            winners = np.bincount(rows.argmax(axis=1), minlength=6)
            found = table.isel(language=index, layer=layer)
            assert found["most_often_maximum"] == winners.argmax()
            assert found["maximum_share"] == pytest.approx(winners.max() / len(rows))
            assert found["most_variable"] == rows.std(axis=0).argmax()
            assert found["largest_std"] == pytest.approx(rows.std(axis=0).max(), rel=1e-12)


def test_planted_dominant_neurons(values):
    for one in values:
        one[:, :, 4] = 100  # always the maximum, never varying
        one[:, :, 2] = np.linspace(-50, 50, one.shape[1])
    table = dominance(values)
    assert (table["most_often_maximum"][:2] == 4).all()
    assert (table["maximum_share"][:2] == 1).all()
    assert (table["most_variable"][:2] == 2).all()


def test_absent_languages_are_minus_one(values):
    absent = dominance(values).sel(language="cs")
    for name in ("most_often_maximum", "most_variable"):
        assert absent[name].dtype == np.int32
        assert (absent[name] == -1).all()
    assert absent["maximum_share"].isnull().all()
    assert absent["largest_std"].isnull().all()


def test_absent_languages_may_also_be_nan(values):
    sums = [statistic(key, values) for key in ("argmax_count", "sum", "sum_of_squares")]
    missing = [one.where(one["language"] != "cs") for one in sums]
    xr.testing.assert_identical(dominant_neurons(*missing, ROWS.where(ROWS > 0)), dominance(values))


def test_ties_go_to_the_lowest_index():
    zeros = xr.DataArray(np.zeros((1, 3)), dims=("layer", "neuron"))
    tied = xr.DataArray([[0, 2, 2]], dims=("layer", "neuron"))
    table = dominant_neurons(tied, zeros, zeros, 4)
    assert table["most_often_maximum"].item() == 1
    assert table["most_variable"].item() == 0


def test_a_huge_constant_neuron_does_not_vary():
    rows = np.random.default_rng(0).normal(size=(1001, 3)).astype("float32") * 1e-2
    rows[:, 1] = 31234.567
    sums = kernels.row_statistics(rows, "nonzero")
    table = dominant_neurons(
        *(
            xr.DataArray(sums[key][None], dims=("layer", "neuron"))
            for key in ("argmax_count", "sum", "sum_of_squares")
        ),
        1001,
    )
    expected = rows.astype("float64").std(axis=0)
    assert table["most_variable"].item() == expected[[0, 2]].argmax() * 2
    assert table["largest_std"].item() == pytest.approx(expected[[0, 2]].max(), rel=1e-9)


def recorded(rows: int, seed: int, segment: list[int]) -> xr.DataArray:
    return xr.DataArray(
        np.random.default_rng(seed).normal(size=(3, rows, 4)).astype("float32"),
        dims=("layer", "row", "neuron"),
        coords={
            "layer": [0, 1, 2],
            "stack": ("layer", ["decoder"] * 3),
            "segment": ("row", segment),
        },
    )


def test_heatmap_orders_scales_and_pads():
    rows = {"en": recorded(4, 0, [2, 0, 1, 0]), "hi": recorded(2, 1, [0, 2])}
    heatmap = scaled_rows(rows, [2, 0], "act")
    scaled = heatmap["scaled_act"]
    assert scaled.dims == ("language", "layer", "row", "neuron")
    assert scaled.dtype == np.float32
    assert heatmap["segment"].values.tolist() == [[0, 0, 1, 2], [0, 2, -1, -1]]
    assert heatmap["layer"].values.tolist() == [2, 0]
    assert heatmap["stack"].dims == ("layer",)
    raw = rows["en"].sel(layer=2).values[[1, 3, 2, 0]]
    low, high = raw.min(axis=1, keepdims=True), raw.max(axis=1, keepdims=True)
    np.testing.assert_allclose(
        scaled.sel(language="en", layer=2), (raw - low) / (high - low), rtol=1e-6
    )
    hindi = scaled.sel(language="hi")
    assert np.isnan(hindi[:, 2:]).all()
    assert hindi[:, :2].max() == 1
    assert hindi[:, :2].min() == 0


def test_heatmap_names_missing_layers_and_languages():
    with pytest.raises(NeuroglotError, match=r"en: layers \[7\] are not among the recorded"):
        scaled_rows({"en": recorded(2, 0, [0, 1])}, [0, 7], "act")
    with pytest.raises(NeuroglotError, match="no languages"):
        scaled_rows({}, [0], "out")


def test_dimensions_are_checked():
    with pytest.raises(NeuroglotError, match="neuron and hidden"):
        width_dimension(xr.DataArray(np.zeros((2, 3)), dims=("layer", "unit")))
    with pytest.raises(NeuroglotError, match="layer, row and neuron"):
        prefix_rows(xr.DataArray(np.zeros((2, 3)), dims=("layer", "neuron")))
    turned = recorded(2, 0, [0, 1]).transpose("neuron", "row", "layer")
    assert prefix_rows(turned).dims == ("layer", "row", "neuron")
