"""Opens the recordings a reduction compares, and refuses those that cannot be compared."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.collectors import BY_FOLD
from neuroglot.capture.settings import GroupName
from neuroglot.errors import NeuroglotError
from neuroglot.steps.inputs import Inputs

Site = Literal["act", "out"]


@dataclass(frozen=True)
class Recorded:
    """One group of one language's recorded activations.

    Attributes:
        path: of the group.
        model, corpus, language: ids.
        data: statistics ``{site}_{statistic}``, or the coordinates of raw rows.
        counts: ``rows`` that statistics are over or that are stored, and ``segments`` of the text.
        sampled: the folder of the language's ``sample``, if it is among what was opened.
        sample_segments: segments, from the first, whose prefixes are the sample.
    """

    path: Path
    model: str
    corpus: str
    language: str
    data: xr.Dataset
    counts: dict[str, int]
    sampled: Path | None = None
    sample_segments: int = 0

    @cached_property
    def sample(self) -> xr.Dataset:
        """``segment``, its id, ``segment_index`` and ``end`` of the sampled prefixes, ``[row]``.

        ``row`` is their index among the stored rows.
        """
        if self.sampled is None:
            raise NeuroglotError(
                f"{self.path.parent}: the sample of prefixes was not recorded, or is not among the "
                "inputs; record it"
            )
        rows = _small(self.sampled)[["segment", "segment_index", "end"]].reset_coords()
        chosen = rows["segment_index"].values < self.sample_segments
        found = rows.drop_vars([name for name in rows.coords if name != "row"])
        return found.assign_coords(row=np.arange(chosen.size)).isel(row=np.flatnonzero(chosen))

    def by_fold(self, name: str, layer: int | slice = slice(None)) -> NDArray[Any]:
        """Read a statistic's sums over each fold of segments, float32 or float64.

        Args:
            name: of the statistic in ``data``.
            layer: whose.

        Returns:
            ``[fold, neuron]`` (or hidden, or nothing behind ``fold``) of one layer, ``[layer,
            fold, neuron]`` of several.
        """
        return store.read_layers(self.path, f"{name}{BY_FOLD}", layer)

    def fold_rows(self) -> NDArray[np.int64]:
        """The rows of each fold that the statistics are over, ``[fold]``."""
        rows: NDArray[np.int64] = self.data["fold_rows"].values
        return rows

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
        assert self.sampled is not None
        values = np.stack([store.read_rows(self.sampled, site, layer, read) for layer in layers])
        return xr.DataArray(
            values,
            dims=("layer", "row", store.SITES[site].width),
            coords={"layer": list(layers), "segment": ("row", sample["segment"].values)},
        )


def open_recorded(
    inputs: Inputs, analysis: GroupName, sample_segments: int | None = None
) -> list[Recorded]:
    """Open a group of the activation stores of one or more models, and the sample beside it.

    Args:
        inputs: the stores among them are opened.
        analysis: the group that is read.
        sample_segments: segments, from the first, whose prefixes are looked at; more may have been
            recorded. None: as many as were recorded of every text.

    Raises:
        NeuroglotError: one is missing, incomplete or damaged, was not recorded for this analysis,
            or two were recorded differently.
    """
    records = {
        path: store.read_record(path, "activations") for path in inputs.stores("activations")
    }
    if not records:
        raise NeuroglotError("this step reads activation stores; it was given none")
    found = {path: one for path, one in records.items() if one.origin["name"] == analysis}
    for root in dict.fromkeys(path.parent for path in records):
        if root / analysis not in found:
            raise NeuroglotError(f"{root}: {analysis} was not recorded; make it again")
    sampled = {path: one for path, one in records.items() if one.origin["name"] == "sample"}
    if analysis != "sample":  # of which some may hold more segments than others
        store.require_same(found, ["settings", "group"])
    if sampled:
        store.require_same(sampled, ["settings"])
    for model in {record.origin["model"] for record in found.values()}:
        same = {path: r for path, r in found.items() if r.origin["model"] == model}
        store.require_same(same, ["card"])
    held = [_sampled_segments(record) for record in sampled.values()]
    common = min([*held, *([] if sample_segments is None else [sample_segments])], default=0)
    return [
        Recorded(
            path,
            record.origin["model"],
            record.origin["corpus"],
            record.origin["language"],
            _small(path),
            record.counts,
            path.parent / "sample" if path.parent / "sample" in sampled else None,
            common,
        )
        for path, record in found.items()
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


def statistics(
    recorded: Sequence[Recorded], name: str, corpora: Sequence[str], languages: Sequence[str]
) -> xr.DataArray:
    """Stack one model's statistic, ``[corpus, language, layer, ...]``, NaN where not recorded."""
    by_key = {(r.corpus, r.language): r.data[name].astype(np.float64) for r in recorded}
    absent = xr.full_like(next(iter(by_key.values())), np.nan)
    return xr.concat(
        [
            xr.concat(
                [by_key.get((c, one), absent) for one in languages], _axis("language", languages)
            )
            for c in corpora
        ],
        _axis("corpus", corpora),
    )


def rows(
    recorded: Sequence[Recorded], corpora: Sequence[str], languages: Sequence[str]
) -> xr.DataArray:
    """Number of recorded prefixes, int64 ``[corpus, language]``, 0 where there are none."""
    by_key = {(r.corpus, r.language): r.counts["rows"] for r in recorded}
    return xr.DataArray(
        np.array([[by_key.get((c, one), 0) for one in languages] for c in corpora], np.int64),
        coords={"corpus": list(corpora), "language": list(languages)},
        dims=("corpus", "language"),
        attrs={"units": "prefixes"},
    )


def bounded(
    recorded: Sequence[Recorded],
    estimates: xr.Dataset,
    bounds: Callable[[Recorded, int], Mapping[str, NDArray[np.float64]]],
) -> xr.Dataset:
    """Put the bounds of statistics beside them, as ``{name}_low`` and ``{name}_high``.

    Args:
        recorded: of one model.
        estimates: with the dimensions corpus, language and layer alone.
        bounds: from a recording and a layer to the two bounds of every variable.
    """
    like = estimates.transpose("corpus", "language", "layer")
    shape = [like.sizes[name] for name in ("corpus", "language", "layer")]
    found = {str(name): np.full((2, *shape), np.nan) for name in estimates}
    corpora, languages = (like[name].values.tolist() for name in ("corpus", "language"))
    for one in recorded:
        if one.corpus in corpora and one.language in languages:
            place = corpora.index(one.corpus), languages.index(one.language)
            for layer in range(shape[2]):
                for name, both in bounds(one, layer).items():
                    found[name][:, *place, layer] = both
    return estimates.assign(
        {
            f"{name}{end}": like[name].copy(data=bound)
            for name, both in found.items()
            for end, bound in zip(("_low", "_high"), both, strict=True)
        }
    )


def by_site(pieces: Mapping[Any, Any]) -> Any:
    """Put datasets of several sites one behind the other along ``site``."""
    return xr.concat(list(pieces.values()), _axis("site", list(pieces)), combine_attrs="override")


def _axis(name: str, ids: Sequence[str]) -> xr.Variable:
    return xr.Variable(name, np.array(ids, dtype=str))
