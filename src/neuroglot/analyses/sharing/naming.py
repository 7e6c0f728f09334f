"""The neurons that are most often active in only one language."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.analyses.sharing.measures.specificity import most_specific
from neuroglot.models.card import read_card


def named(_method: str, inputs: NamingInputs, top_fraction: float) -> xr.DataArray:
    """Give the neurons most often specific to each language, bool [language, layer, neuron].

    A language has at most ``top_fraction`` of all layers' neurons.
    """
    kinds = store.open_dataset(inputs.reductions["kinds"], "reduction")
    return most_specific(kinds["specific"], top_fraction)


def looked_at(_method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Mark the layers that may have such neurons, bool [layer]: all layers."""
    return np.ones(read_card(inputs.model).layers, bool)
