"""The ranked lists of Type 1 and Type 2 neurons."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.analyses.transfer.measures.lists import listed


def named(method: str, inputs: NamingInputs, _top_fraction: float) -> xr.DataArray:
    """Mark the neurons of each language's whole list, bool [language, layer, neuron]."""
    lists = _lists(inputs)
    languages = lists["language"].values.tolist()
    masks = [listed(lists, method, language) for language in languages]
    return xr.DataArray(masks, {"language": languages}, ("language", "layer", "neuron"))


def looked_at(method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Mark the layers that are searched for the type, bool [layer]; each layer has one type."""
    score = _lists(inputs)["score"].sel(type=method)
    return np.asarray(score.notnull().any(("language", "neuron")).to_numpy())


def _lists(inputs: NamingInputs) -> xr.Dataset:
    return store.open_dataset(inputs.reductions["neurons"], "reduction")
