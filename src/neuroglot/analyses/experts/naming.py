"""The neurons of the experts that only one language uses often."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.analyses.experts.measures.experts import high_frequency, neurons_of, own_experts
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.models.card import read_card


def named(_method: str, inputs: NamingInputs, _top_fraction: float) -> xr.DataArray:
    """Give the neurons of each language's own experts, bool [language, layer, neuron].

    An expert is a language's own if it is of high frequency in it, and in no other language of
    those that experts were counted in.
    """
    counted = store.open_dataset(inputs.reductions["frequency"], "reduction")
    high = high_frequency(counted["expert_frequency"], counted.attrs["high_frequency"])
    return neurons_of(read_partition(inputs.parts("partition")), own_experts(high))


def looked_at(_method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Say where a language may have experts of its own, bool [layer]: in all layers."""
    return np.ones(read_card(inputs.model).layers, bool)
