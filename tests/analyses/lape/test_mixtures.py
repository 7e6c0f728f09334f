"""LAPE on a mixture of experts that was built to have experts of one language."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neuroglot import store
from neuroglot.analyses import ANALYSES
from neuroglot.analyses.lape.settings import NeuronsInputs, NeuronsSettings
from neuroglot.analyses.run import run_step
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, FiringGroup
from support.planted_mixture import ALPHABETS, EACH, LAYERS, NEURONS, OUTER, planted

EXPERTS = EACH * len(ALPHABETS)  # of a layer


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step's dataset and its tables, of the planted model's recordings."""
    place = planted(tmp_path_factory.mktemp("planted"))
    firing = {}
    for language, tokens in place.tokens.items():
        path = place.folder / "activations" / "one" / "plain" / f"{language}.zarr"
        wanted = Wanted(tokens, "tokens", path, {FiringGroup(): "1"})
        record(place.model, [wanted], CaptureSettings(device="cpu"), ExecutionSettings())
        firing[language] = path / "firing"
    settings = NeuronsSettings(
        model="one",
        languages=[*ALPHABETS],
        site="auto",
        percentile=0.5,
        top_fraction=0.4,
        replicates=10,
        permutations=5,
    )
    lape = ANALYSES["lape"]
    output = place.folder / "lape" / "neurons.zarr"
    inputs: Any = NeuronsInputs(firing=firing)
    run_step(lape, lape.step("neurons"), inputs, settings, output, ExecutionSettings())
    return output


def test_neurons_of_a_language_are_in_its_experts(results: Path) -> None:
    with xr.open_zarr(results) as data:
        named = data["language_neuron"].load()
    assert named.dims == ("language", "unit")
    assert named.sizes["unit"] == LAYERS * EXPERTS * NEURONS
    for place, language in enumerate(ALPHABETS):
        found = named.isel(unit=named.sel(language=language).values)
        assert found.sizes["unit"] > 5
        experts = found["unit_expert"].values
        own = np.isin(experts, (EACH * place, EACH * place + 1))
        # In the shared middle a few neurons respond to the alphabet of one language all the same.
        assert (np.isin(found["unit_layer"].values, OUTER) & own).mean() > 0.9
        assert {EACH * place, EACH * place + 1} <= set(experts.tolist())


def test_an_unrouted_neuron_does_not_fire(results: Path) -> None:
    with xr.open_zarr(results) as data:
        data = data.load()
    outer = data.isel(unit=np.isin(data["unit_layer"].values, OUTER))
    for place, language in enumerate(ALPHABETS):
        own = np.isin(outer["unit_expert"].values, (EACH * place, EACH * place + 1))
        probability = outer["activation_probability"].sel(language=language).values
        assert not probability[~own].any()
        assert probability[own].mean() > 0.3
    middle = data["activation_probability"].isel(unit=data["unit_layer"].values == 1)
    fires = (middle > 0).all("language").values
    assert fires.mean() > 0.5


def test_how_often_a_neuron_fires_where_its_expert_is_chosen(results: Path) -> None:
    with xr.open_zarr(results) as data:
        data = data.load()
    outer = data.isel(unit=np.isin(data["unit_layer"].values, OUTER))
    for place, language in enumerate(ALPHABETS):
        own = np.isin(outer["unit_expert"].values, (EACH * place, EACH * place + 1))
        of_language = outer.sel(language=language)
        reached = of_language["activation_probability_reached"].values
        assert np.isnan(reached[~own]).all()  # no token is routed there
        # A token passes through as many experts as are its language's own: through all of these.
        np.testing.assert_allclose(reached[own], of_language["activation_probability"].values[own])
    middle = data.isel(unit=data["unit_layer"].values == 1)
    per_token, reached = middle["activation_probability"], middle["activation_probability_reached"]
    assert (reached >= per_token).where(reached.notnull(), True).all()
    assert float(reached.mean()) > 1.5 * float(per_token.mean())


def test_tables_name_the_expert(results: Path) -> None:
    rows = results.with_name("language_neurons.csv").read_text("utf-8").splitlines()
    assert rows[0].startswith("layer,expert,neuron,language,")
    data = store.open_dataset(results, "reduction")
    assert data["language_neuron"].dims == ("language", "layer", "neuron")
    assert len(rows) - 1 == int(data["language_neuron"].sum())
    for row in rows[1:]:
        layer, expert, neuron, language, *_ = row.split(",")
        place = {"layer": int(layer) - 1, "neuron": int(expert) * NEURONS + int(neuron)}
        assert data["language_neuron"].sel(language=language).isel(place)
