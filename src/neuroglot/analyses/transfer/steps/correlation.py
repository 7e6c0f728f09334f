"""How well transfer neurons separate a language, or its family, from the other languages (η²)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.transfer.measures.correlation import (
    group_ratios,
    language_groups,
    mean_ratios,
)
from neuroglot.analyses.transfer.settings import CorrelationInputs, CorrelationSettings
from neuroglot.analyses.transfer.states import open_states
from neuroglot.measures.axes import layer_widths
from neuroglot.progress import progress
from neuroglot.tables import tidy

VARIABLES: Mapping[str, str] = {
    "type": "list of neurons: of Type 1, of Type 2, or as many random ones of the same layers",
    "grouping": "what is told from all others: the language, or its family",
    "top": "how many neurons of the list, from the highest score",
    "correlation_ratio": "share of the variance of the neuron's last-token activation, over all "
    "segments of all languages, that the grouping explains",
    "mean_ratio": "mean correlation ratio of the list's first neurons; of random ones the mean "
    "over draws",
    "mean_ratio_control_low": "least mean correlation ratio of any draw of random neurons",
    "mean_ratio_control_high": "largest mean correlation ratio of any draw of random neurons",
}


def compute(inputs: CorrelationInputs, settings: CorrelationSettings) -> xr.Dataset:
    """Relate every neuron's last-token activation to language and family, layer by layer.

    For a language that is alone in its family, both groupings are the same. If all languages
    belong to one family, the family's ratio is NaN.
    """
    states = open_states(inputs.states, settings.languages, settings.pivot)
    lists = store.open_dataset(inputs.neurons, "reduction")
    family = {language: facts.family for language, facts in settings.language_table.items()}
    groups = language_groups(
        lists["language"].values.tolist(),
        settings.languages,
        family,
        len(states[settings.pivot].segments),
    )
    shape = (*groups.shape[:2], lists.sizes["layer"], lists.sizes["neuron"])
    ratio = np.full(shape, np.nan)
    with progress(lists.sizes["layer"], "layers", f"{settings.model} correlation") as bar:
        for layer, width in enumerate(layer_widths(lists["score"])):
            act = np.concatenate([language.act(layer)[:, :width] for language in states.values()])
            ratio[:, :, layer, :width] = group_ratios(act, groups)
            bar.update()
    tops = sorted({min(top, lists.sizes["rank"]) for top in settings.tops})
    means = mean_ratios(ratio, lists, tops, settings.random_seeds)
    by_neuron = ("grouping", "language", "layer", "neuron")
    units = {"units": "share of variance"}
    return (
        means.assign(correlation_ratio=(by_neuron, ratio.astype(np.float32), units))
        .assign_coords(lists["layer"].coords)
        .assign_attrs(random_seeds=settings.random_seeds, top_n=lists.attrs["top_n"])
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Mean ratios of each list and its controls, and the controls' range."""
    return {"correlation": tidy(data[[name for name in data if str(name).startswith("mean")]])}
