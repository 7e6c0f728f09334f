"""Reads what the steps of the experts paper hand to one another."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot import store
from neuroglot.errors import NeuroglotError


def read_partition(inputs: Inputs) -> xr.DataArray:
    """Join the blocks to ``expert(layer, neuron)`` of all layers.

    Raises:
        NeuroglotError: a layer is missing or stands in two blocks.
    """
    blocks = [
        store.open_dataset(path, "reduction") for path in inputs.reductions("experts/partition")
    ]
    experts = xr.concat([block for block in blocks if block.sizes["layer"]], "layer")["expert"]
    experts = experts.sortby("layer")
    layers = experts["layer"].values
    if not np.array_equal(layers, np.arange(len(layers))):
        raise NeuroglotError(
            f"the clustered layers are {layers.tolist()}, not every layer once; "
            "remove the partition and run again"
        )
    return experts


def read_routing(inputs: Inputs, languages: Sequence[str]) -> xr.Dataset:
    """The tokens every expert was active for: ``active(language, fold, layer, expert)``.

    And ``tokens(language, fold)`` in all. Texts of fewer segments than others have empty folds.
    """
    routing = {}
    for path in inputs.reductions("experts/routing"):
        data = store.open_dataset(path, "reduction")
        routing[str(data.attrs["language"])] = data
    folds = np.arange(max(data.sizes["fold"] for data in routing.values()))
    return xr.concat(
        [routing[language].reindex(fold=folds, fill_value=0) for language in languages],
        xr.Variable("language", np.array(languages, str)),
        combine_attrs="drop",
    )
