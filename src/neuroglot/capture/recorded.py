"""Opens recordings for a reduction, and refuses recordings that cannot be compared."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.collectors import BY_FOLD, BY_SEGMENT
from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import LAYER_NEURONS, stack_layers
from neuroglot.measures.folds import common_segments, dealt

Site = Literal["act", "out"]
SEGMENTS = 1024  # whose sums are in memory at a time: in a layer of 11,008 neurons, 90 MB


@dataclass(frozen=True)
class Recorded:
    """One group of one language's recorded activations.

    Attributes:
        path: the group's folder.
        model, corpus, language: ids.
        data: statistics ``{site}_{statistic}``, or the coordinates of raw rows.
        counts: number of ``rows``, summed or stored; of the text's ``segments``; and of segments
            ``drawn`` for all languages, 0 if the corpus is not parallel.
        sample_segments: for a sample, how many segments, from the first, are used.
        segments: of sums of a parallel corpus, the indices of the segments that are used, in the
            order in which they are dealt to folds; None for all of the text.
    """

    path: Path
    model: str
    corpus: str
    language: str
    data: xr.Dataset
    counts: dict[str, int]
    sample_segments: int = 0
    segments: NDArray[np.intp] | None = None

    @cached_property
    def sample(self) -> xr.Dataset:
        """``segment`` (its id), ``segment_place`` and ``end`` of the sampled prefixes, ``[row]``.

        ``row`` is a prefix's index among the stored rows.
        """
        rows = self.data[["segment", "segment_place", "end"]].reset_coords()
        chosen = rows["segment_place"].values < self.sample_segments
        rows = rows.drop_vars([name for name in rows.coords if name != "row"])
        return rows.assign_coords(row=np.arange(chosen.size)).isel(row=np.flatnonzero(chosen))

    def width(self, site: str, layer: int) -> int | None:
        """A layer's width if layers differ in width, else None (the width of the stored array)."""
        if store.SITES[site].width != "neuron" or LAYER_NEURONS not in self.data.coords:
            return None
        return int(self.data[LAYER_NEURONS][layer])

    def by_fold(self, name: str, layer: int) -> NDArray[np.float64]:
        """Read a statistic's sums over each fold of segments in a layer.

        Segments of a parallel corpus are dealt to folds when they are read, in the order of
        ``segments``: see ``folds.dealt``.

        Args:
            name: the statistic's name in ``data``.
            layer: the layer.

        Returns:
            ``[fold, neuron]``, as wide as the layer; ``[fold, hidden]`` or ``[fold]`` for other
            statistics.
        """
        if self.counts["drawn"]:
            return self._weighted(name, layer, self._in_fold)
        sums = store.read_sums(self.path, f"{name}{BY_FOLD}", layer)
        return self._within(name, layer, sums).astype(np.float64)

    def fold_rows(self) -> NDArray[np.int64]:
        """Number of rows of each fold in the statistics, ``[fold]``."""
        rows: NDArray[np.int64] = (
            self._in_fold @ self.data["segment_rows"].values
            if self.counts["drawn"]
            else self.data["fold_rows"].values
        )
        return rows

    def total(self, name: str) -> xr.DataArray:
        """Sum a statistic over the segments that are used, ``[layer, ...]``."""
        total = self.data[name]
        if self.segments is None:
            return total
        used = self._in_fold.sum(0, keepdims=True)
        layers = range(total.sizes["layer"])
        summed = stack_layers([self._weighted(name, layer, used)[0] for layer in layers])
        return total.copy(data=summed.astype(total.dtype))

    def summed_rows(self) -> int:
        """Number of rows that ``total`` sums over."""
        return self.counts["rows"] if self.segments is None else int(self.fold_rows().sum())

    @cached_property
    def _in_fold(self) -> NDArray[np.int64]:
        """Whether a segment is used and in a fold, 1 or 0, ``[fold, segment]``."""
        places = self.data["segment_place"].values
        used = np.argsort(places) if self.segments is None else self.segments
        folds = dealt(len(used))
        inside = np.zeros((folds.max(initial=-1) + 1, len(places)), np.int64)
        inside[folds, used] = 1
        return inside

    def _weighted(self, name: str, layer: int, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """Sum a statistic over segments with ``weights`` ``[sum, segment]``, ``[sum, ...]``."""
        total: Any = 0.0
        for start in range(0, weights.shape[1], SEGMENTS):
            some = slice(start, start + SEGMENTS)
            sums = store.read_sums(self.path, f"{name}{BY_SEGMENT}", layer, some)
            total = total + weights[:, some].astype(np.float64) @ self._within(name, layer, sums)
        return np.asarray(total)

    def _within(self, name: str, layer: int, sums: NDArray[Any]) -> NDArray[Any]:
        """Cut sums ``[part, width]`` to the layer's width; ``[part]`` stay as they are."""
        return sums if sums.ndim == 1 else sums[:, : self.width(name.partition("_")[0], layer)]

    def raw(self, site: Site, layers: Sequence[int], most: int | None = None) -> xr.DataArray:
        """Read the sample's rows of some layers, ``[layer, row, neuron]`` (or hidden), float32.

        Rows are as wide as the widest of these layers, NaN beyond a layer's width.

        Args:
            site: the site.
            layers: the layers to read.
            most: how many rows, from the first, are read; None reads all.
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
        """Read a layer's raw rows, float32 ``[row, neuron]`` (or hidden), as wide as the layer."""
        return store.read_rows(self.path, site, layer, rows)[:, : self.width(site, layer)]


def open_recorded(paths: Iterable[Path], sample_segments: int | None = None) -> list[Recorded]:
    """Open the same group of several recordings, of one or more models.

    Args:
        paths: the group's folder in each store, such as ``…/de.zarr/firing``.
        sample_segments: for a sample, how many segments, from the first, are used; more may have
            been recorded. None: as many as were recorded of every text.

    Raises:
        NeuroglotError: a recording is missing, incomplete or damaged, or two were recorded
            differently.
    """
    completions = {path: store.read_completion(path, "activations") for path in paths}
    if not completions:
        raise NeuroglotError("this step reads recordings; it was given none")
    origins = {path: completion.origin for path, completion in completions.items()}
    sampled = [
        _sampled_segments(completion)
        for completion in completions.values()
        if completion.origin["name"] == "sample"
    ]
    # Samples may differ in their number of segments.
    store.require_same(completions, ["settings", *([] if sampled else ["group"])])
    for model in {origin["model"] for origin in origins.values()}:
        of_model = [path for path, origin in origins.items() if origin["model"] == model]
        store.require_same({path: completions[path] for path in of_model}, ["card"])
    wanted = [] if sample_segments is None else [sample_segments]
    used = min([*sampled, *wanted], default=0)
    return [
        Recorded(
            path=path,
            **{label: origin[label] for label in ("model", "corpus", "language")},
            data=_small(path),
            counts=completions[path].counts,
            sample_segments=used,
        )
        for path, origin in origins.items()
    ]


def with_common_segments(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Use only the segments that all languages of a parallel corpus have.

    Other corpora are used as they are.

    Args:
        recorded: recordings of one group, of any corpora.

    Raises:
        NeuroglotError: as ``common_segments``.
    """
    used: dict[tuple[str, str], NDArray[np.intp]] = {}
    for corpus in {recording.corpus for recording in recorded if recording.counts["drawn"]}:
        of_corpus = [recording for recording in recorded if recording.corpus == corpus]
        drawn = {}
        for recording in of_corpus:
            by_place = np.argsort(recording.data["segment_place"].values)
            with_rows = recording.data["segment_rows"].values[by_place] > 0
            drawn[recording.language] = by_place[with_rows]
        ids = {r.language: r.data["segment"].values[drawn[r.language]].tolist() for r in of_corpus}
        for language, common in common_segments(ids, corpus).items():
            used[corpus, language] = drawn[language][common]
    return [replace(r, segments=used.get((r.corpus, r.language))) for r in recorded]


def _small(path: Path) -> xr.Dataset:
    """Read a group without raw rows, sums by fold and by segment, which are read by layer."""
    names = [folder.name for folder in path.iterdir() if folder.is_dir()]
    large = [n for n in names if n in store.SITES or n.endswith((BY_FOLD, BY_SEGMENT))]
    data = store.open_dataset(path, "activations", without=[*large, "token"])
    # The attributes would be wrong for quantities computed from these variables.
    return data.drop_attrs(deep=True)


def _sampled_segments(sample: store.Completion) -> int:
    """Number of segments in a sample; unlimited if the sample holds the whole text."""
    asked = int(sample.origin["group"]["segments"])
    of_text = sample.counts["drawn"] or sample.counts["segments"]
    return asked if asked < of_text else sys.maxsize
