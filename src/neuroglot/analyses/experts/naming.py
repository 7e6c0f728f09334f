"""The neurons of experts with high frequency in only one language."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.analyses.experts.measures.experts import high_frequency, neurons_of, specific_experts
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.models.card import read_card


def named(_method: str, inputs: NamingInputs, _top_fraction: float) -> xr.DataArray:
    """Mark the neurons of each language's specific experts, bool [language, layer, neuron].

    An expert is specific to a language if it has high frequency in this language and in no other
    counted language.
    """
    data = store.open_dataset(inputs.reductions["frequency"], "reduction")
    high = high_frequency(data["expert_frequency"], data.attrs["high_frequency"])
    return neurons_of(read_partition(inputs.parts("partition")), specific_experts(high))


def looked_at(_method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Mark the layers that may have specific experts, bool [layer]: all layers."""
    return np.ones(read_card(inputs.model).layers, bool)
