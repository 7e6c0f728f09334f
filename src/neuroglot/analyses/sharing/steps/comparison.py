"""Kinds of neurons between models, and between numbers of examples (figures 7, 20 and 21)."""

import json
from typing import Any

import numpy as np
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot import store
from neuroglot.analyses.sharing.bounds import with_bounds

SHARE = with_bounds("kind_share")
TABLE = tuple(SHARE)


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Put the models' kinds beside each other; NaN above a shallower model's last layer."""
    paths = inputs.reductions("sharing/kinds")
    opened = {
        data.attrs["model"]: data for data in (store.open_dataset(p, "reduction") for p in paths)
    }
    models = settings["models"]
    axis = xr.Variable("model", np.array(models, str))
    shares = [opened[model][SHARE].drop_vars(["stack", "stack_layer"]) for model in models]
    share = xr.concat(shares, axis, join="outer", combine_attrs="override").drop_attrs(deep=False)
    layers = [opened[model].sizes["layer"] for model in models]
    deepest = opened[models[int(np.argmax(layers))]]
    return (
        share.assign(layers=("model", layers, {"units": "layers"}))
        .assign_coords(
            shots=("task", [settings["shots"][str(task)] for task in share["task"].values]),
            stack=deepest["stack"],
            stack_layer=deepest["stack_layer"],
        )
        .assign_attrs(few_shot=json.dumps(settings["few_shot"]))
    )
