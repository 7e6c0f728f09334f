"""Whether the neurons that LAPE finds specific to a language are its transfer neurons.

They are compared with the lists of transfer neurons, by transfer scores and by η², and deactivated
as the lists are.
"""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.transfer.measures.controls import DRAWS
from neuroglot.analyses.transfer.measures.lists import HALVES
from neuroglot.analyses.transfer.measures.specific import LAPE, lape_neurons, specificity
from neuroglot.analyses.transfer.settings import DeactivationSettings, LapeInputs
from neuroglot.analyses.transfer.without import (
    CLOSENESS_WITHOUT,
    CONTROLS_DONE,
    closeness_tables,
    closeness_without_sets,
)
from neuroglot.measures.matching import Mask
from neuroglot.tables import tidy

VARIABLES: Mapping[str, str] = {
    **CLOSENESS_WITHOUT,
    "variant": "the model as it is; without the neurons that LAPE finds specific to the language "
    f"(without); {CONTROLS_DONE}",
    "type": "type1: in the layers that are searched for Type 1 neurons, and beside their list; "
    "type2: the same of Type 2",
    "set": "LAPE's neurons (lape), or controls: as many random ones of the same layers "
    "(random), others that fire about as often (active); LAPE's neurons with partners of like "
    "contribution (matched), or these (partner)",
    "lape_neurons": "neurons that LAPE finds specific to the language, in the type's layers",
    "lape_listed": "share of these neurons that is in the type's list",
    "lape_listed_chance": "the same of neurons drawn at random from the type's layers, on average",
    "listed_lape": "share of the type's list that LAPE finds specific to the language",
    "listed_lape_chance": "the same of a list drawn at random from the type's layers, on average",
    "lape_score": "mean transfer score of LAPE's neurons, or of a control, in the type's layers",
    "lape_score_control_low": "least such mean of any draw of a control",
    "lape_score_control_high": "largest such mean of any draw of a control",
    "lape_ratio": "share of the variance of a neuron's last-token activation, over all segments of "
    "all languages, that the language explains, mean over LAPE's neurons, or over a control, in "
    "the type's layers",
    "lape_ratio_control_low": "least such mean of any draw of a control",
    "lape_ratio_control_high": "largest such mean of any draw of a control",
}


def compute(inputs: LapeInputs, settings: DeactivationSettings) -> xr.Dataset:
    """Compare LAPE's neurons with the lists, and run each language without them.

    They are the same for both halves of the segments, neither of which chose them.
    """
    lists = store.open_dataset(inputs.neurons, "reduction")
    ratio = store.open_dataset(inputs.correlation, "reduction")["correlation_ratio"]
    specific = lape_neurons(store.open_dataset(inputs.lape, "reduction")["language_neuron"])

    def sets(language: str) -> dict[str, dict[str, Mask]]:
        found = specific.get(language)
        return {} if found is None else {LAPE: dict.fromkeys(HALVES, found)}

    compared = specificity(lists, specific, ratio.sel(grouping="language", drop=True), DRAWS)
    return closeness_without_sets(inputs, settings, lists, [LAPE], sets).merge(
        compared, join="exact", combine_attrs="no_conflicts"
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """LAPE's neurons and the lists; what falls without LAPE's neurons."""
    of_lists = [name for name in data if "lape" in str(name)]
    return {"lape": tidy(data[of_lists]), **closeness_tables(data, "lape_deactivation")}
