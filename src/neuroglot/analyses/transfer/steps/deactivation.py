"""How close a language is to the pivot without its transfer neurons, and without their controls.

Neurons that were chosen on one half of the segments are judged on the other half.
"""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.transfer.measures.lists import HALVES, TYPES, listed
from neuroglot.analyses.transfer.settings import DeactivationInputs, DeactivationSettings
from neuroglot.analyses.transfer.without import (
    CLOSENESS_WITHOUT,
    CONTROLS_DONE,
    closeness_tables,
    closeness_without_sets,
)
from neuroglot.measures.matching import Mask

VARIABLES: Mapping[str, str] = {
    **CLOSENESS_WITHOUT,
    "variant": "the model as it is; without the language's neurons of a type (without); "
    f"{CONTROLS_DONE}. Neurons are judged on the half of the segments that did not choose them",
}


def compute(inputs: DeactivationInputs, settings: DeactivationSettings) -> xr.Dataset:
    """Run each language except the pivot without its neurons of either type, by half."""
    lists = store.open_dataset(inputs.neurons, "reduction")

    def sets(language: str) -> dict[str, dict[str, Mask]]:
        return {
            name: {half: listed(lists, name, language, part=half) for half in HALVES}
            for name in TYPES
        }

    return closeness_without_sets(inputs, settings, lists, TYPES, sets)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity and its changes; overlap of neighbours; both beside numbers of neurons."""
    return closeness_tables(data, "deactivation")
