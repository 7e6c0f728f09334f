"""The last layer's neurons whose top tokens have the lowest entropy over languages."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import NamingInputs
from neuroglot.analyses.lexicon.measures.lexicon import lowest_entropy_neurons
from neuroglot.models.card import read_card


def named(_method: str, inputs: NamingInputs, top_fraction: float) -> xr.DataArray:
    """Give each language's neurons of lowest entropy, bool [language, layer, neuron].

    A language has at most ``top_fraction`` of the last layer's neurons. The prior is uniform.
    """
    data = store.open_dataset(inputs.reductions["association"], "reduction")
    n = round(top_fraction * data.sizes["neuron"])
    last = lowest_entropy_neurons(data.sel(prior="uniform"), data.attrs["minimum_coverage"], n)
    card = read_card(inputs.model)
    # No neuron is named in the layers before the last, nor beyond its width.
    return last.expand_dims("layer").pad(
        layer=(card.layers - 1, 0),
        neuron=(0, card.widest - last.sizes["neuron"]),
        constant_values=False,
    )


def looked_at(_method: str, inputs: NamingInputs) -> NDArray[np.bool_]:
    """Mark the layers that may have such neurons, bool [layer]: the last layer."""
    layers = read_card(inputs.model).layers
    return np.asarray(np.arange(layers) == layers - 1)
