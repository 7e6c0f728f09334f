"""What each kind of neuron contributes to the FFN's output (figures 8, 9 and 23 to 26)."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot.analyses.sharing.bounds import BY_ITEM, OF_LANGUAGES, bounded, with_bounds
from neuroglot.analyses.sharing.measures.contribution import (
    contribution,
    contribution_by_item,
    contribution_by_kind,
    value_norm,
)
from neuroglot.analyses.sharing.prompts import Prompts, by_task, kinds_of, open_prompts
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.tables import tidy

SHARES = ("top_share", "mean", "sum")


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
                contribution_by_item(
                    contribution(own[:, place], norms[layer]),
                    found[:, place],
                    settings["top_fraction"],
                )
                for own in act.values()
            ]
            axis = xr.Variable("language", np.array(list(act), str))
            by_layer.append(xr.concat(by_language, axis))
    by_item = xr.concat(by_layer, "layer")
    data = _averaged(by_item, settings["replicates"])
    return xr.merge([data, prompts.layers])


def _averaged(by_item: xr.Dataset, replicates: int) -> xr.Dataset:
    """Means over items, by language and over all languages, with their intervals."""
    average = by_item.mean("language", keep_attrs=True)
    of_languages = {name: f"{name}{OF_LANGUAGES}" for name in SHARES}
    means = contribution_by_kind(by_item)
    return bounded(
        xr.merge(
            [
                means,
                means.mean("language", keep_attrs=True).rename(of_languages),
                by_item.rename({name: f"{name}{BY_ITEM}" for name in SHARES}),
                average.rename({name: f"{new}{BY_ITEM}" for name, new in of_languages.items()}),
            ]
        ),
        replicates,
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Composition of the top contributors, mean and sum, by task, language, layer and kind."""
    return {
        "contributions": tidy(data[with_bounds(*SHARES)]),
        "contributions_of_languages": tidy(
            data[with_bounds(*(name + OF_LANGUAGES for name in SHARES))]
        ),
    }
