"""The neurons that LAPE selects for a language."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.models.card import read_card


def named(_method: str, inputs: NamingInputs, _top_fraction: float) -> xr.DataArray:
    """Mark the neurons that LAPE selects, bool [language, layer, neuron]."""
    return store.open_dataset(inputs.reductions["neurons"], "reduction")["language_neuron"]


def looked_at(_method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Mark the layers that may have selected neurons, bool [layer]: all layers."""
    return np.ones(read_card(inputs.model).layers, bool)
