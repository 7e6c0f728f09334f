"""Readers for the datasets that steps of the experts analysis pass on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.errors import NeuroglotError
from neuroglot.measures.folds import common_segments, dealt


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

    ``active(language, fold, layer, expert)`` and ``tokens(language, fold)``. In a parallel corpus
    the segments that all languages have are dealt to folds. Other texts with fewer segments may
    have empty folds.

    Args:
        paths: paths of the datasets of ``routing``, by language.
        languages: languages to read, in this order.
    """
    routing = {i: store.open_dataset(paths[i], "reduction") for i in languages}
    if "segment" in routing[languages[0]].dims:
        routing = _of_common_segments(routing)
    folds = np.arange(max(data.sizes["fold"] for data in routing.values()))
    return xr.concat(
        [data.reindex(fold=folds, fill_value=0) for data in routing.values()],
        xr.Variable("language", np.array(languages, str)),
        combine_attrs="drop",
    )


def _of_common_segments(routing: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Sum each language's counts over folds of the segments that all languages have."""
    ordered = {language: data.sortby("segment_place") for language, data in routing.items()}
    ids = {language: data["segment"].values.tolist() for language, data in ordered.items()}
    by_fold = {}
    corpus = next(iter(routing.values())).attrs["corpus"]
    for language, common in common_segments(ids, corpus).items():
        used = ordered[language].isel(segment=common).drop_vars("segment_place")
        dealt_to = xr.DataArray(dealt(len(common)), dims="segment", name="fold")
        by_fold[language] = used.groupby(dealt_to).sum("segment")
    return by_fold
