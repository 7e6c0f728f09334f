"""Readers for the datasets that steps of the experts analysis pass on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import common_folds


def read_partition(paths: Mapping[str, Path]) -> xr.DataArray:
    """Join the blocks to ``expert(layer, neuron)`` of all layers.

    Args:
        paths: paths of the datasets of ``partition``, by block.

    Raises:
        NeuroglotError: a layer is missing or in two blocks.
    """
    blocks = [store.open_dataset(path, "reduction") for path in paths.values()]
    experts = xr.concat([block for block in blocks if block.sizes["layer"]], "layer")["expert"]
    experts = experts.sortby("layer")
    layers = experts["layer"].values
    if not np.array_equal(layers, np.arange(len(layers))):
        raise NeuroglotError(
            f"the clustered layers are {layers.tolist()}, not every layer once; "
            "remove the partition and run again"
        )
    return experts


def read_routing(paths: Mapping[str, Path], languages: Sequence[str]) -> xr.Dataset:
    """Read the number of tokens that activate each expert, and the number of all tokens.

    ``active(language, fold, layer, expert)`` and ``tokens(language, fold)``, of a parallel corpus
    only over the segments that all languages have. Other texts with fewer segments may have empty
    folds.

    Args:
        paths: paths of the datasets of ``routing``, by language.
        languages: languages to read, in this order.
    """
    routing = [store.open_dataset(paths[language], "reduction") for language in languages]
    folds = np.arange(max(data.sizes["fold"] for data in routing))
    counted = xr.concat(
        [data.reindex(fold=folds, fill_value=0) for data in routing],
        xr.Variable("language", np.array(languages, str)),
        combine_attrs="drop",
    )
    if not routing[0].attrs["drawn"]:
        return counted
    there = counted["tokens"].transpose("language", "fold").to_numpy() > 0
    return counted.isel(fold=common_folds(there, languages, routing[0].attrs["corpus"]))
