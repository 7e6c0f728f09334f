"""Opens the recordings a reduction compares, and refuses those that cannot be compared."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.collectors import BY_FOLD
from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import LAYER_NEURONS, stack_layers

Site = Literal["act", "out"]


@dataclass(frozen=True)
class Recorded:
    """One group of one language's recorded activations.

    Attributes:
        path: of the group.
        model, corpus, language: ids.
        data: statistics ``{site}_{statistic}``, or the coordinates of raw rows.
        counts: ``rows`` that statistics are over or that are stored, and ``segments`` of the text.
        sample_segments: of a sample, the segments, from the first, that are looked at.
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
        """``segment``, its id, ``segment_index`` and ``end`` of the sampled prefixes, ``[row]``.

        ``row`` is their index among the stored rows.
        """
        rows = self.data[["segment", "segment_index", "end"]].reset_coords()
        chosen = rows["segment_index"].values < self.sample_segments
        found = rows.drop_vars([name for name in rows.coords if name != "row"])
        return found.assign_coords(row=np.arange(chosen.size)).isel(row=np.flatnonzero(chosen))

    def width(self, site: str, layer: int) -> int | None:
        """How wide a layer is if it is narrower than others; None: as wide as what is stored."""
        if store.SITES[site].width != "neuron" or LAYER_NEURONS not in self.data.coords:
            return None
        return int(self.data[LAYER_NEURONS][layer])

    def by_fold(self, name: str, layer: int | slice = slice(None)) -> NDArray[Any]:
        """Read a statistic's sums over each fold of segments, float32 or float64.

        Args:
            name: of the statistic in ``data``.
            layer: whose.

        Returns:
            ``[fold, neuron]`` (or hidden, or nothing behind ``fold``) of one layer, as wide as it
            is; ``[layer, fold, neuron]`` of several, NaN where one has no neuron.
        """
        values = store.read_layers(self.path, f"{name}{BY_FOLD}", layer)
        if not isinstance(layer, slice) and values.ndim > 1:
            return values[:, : self.width(name.partition("_")[0], layer)]
        return values

    def fold_rows(self) -> NDArray[np.int64]:
        """The rows of each fold that the statistics are over, ``[fold]``."""
        rows: NDArray[np.int64] = self.data["fold_rows"].values
        return rows

    def raw(self, site: Site, layers: Sequence[int], most: int | None = None) -> xr.DataArray:
        """Read the sample's rows of some layers, ``[layer, row, neuron]`` (or hidden), float32.

        They are as wide as the widest of these layers, NaN where one has no neuron.

        Args:
            site: whose.
            layers: which.
            most: rows to read, from the first; None reads all.
        """
        sample = self.sample.isel(row=slice(most))
        rows = sample["row"].values
        read = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0)
        values = stack_layers([self.rows(site, layer, read) for layer in layers])
        widths = [self.width(site, layer) for layer in layers]
        return xr.DataArray(
            values,
            dims=("layer", "row", store.SITES[site].width),
            coords={
                "layer": list(layers),
                "segment": ("row", sample["segment"].values),
                **({} if None in widths else {LAYER_NEURONS: ("layer", widths)}),
            },
        )

    def rows(self, site: str, layer: int, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Read raw rows of a layer, float32 ``[row, neuron]`` (or hidden), as wide as it is."""
        return store.read_rows(self.path, site, layer, rows)[:, : self.width(site, layer)]


def open_recorded(paths: Iterable[Path], sample_segments: int | None = None) -> list[Recorded]:
    """Open one group of the recordings of texts, of one or more models.

    Args:
        paths: of the group, such as ``…/de.zarr/firing``, in each store.
        sample_segments: segments, from the first, that are looked at of a sample; more may have
            been recorded. None: as many as were recorded of every text.

    Raises:
        NeuroglotError: one is missing, incomplete or damaged, or two were recorded differently.
    """
    records = {path: store.read_record(path, "activations") for path in paths}
    if not records:
        raise NeuroglotError("this step reads recordings; it was given none")
    samples = [record for record in records.values() if record.origin["name"] == "sample"]
    # Of samples some may hold more segments than others.
    store.require_same(records, ["settings", *([] if samples else ["group"])])
    for model in {record.origin["model"] for record in records.values()}:
        same = {path: r for path, r in records.items() if r.origin["model"] == model}
        store.require_same(same, ["card"])
    held = [_sampled_segments(record) for record in samples]
    common = min([*held, *([] if sample_segments is None else [sample_segments])], default=0)
    return [
        Recorded(
            path,
            record.origin["model"],
            record.origin["corpus"],
            record.origin["language"],
            _small(path),
            record.counts,
            common,
        )
        for path, record in records.items()
    ]


def _small(path: Path) -> xr.Dataset:
    """What a group holds but for raw rows and sums by fold, which are read layer by layer."""
    names = [folder.name for folder in path.iterdir() if folder.is_dir()]
    large = [name for name in names if name in store.SITES or name.endswith(BY_FOLD)]
    data = store.open_dataset(path, "activations", without=[*large, "token"])
    # What is computed from them is something else than their attributes say.
    return data.drop_attrs(deep=True)


def _sampled_segments(record: store.Record) -> int:
    """Segments that a sample holds; one of a whole text has as many as anybody wants."""
    wanted = int(record.origin["group"]["segments"])
    return wanted if wanted < record.counts["segments"] else sys.maxsize
