"""How well transfer neurons tell a language, or its family, from the others (η²)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.transfer import correlation_ratio
from neuroglot.analyses.transfer.states import open_states
from neuroglot.analyses.transfer.steps.deactivation import controls
from neuroglot.analyses.transfer.steps.neurons import TYPES, listed
from neuroglot.progress import progress
from neuroglot.tables import tidy

GROUPINGS = ("language", "family")
LISTS = (*TYPES, *(f"random_{kind}" for kind in TYPES))
UNITS = {"units": "share of variance"}


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Relate every neuron's last-token activation to language and family, layer by layer.

    A family that only one language is of is grouped as the language; one that all are of has no
    ratio, and NaN stands for it.
    """
    states = open_states(inputs, settings["languages"], settings["pivot"])
    lists = inputs.reduction("transfer/neurons")
    languages = lists["language"].values.tolist()
    groups = _groups(settings, languages, len(states[settings["pivot"]].segments))
    told = ~groups.all(-1)
    ratio = np.full((*groups.shape[:2], lists.sizes["layer"], lists.sizes["neuron"]), np.nan)
    with progress(lists.sizes["layer"], "layers", f"{settings['model']} correlation") as bar:
        for layer in range(lists.sizes["layer"]):
            act = np.concatenate([one.act(layer) for one in states.values()])
            ratio[told, layer] = correlation_ratio(act, groups[told])
            bar.update()
    tops = sorted({min(top, lists.sizes["rank"]) for top in settings["tops"]})
    mean, low, high = _means(ratio, lists, tops, settings["random_seeds"])
    dims = ("type", "grouping", "language", "top")
    return xr.Dataset(
        {
            "correlation_ratio": (
                ("grouping", "language", "layer", "neuron"),
                ratio.astype(np.float32),
                UNITS,
            ),
            "mean_ratio": (dims, mean, UNITS),
            "mean_ratio_control_low": (dims, low, UNITS),
            "mean_ratio_control_high": (dims, high, UNITS),
        },
        coords={
            "grouping": list(GROUPINGS),
            "language": languages,
            "layer": lists["layer"],
            "stack": lists["stack"],
            "stack_layer": lists["stack_layer"],
            "type": list(LISTS),
            "top": tops,
        },
        attrs={"random_seeds": settings["random_seeds"], "top_n": lists.attrs["top_n"]},
    )


def _groups(settings: dict[str, Any], languages: Sequence[str], segments: int) -> NDArray[np.bool_]:
    """Whether a row is of the language, and of its family, ``[grouping, language, row]``."""
    every = settings["languages"]
    family = {language: settings["language_table"][language]["family"] for language in every}
    of_language = [[other == one for other in every] for one in languages]
    of_family = [[family[other] == family[one] for other in every] for one in languages]
    return np.repeat(np.array([of_language, of_family]), segments, axis=-1)


def _means(
    ratio: NDArray[np.float64], lists: xr.Dataset, tops: Sequence[int], seeds: int
) -> NDArray[np.float64]:
    """Average over the first of each list: LISTS' mean, and the least and largest of the draws.

    ``[3, type, grouping, language, top]``.
    """
    languages = lists["language"].values.tolist()
    found = np.full((3, len(LISTS), len(GROUPINGS), len(languages), len(tops)), np.nan)
    for kind, name in enumerate(TYPES):
        for place, language in enumerate(languages):
            for column, top in enumerate(tops):
                own = listed(lists, name, language, top)
                found[0, kind, :, place, column] = ratio[:, place, own].mean(-1)
                drawn = controls(own, language, seeds)
                means = np.array([ratio[:, place, mask].mean(-1) for mask in drawn])
                random = found[:, LISTS.index(f"random_{name}"), :, place, column]
                random[:] = means.mean(0), means.min(0), means.max(0)
    return found


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Mean ratios of each list beside its controls', and the range of these."""
    return {"correlation": tidy(data[[name for name in data if str(name).startswith("mean")]])}
