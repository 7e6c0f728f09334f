"""Keeps sums by fold of segments beside a recording, one file per statistic, read by layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.store import damaged

FOLDER = "folds"


def write_folds(store: Path, sums: Mapping[str, NDArray[Any]], segments: int) -> None:
    """Write ``sums``, ``[layer, fold, ...]`` by name, without the folds that have no segment."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    for name, values in sums.items():
        kept = values[:, : min(FOLDS, segments)]
        array = zarr.create_array(
            store / FOLDER / name,
            shape=kept.shape,
            chunks=(1, *kept.shape[1:]),
            shards=kept.shape,
            dtype=kept.dtype,
            compressors=[ZstdCodec(level=3), Crc32cCodec()],
            overwrite=True,
        )
        array[:] = kept


def read_folds(store: Path, name: str, layer: int | slice = slice(None)) -> NDArray[Any]:
    """Read a statistic, ``[fold, ...]`` of a layer or ``[layer, fold, ...]`` of several.

    Raises:
        NeuroglotError: the store does not hold it, or it is damaged.
    """
    import zarr

    path = store / FOLDER / name
    if not (path / "zarr.json").is_file():
        raise NeuroglotError(f"{store} holds no sums by fold of {name}; make it again")
    try:
        values: NDArray[Any] = np.asarray(zarr.open_array(path, mode="r")[layer])
    except Exception as error:
        raise damaged(store, error) from error
    return values
