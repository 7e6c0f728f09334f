"""Kinds of neurons in every task by layer, and how they change (figures 2 to 7, 19 and 22)."""

from functools import reduce
from operator import add
from typing import Any

import pandas as pd
import xarray as xr

from neuroglot.measures.sharing import (
    active_share,
    dead,
    kind_share,
    kinds,
    nested_kinds,
    overlap,
    pack_above,
    specific_items,
)
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.reduce import tidy
from neuroglot.steps.sharing.prompts import Prompts, by_task, open_prompts, signs


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Tell kinds apart in every item of every task, a few layers in memory at a time."""
    found = open_prompts(inputs, settings["tasks"], settings["languages"])
    data = by_task({one.task: _task(one, settings) for one in found})
    data = data.reindex(language=settings["languages"]).assign(_specific(found, settings))
    return data.assign_attrs(threshold=settings["threshold"], site=found[0].site)


def _specific(found: list[Prompts], settings: dict[str, Any]) -> dict[str, xr.DataArray]:
    """In how many items a neuron is active in one language alone.

    Only items asked in the most languages count: with fewer to compare, more neurons are specific.
    """
    most = max(len(one.recorded) for one in found)
    counted = [one for one in found if len(one.recorded) == most]
    return {
        "specific": reduce(add, (_specific_items(one, settings["threshold"]) for one in counted)),
        "specific_items": xr.DataArray(
            sum(len(one.items) for one in counted), attrs={"units": "items"}
        ),
    }


def _specific_items(prompts: Prompts, threshold: float) -> xr.DataArray:
    blocks = [
        specific_items(signs(prompts.read(prompts.site, layers), threshold), prompts.neurons)
        for layers in prompts.blocks()
    ]
    return xr.concat(blocks, "layer")


def _task(prompts: Prompts, settings: dict[str, Any]) -> xr.Dataset:
    blocks = [_block(prompts, layers, settings) for layers in prompts.blocks()]
    data = xr.concat(blocks, "layer", combine_attrs="override")
    items = xr.Variable((), len(prompts.items), {"units": "items"})
    return xr.merge([data, prompts.layers]).assign(items=items)


def _block(prompts: Prompts, layers: slice, settings: dict[str, Any]) -> xr.Dataset:
    fired, neurons = prompts.read(prompts.site, layers), prompts.neurons
    threshold = settings["threshold"]
    active = signs(fired, threshold)
    found = kinds(active.values(), neurons)
    counts = [n for n in settings["language_counts"] if n <= len(active)]
    thresholds = settings["thresholds"]
    above = {language: pack_above(own, thresholds) for language, own in fired.items()}
    return xr.Dataset(
        {
            "kind_share": kind_share(found),
            "overlap": overlap(found),
            "active_share": active_share(active, neurons),
            "dead": dead(
                found.non_activated, signs(prompts.read("peak", layers), threshold), neurons
            ),
            "threshold_share": xr.concat(
                [
                    kind_share(kinds((own[i] for own in above.values()), neurons))
                    for i in range(len(thresholds))
                ],
                xr.Variable("threshold", thresholds, {"units": "activation"}),
            ),
            "language_count_share": xr.concat(
                [
                    kind_share(one)
                    for _, one in nested_kinds(active.values(), neurons, [*counts, len(active)])
                ],
                xr.Variable("languages", sorted({*counts, len(active)}), {"units": "languages"}),
            ),
        }
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Share of every kind by layer beside what repeats in all items; active and dead neurons."""
    return {
        "kinds": tidy(data[["kind_share", "overlap"]]),
        "active": tidy(data[["active_share", "dead"]]),
        "kinds_by_threshold": tidy(data[["threshold_share"]]),
        "kinds_by_languages": tidy(data[["language_count_share"]]),
    }
