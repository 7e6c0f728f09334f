"""A mixture's real experts, of a model that was built to have experts of one language."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot.analyses import ANALYSES
from neuroglot.analyses.base import LanguageFacts
from neuroglot.analyses.experts.settings import (
    ExpertsSettings,
    FrequencyInputs,
    FrequencySettings,
    PartitionInputs,
    PartitionSettings,
    RoutingInputs,
    RoutingSettings,
)
from neuroglot.analyses.run import run_step
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.models.ffn import backbone, record
from neuroglot.models.load import load
from neuroglot.tokens import read_tokens
from support.planted_mixture import ALPHABETS, EACH, LAYERS, NEURONS, OUTER, Planted, planted

EXPERTS = EACH * len(ALPHABETS)
LANGUAGES = [*ALPHABETS]
FACTS = LanguageFacts(name="x", family="f", genus="g", script="Latn")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def frequency(place: Planted) -> Path:
    """The dataset of frequencies, with those that it was made from beside it."""
    experts, results = ANALYSES["experts"], place.folder / "experts" / "one"
    execution = ExecutionSettings()
    partition = {}
    for block in range(2):
        settings = PartitionSettings(
            model="one", experts_per_layer="real", seed=0, block=block, blocks=2
        )
        partition[str(block)] = results / "partition" / f"{block}.zarr"
        inputs = PartitionInputs(model=place.model)
        target = partition[str(block)]
        run_step(experts, experts.step("partition"), inputs, settings, target, execution)
    routing = {}
    for language, tokens in place.tokens.items():
        told = RoutingSettings(
            model="one",
            experts_per_layer="real",
            score="signed",
            active_fraction=0.5,
            device="cpu",
            dtype="float32",
        )
        routing[language] = results / "routing" / f"{language}.zarr"
        read = RoutingInputs(partition=partition, model=place.model, tokens=tokens)
        run_step(experts, experts.step("routing"), read, told, routing[language], execution)
    chosen = FrequencySettings(
        model="one",
        languages=LANGUAGES,
        language_table=dict.fromkeys(LANGUAGES, FACTS),
        high_frequency=0.05,
        replicates=10,
    )
    output = results / "frequency.zarr"
    counted = FrequencyInputs(routing=routing, tokens=place.tokens)
    run_step(experts, experts.step("frequency"), counted, chosen, output, execution)
    return output


def test_neurons_are_in_the_models_own_experts(place: Planted, frequency: Path) -> None:
    blocks = [xr.open_zarr(frequency.with_name("partition") / f"{block}.zarr") for block in (0, 1)]
    expert = xr.concat([block["expert"] for block in blocks if block.sizes["layer"]], "layer")
    assert expert["layer"].values.tolist() == [*range(LAYERS)]
    assert (expert.values == np.repeat(np.arange(EXPERTS), NEURONS)).all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_expert_is_active_at_the_tokens_that_are_routed_to_it(
    place: Planted, frequency: Path, language: str
) -> None:
    model, tokens = load(place.model, "cpu"), read_tokens(place.tokens[language])
    expected = np.zeros((len(tokens.segment_ids), LAYERS, EXPERTS), np.int64)
    for segment, sequence in enumerate(tokens.sequences()):

        def sink(
            _site: str, _stack: str, layer: int, value: torch.Tensor, at: int = segment
        ) -> None:
            expected[at, layer] = value[0, len(tokens.before) :].sum(0).numpy()

        with torch.inference_mode(), record(model, ["chosen"], sink):
            backbone(model)(torch.from_numpy(sequence)[None])
    with xr.open_zarr(frequency.with_name("routing") / f"{language}.zarr") as counted:
        np.testing.assert_array_equal(counted["active"].values, expected)


def test_experts_of_one_language_are_those_that_were_planted(frequency: Path) -> None:
    with xr.open_zarr(frequency) as data:
        data = data.load()
    for place, language in enumerate(LANGUAGES):
        own = np.zeros(EXPERTS)
        own[EACH * place : EACH * (place + 1)] = 1
        for layer in OUTER:
            found = data["expert_frequency"].sel(language=language).isel(layer=layer)
            np.testing.assert_allclose(found, own)
    assert (data["shared_by"].isel(layer=[*OUTER]) == 1).all()
    assert (data["shared_by"].isel(layer=1) > 1).any()
    assert data["specific_by_layer"].values[[*OUTER]].tolist() == [EXPERTS, EXPERTS]


def test_which_models_are_taken_depends_on_the_experts() -> None:
    experts = ANALYSES["experts"]
    assert experts.takes(ExpertsSettings(corpus="plain", experts_per_layer="real")) == (True, False)
    assert experts.takes(ExpertsSettings(corpus="plain", experts_per_layer=8)) == (False, True)
