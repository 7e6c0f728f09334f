"""Kinds of neurons between models, and between numbers of examples (figures 7, 20 and 21)."""

import json
from collections.abc import Mapping

import xarray as xr

from neuroglot import store
from neuroglot.analyses.sharing.settings import ComparisonInputs, ComparisonSettings
from neuroglot.measures.axes import LAYER_NEURONS, along
from neuroglot.measures.bootstrap import with_bounds

SHARE, ITEMS = with_bounds("kind_share"), "items"
TABLE = (*SHARE, ITEMS)

VARIABLES: Mapping[str, str] = {
    ITEMS: "items of the task, all of which are counted",
    "shots": "worked examples before the question",
    "layers": "layers of the model; what lies beyond them is NaN",
}


def compute(inputs: ComparisonInputs, settings: ComparisonSettings) -> xr.Dataset:
    """Stack the models' shares of kinds; NaN after the last layer of a shallower model."""
    models = {
        model: store.open_dataset(inputs.kinds[model], "reduction") for model in settings.models
    }
    of_layers = ["stack", "stack_layer", LAYER_NEURONS]  # they differ between models
    shares = along(
        "model",
        {
            model: data[[*SHARE, ITEMS]].drop_vars(of_layers, errors="ignore")
            for model, data in models.items()
        },
    )
    layers = [data.sizes["layer"] for data in models.values()]
    deepest = max(models.values(), key=lambda data: data.sizes["layer"])
    shots = [settings.shots[str(task)] for task in shares["task"].values]
    return (
        shares.drop_attrs(deep=False)
        .assign(layers=("model", layers, {"units": "layers"}))
        .assign_coords(
            shots=("task", shots, {"units": "examples"}),
            stack=deepest["stack"],
            stack_layer=deepest["stack_layer"],
        )
        .assign_attrs(few_shot=json.dumps(settings.few_shot))
    )
