"""Contribution of each kind of neuron to the FFN's output (figures 8, 9 and 23 to 26)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.by_fact import OF_LANGUAGES
from neuroglot.analyses.sharing.measures.contribution import (
    SHARES,
    contribution,
    contribution_by_item,
    contributions_bounded,
)
from neuroglot.analyses.sharing.measures.kinds import KIND
from neuroglot.analyses.sharing.pairs import layer_value_norms
from neuroglot.analyses.sharing.prompts import Prompts, open_prompts, recorded_items
from neuroglot.analyses.sharing.settings import ContributionsInputs, ContributionsSettings
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.tables import tidy
from neuroglot.tasks.base import facts_of

CONTRIBUTION = (
    "share of the layer's summed |activation| × length of value vector (behind the norm that "
    "follows the FFN, if one does)"
)

VARIABLES: Mapping[str, str] = {
    "kind": KIND,
    "top_share": "share of the layer's top contributors that are of the kind, mean over facts",
    "mean": f"{CONTRIBUTION} of a neuron of the kind, mean over facts",
    "sum": f"{CONTRIBUTION} of the kind's neurons together, mean over facts",
    "top_share_of_languages": "share of the layer's top contributors that are of the kind, mean "
    "over facts and languages",
    "mean_of_languages": f"{CONTRIBUTION} of a neuron of the kind, mean over facts and languages",
    "sum_of_languages": f"{CONTRIBUTION} of the kind's neurons together, mean over facts and "
    "languages",
}


def compute(inputs: ContributionsInputs, settings: ContributionsSettings) -> xr.Dataset:
    """Average contributions over facts for every task, language and layer."""
    prompts = open_prompts(inputs.prompts, settings.tasks, settings.languages)
    norms = layer_value_norms(inputs.model)
    tasks = {}
    for of_task in prompts:
        facts = facts_of(recorded_items(inputs.items[of_task.task], of_task))
        tasks[of_task.task] = _task(of_task, facts, norms, settings)
    data = along("task", tasks)
    return data.reindex(language=settings.languages).assign_attrs(
        top_fraction=settings.top_fraction
    )


def _task(
    prompts: Prompts,
    facts: Sequence[str],
    norms: Sequence[NDArray[np.float64]],
    settings: ContributionsSettings,
) -> xr.Dataset:
    by_layer = [
        along(
            "language",
            {
                language: contribution_by_item(
                    contribution(values, norm), kinds, settings.top_fraction
                )
                for language, values in act.items()
            },
        )
        for norm, (act, kinds) in zip(norms, prompts.by_layer(settings.threshold), strict=True)
    ]
    by_item = xr.concat(by_layer, "layer")
    return xr.merge([contributions_bounded(by_item, facts, settings.replicates), prompts.layers])


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Kinds of the top contributors, mean and sum, by task, language, layer and kind."""
    return {
        "contributions": tidy(data[with_bounds(*SHARES)]),
        "contributions_of_languages": tidy(
            data[with_bounds(*(name + OF_LANGUAGES for name in SHARES))]
        ),
    }
