"""What each kind of neuron contributes to the FFN's output (figures 8, 9 and 23 to 26)."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot.measures.contribution import contribution, contribution_by_kind, value_norm
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.reduce import tidy
from neuroglot.steps.sharing.prompts import Prompts, by_task, kinds_of, open_prompts


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Average contributions over items, in every task, language and layer."""
    prompts = open_prompts(inputs, settings["tasks"], settings["languages"])
    found = ffns(load(inputs.model, "cpu", inputs.card().dtype))
    norms = [value_norm(ffn.output_matrix().float().numpy()) for ffn in found]
    data = by_task({one.task: _task(one, norms, settings) for one in prompts})
    return data.reindex(language=settings["languages"]).assign_attrs(
        top_fraction=settings["top_fraction"]
    )


def _task(prompts: Prompts, norms: list[Any], settings: dict[str, Any]) -> xr.Dataset:
    by_layer = []
    for layers in prompts.blocks():
        act = prompts.read("act", layers)
        found = kinds_of(prompts.read(prompts.site, layers), settings["threshold"])
        for place, layer in enumerate(range(layers.start, layers.stop)):
            by_language = [
                contribution_by_kind(
                    contribution(own[:, place], norms[layer]),
                    found[:, place],
                    settings["top_fraction"],
                )
                for own in act.values()
            ]
            axis = xr.Variable("language", np.array(list(act), str))
            by_layer.append(xr.concat(by_language, axis))
    return xr.merge([xr.concat(by_layer, "layer"), prompts.layers])


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Composition of the top contributors, mean and sum, by task, language, layer and kind."""
    return {"contributions": tidy(data[["top_share", "mean", "sum"]])}
