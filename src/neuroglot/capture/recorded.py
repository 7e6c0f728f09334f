"""Opens the activation stores a reduction compares, and refuses those that cannot be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.folds import read_folds
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import FOLDS

Site = Literal["act", "out"]
WIDTH = {"act": "neuron", "out": "hidden"}


@dataclass(frozen=True)
class Recorded:
    """One language's recorded activations.

    Attributes:
        path: of the store.
        model, corpus, language: ids.
        data: statistics ``{site}_{statistic}`` and the coordinates of the recorded rows.
        counts: ``rows``, ``raw_rows`` (the first of them), ``prefixes`` (rows that end one) and
            ``segments``.
        sample_segments: segments, from the first, whose prefixes are the roles paper's sample.
    """

    path: Path
    model: str
    corpus: str
    language: str
    data: xr.Dataset
    counts: dict[str, int]
    sample_segments: int = 0

    @cached_property
    def sample(self) -> xr.Dataset:
        """``segment_id``, ``segment`` and ``end`` of the sampled prefixes, ``[row]``.

        ``row`` is their index among the raw rows.
        """
        rows = self.data[["snapshot", "segment", "end"]].isel(row=slice(self.counts["raw_rows"]))
        chosen = rows["snapshot"] & (rows["segment"] < self.sample_segments)
        found = rows[["segment", "end"]].assign_coords(row=np.arange(chosen.size))
        found = found.isel(row=np.flatnonzero(chosen))
        ids = self.data["segment_id"].values.astype(str)[found["segment"].values]
        return found.assign(segment_id=("row", ids))

    def by_fold(self, name: str, layer: int | slice = slice(None)) -> NDArray[Any]:
        """Read a statistic's sums over each fold of segments, float32 or float64.

        Args:
            name: of the statistic in ``data``.
            layer: whose.

        Returns:
            ``[fold, neuron]`` (or hidden, or nothing behind ``fold``) of one layer, ``[layer,
            fold, neuron]`` of several.
        """
        return read_folds(self.path, name, layer)

    def fold_rows(self, prefixes: bool = True) -> NDArray[np.int64]:
        """Count the rows of each fold, ``[fold]``: those that end a prefix, or all."""
        segment = self.data["segment"].values
        counted = segment[self.data["snapshot"].values] if prefixes else segment
        folds = min(FOLDS, self.counts["segments"])
        return np.bincount(counted % FOLDS, minlength=folds)

    def raw(self, site: Site, layers: Sequence[int], most: int | None = None) -> xr.DataArray:
        """Read the sample's rows of some layers, ``[layer, row, neuron]`` (or hidden), float32.

        Args:
            site: whose.
            layers: which.
            most: rows to read, from the first; None reads all.
        """
        sample = self.sample.isel(row=slice(most))
        rows = sample["row"].values
        read = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0)
        values = np.stack(
            [store.read_rows(self.path, site, layer, read)[rows - read.start] for layer in layers]
        )
        return xr.DataArray(
            values,
            dims=("layer", "row", WIDTH[site]),
            coords={"layer": list(layers), "segment": ("row", sample["segment_id"].values)},
        )


def open_recorded(paths: Iterable[Path], sample_segments: int | None = None) -> list[Recorded]:
    """Open one group of the recordings of texts, of one or more models.

    Args:
        paths: of the group, such as ``…/de.zarr/firing``, in each store.
        sample_segments: segments, from the first, that are looked at of a sample, which may hold
            more; None for all.

    Raises:
        NeuroglotError: one is missing, incomplete or damaged, or two were recorded differently.
    """
    paths = list(paths)
    if not paths:
        raise NeuroglotError("this step reads activation stores; it was given none")
    group = paths[0].name
    records = {path.parent: store.read_record(path.parent, "activations") for path in paths}
    for path, record in records.items():
        if not record.origin[{"sample": "roles"}.get(group, group)]:
            raise NeuroglotError(f"{path}: {group} was not recorded; make it again")
    store.require_same(records, ["settings", {"sample": "roles"}.get(group, group), "code"])
    for model in {record.origin["model"] for record in records.values()}:
        same = {path: r for path, r in records.items() if r.origin["model"] == model}
        store.require_same(same, ["card"])
    return [
        Recorded(
            path,
            record.origin["model"],
            record.origin["corpus"],
            record.origin["language"],
            store.open_dataset(path, "activations"),
            record.counts,
            _sampled(record, sample_segments),
        )
        for path, record in records.items()
    ]


def _sampled(record: store.Record, wanted: int | None) -> int:
    held: int = (record.origin["roles"] or {}).get("sample_segments", 0)
    return held if wanted is None else min(held, wanted)
