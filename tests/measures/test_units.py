"""Neurons of mixtures of experts, one after another and by layer."""

import numpy as np
import pytest
import xarray as xr

from neuroglot.measures.axes import as_units, by_layer, experts_axis, neuron_names, width_axis

SHARED, EXPERTS, EACH = (5, 2, 2), (0, 3, 3), 4
WIDTHS = [shared + EACH * experts for shared, experts in zip(SHARED, EXPERTS, strict=True)]


def of_mixture(widths: list[int], shared: tuple[int, ...], experts: tuple[int, ...]) -> xr.Dataset:
    generator = np.random.default_rng(0)
    beyond = np.arange(max(widths)) >= np.array(widths)[:, None]
    probability = np.where(beyond, np.nan, generator.random((2, len(widths), max(widths))))
    named = ~beyond & (generator.random((2, len(widths), max(widths))) < 0.5)
    return xr.Dataset(
        {
            "probability": (
                ("language", "layer", "neuron"),
                probability.astype(np.float32),
                {"units": "share of tokens"},
            ),
            "named": (("layer", "neuron", "language"), np.moveaxis(named, 0, -1)),
            "count": (("language", "layer"), named.sum(-1)),
            "bar": 0.5,
        },
        {
            "language": ["de", "en"],
            "layer": np.arange(len(widths)),
            "stack": ("layer", ["decoder"] * len(widths)),
            **width_axis(widths),
            **experts_axis(shared, experts),
        },
    )


def literal(layer: int, neuron: int) -> tuple[int, int]:
    """Expert and number, counted one by one."""
    counted = [(-1, place) for place in range(SHARED[layer])]
    counted += [(e, place) for e in range(EXPERTS[layer]) for place in range(EACH)]
    return counted[neuron]


def test_units_are_named_one_by_one():
    data = as_units(of_mixture(WIDTHS, SHARED, EXPERTS))
    expected = [
        (layer, *literal(layer, neuron))
        for layer, width in enumerate(WIDTHS)
        for neuron in range(width)
    ]
    found = [data[name].values.tolist() for name in ("unit_layer", "unit_expert", "unit_neuron")]
    assert list(zip(*found, strict=True)) == expected
    assert data["probability"].dims == ("language", "unit")
    assert data["named"].dims == ("unit", "language")
    assert data["count"].dims == ("language", "layer")
    assert data["probability"].attrs == {"units": "share of tokens"}
    assert not np.isnan(data["probability"]).any()
    assert all(data[name].attrs["long_name"] for name in ("unit_layer", "unit_expert"))


def test_every_value_keeps_its_neuron():
    before = of_mixture(WIDTHS, SHARED, EXPERTS)
    units = as_units(before)
    for unit in range(units.sizes["unit"]):
        layer = int(units["unit_layer"][unit])
        place = unit - sum(WIDTHS[:layer])
        expected = before.isel(layer=layer, neuron=place)
        for name in ("probability", "named"):
            np.testing.assert_array_equal(units[name].isel(unit=unit), expected[name])


@pytest.mark.parametrize("widths", [WIDTHS, [14, 14, 14]])
def test_by_layer_undoes_it(widths: list[int]):
    shared = SHARED if widths is WIDTHS else (2, 2, 2)
    experts = EXPERTS if widths is WIDTHS else (3, 3, 3)
    before = of_mixture(widths, shared, experts)
    xr.testing.assert_identical(by_layer(as_units(before)), before)


def test_dense_models_are_left_alone():
    before = of_mixture([5, 5], (5, 5), (0, 0))
    assert as_units(before) is before
    assert by_layer(before) is before
    names = neuron_names(before, np.array([0, 1]), np.array([3, 4]))
    assert {name: values.tolist() for name, values in names.items()} == {"neuron": [3, 4]}
