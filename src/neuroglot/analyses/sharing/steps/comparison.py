"""Kinds of neurons between models, and between numbers of examples (figures 7, 20 and 21)."""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.analyses.sharing.settings import ComparisonInputs, ComparisonSettings
from neuroglot.measures.axes import LAYER_NEURONS, along
from neuroglot.measures.bootstrap import with_bounds

SHARE = with_bounds("kind_share")
TABLE = tuple(SHARE)

VARIABLES: Mapping[str, str] = {
    "shots": "worked examples before the question",
    "layers": "layers of the model; what lies beyond them is NaN",
}


def compute(inputs: ComparisonInputs, settings: ComparisonSettings) -> xr.Dataset:
    """Stack the models' shares of kinds; NaN after the last layer of a shallower model."""
    opened = [store.open_dataset(inputs.kinds[model], "reduction") for model in settings.models]
    own = ["stack", "stack_layer", LAYER_NEURONS]
    shares = [data[SHARE].drop_vars(own, errors="ignore") for data in opened]
    share = along("model", dict(zip(settings.models, shares, strict=True))).drop_attrs(deep=False)
    layers = [data.sizes["layer"] for data in opened]
    deepest = opened[int(np.argmax(layers))]
    return (
        share.assign(layers=("model", layers, {"units": "layers"}))
        .assign_coords(
            shots=(
                "task",
                [settings.shots[str(task)] for task in share["task"].values],
                {"units": "examples"},
            ),
            stack=deepest["stack"],
            stack_layer=deepest["stack_layer"],
        )
        .assign_attrs(few_shot=json.dumps(settings.few_shot))
    )
