"""How specific to a language its transfer neurons are, by η².

η² says how well neurons separate a language, or its family, from the other languages.

Neurons that were chosen on one half of the segments are judged on the other half.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.analyses.transfer.measures.controls import DRAWS
from neuroglot.analyses.transfer.measures.correlation import (
    group_ratios,
    language_groups,
    mean_ratios,
)
from neuroglot.analyses.transfer.measures.lists import HALVES
from neuroglot.analyses.transfer.settings import CorrelationInputs, CorrelationSettings
from neuroglot.analyses.transfer.states import open_states
from neuroglot.measures.axes import layer_widths
from neuroglot.progress import progress

TABLE = (
    "mean_ratio",
    "mean_ratio_control_low",
    "mean_ratio_control_high",
    "matched_share",
    "matched_contribution",
)

VARIABLES: Mapping[str, str] = {
    "type": "list of neurons: of Type 1 or of Type 2; as many random ones of the same layers "
    "(random), or others that fire about as often (active); the part of the list that has partners "
    "of like contribution (matched), or these (partner)",
    "grouping": "what is told from all others: the language, or its family",
    "top": "how many neurons of the list, from the highest score; a shorter list is taken whole",
    "correlation_ratio": "share of the variance of the neuron's last-token activation, over all "
    "segments of all languages, that the grouping explains",
    "mean_ratio": "mean correlation ratio of the list's first neurons, in the half of the segments "
    "that did not choose them, mean of both halves and of draws",
    "mean_ratio_control_low": "least mean correlation ratio of any draw of a control",
    "mean_ratio_control_high": "largest mean correlation ratio of any draw of a control",
    "matched_share": "share of the list's first neurons that have a partner of like contribution",
    "matched_contribution": "share of the contribution of the list's first neurons that comes from "
    "those with such a partner",
}


def compute(inputs: CorrelationInputs, settings: CorrelationSettings) -> xr.Dataset:
    """Relate every neuron's last-token activation to language and family, layer by layer.

    For a language that is alone in its family, both groupings are the same. If all languages
    belong to one family, the family's ratio is NaN.
    """
    states = open_states(inputs.states, settings.languages, settings.pivot)
    lists = store.open_dataset(inputs.neurons, "reduction")
    family = {language: facts.family for language, facts in settings.language_table.items()}
    segments = states[settings.pivot].segments
    groups = language_groups(
        lists["language"].values.tolist(), settings.languages, family, len(segments)
    )
    half = np.tile(lists["half"].sel(segment=segments).values, len(states))
    parts = [np.ones(len(half), bool), *(half == name for name in HALVES)]
    shape = (len(parts), *groups.shape[:2], lists.sizes["layer"], lists.sizes["neuron"])
    ratio = np.full(shape, np.nan)
    with progress(lists.sizes["layer"], "layers", f"{settings.model} correlation") as bar:
        for layer, width in enumerate(layer_widths(lists["score"])):
            act = np.concatenate([language.act(layer)[:, :width] for language in states.values()])
            for part, rows in enumerate(parts):
                ratio[part, :, :, layer, :width] = group_ratios(act[rows], groups[..., rows])
            bar.update()
    tops = sorted({min(top, lists.sizes["rank"]) for top in settings.tops})
    means = mean_ratios(ratio[1:], lists, tops, DRAWS)
    by_neuron = ("grouping", "language", "layer", "neuron")
    units = {"units": "share of variance"}
    return (
        means.assign(correlation_ratio=(by_neuron, ratio[0].astype(np.float32), units))
        .assign_coords(lists["layer"].coords)
        .assign_attrs(draws=DRAWS, segments=len(segments))
    )
