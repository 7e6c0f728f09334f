"""What the steps of ``experts`` are given, and how they read what they hand to one another."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neuroglot import store
from neuroglot.analyses.base import Scope, Wish
from neuroglot.analyses.experts import EXPERTS
from neuroglot.analyses.experts.partitions import read_partition, read_routing
from neuroglot.analyses.experts.settings import ExpertsSettings, RoutingInputs, RoutingSettings
from neuroglot.analyses.experts.steps import routing
from neuroglot.capture.settings import RowsGroup
from neuroglot.errors import NeuroglotError


def write(path: Path, data: xr.Dataset) -> Path:
    store.begin(path, "reduction", {})
    store.write_dataset(path, data)
    store.complete(path, "reduction", {}, {})
    return path


def blocks(folder: Path, layers: dict[str, list[int]]) -> dict[str, Path]:
    """The experts of some layers by block; neuron n of layer l is of expert l + n."""
    return {
        block: write(
            folder / f"{block}.zarr",
            xr.Dataset(
                {"expert": (("layer", "neuron"), np.add.outer(own, [0, 1]).reshape(len(own), 2))},
                {"layer": np.array(own, int)},
            ),
        )
        for block, own in layers.items()
    }


def test_blocks_are_joined_in_the_order_of_layers(tmp_path):
    found = read_partition(blocks(tmp_path, {"0": [2, 1], "1": [], "2": [0]}))
    assert found["layer"].values.tolist() == [0, 1, 2]
    assert found.values.tolist() == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize("layers", [[0, 2], [0, 0, 1]])
def test_every_layer_is_clustered_once(tmp_path, layers):
    with pytest.raises(NeuroglotError, match="not every layer once; remove the partition"):
        read_partition(blocks(tmp_path, {"0": layers[:1], "1": layers[1:]}))


def test_routing_is_told_by_the_language_it_is_given_for(tmp_path):
    paths = {}
    for place, (language, folds) in enumerate({"en": 2, "de": 3}.items()):
        counted = np.full((folds, 1, 2), place + 1)
        data = xr.Dataset(
            {"active": (("fold", "layer", "expert"), counted), "tokens": ("fold", [9] * folds)},
            {"fold": np.arange(folds)},
        )
        paths[language] = write(tmp_path / f"{place}.zarr", data)
    found = read_routing(paths, ["de", "en"])
    assert found["language"].values.tolist() == ["de", "en"]
    assert found["active"].sel(language="de", expert=0, layer=0).values.tolist() == [2, 2, 2]
    assert found["active"].sel(language="en", expert=0, layer=0).values.tolist() == [1, 1, 0]
    assert found["tokens"].values.tolist() == [[9, 9, 9], [9, 9, 0]]


def test_experts_are_counted_on_rows_or_while_the_model_reads(tmp_path):
    partition, a, b, c = blocks(tmp_path, {"0": [0]}), Path("rows"), Path("model"), Path("tokens")
    told = RoutingSettings(
        experts_per_layer=2, score="signed", active_fraction=0.5, device="cpu", dtype="auto"
    )
    for wrong in ({}, {"rows": a, "model": b}, {"rows": a, "model": b, "tokens": c}, {"model": b}):
        with pytest.raises(TypeError, match="either rows, or tokens and the model"):
            routing.compute(RoutingInputs(partition=partition, **wrong), told)


def test_rows_are_recorded_only_where_experts_are_counted_on_them():
    step = EXPERTS.step("routing")
    for how in ("rows", "forward"):
        section = ExpertsSettings(corpus="news", scores_from=how, clustering_jobs=2)
        wished = list(EXPERTS.recordings(None, section))
        inputs = step.inputs(None, section, Scope(("tiny",), "de"))
        assert list(inputs.partition) == ["0", "1"]
        assert step.runs_model(section) == (how == "forward")
        if how == "rows":
            assert wished == [Wish("news", RowsGroup())]
            assert inputs.rows == Path("results/activations/tiny/news/de.zarr/rows")
            assert inputs.model is inputs.tokens is None
        else:
            assert not wished
            assert inputs.model == Path("results/models/tiny")
            assert inputs.tokens == Path("results/tokens/tiny/news/de.zarr")
            assert inputs.rows is None
