"""One model's recorded statistics, stacked over corpora, languages and sites."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.ranks import SumsByFold
from neuroglot.capture.recorded import Recorded, Site, open_recorded, with_common_segments
from neuroglot.measures.bootstrap import bounded

SITES: tuple[Site, ...] = ("act", "out")
PAIR = ("language_a", "language_b")
OfPairs: TypeAlias = Callable[[str, Sequence[str], int], NDArray[np.float64]]
"""Maps a corpus, the languages it has and a layer to values, [name, language, language]."""


@dataclass(frozen=True)
class Statistics:
    """One model's statistics of several corpora; a corpus may lack some of the languages.

    Attributes:
        corpora: ids, in the order of results.
        languages: ids, in the order of results.
        recorded: recordings by corpus and language.
    """

    corpora: Sequence[str]
    languages: Sequence[str]
    recorded: Mapping[tuple[str, str], Recorded]

    @classmethod
    def open(
        cls,
        paths: Mapping[str, Mapping[str, Path]],
        corpora: Sequence[str],
        languages: Sequence[str],
        common: bool = True,
    ) -> "Statistics":
        """Open recordings by corpus and language.

        Args:
            paths: the recorded groups, by corpus and language.
            corpora: ids, in the order of results.
            languages: ids, in the order of results.
            common: use only the segments that all languages of a parallel corpus have.

        Raises:
            NeuroglotError: as ``open_recorded`` and ``with_common_segments``.
        """
        keys = [(corpus, language) for corpus in paths for language in paths[corpus]]
        recorded = open_recorded(paths[corpus][language] for corpus, language in keys)
        used = with_common_segments(recorded) if common else recorded
        return cls(corpora, languages, dict(zip(keys, used, strict=True)))

    def total(self, name: str) -> xr.DataArray:
        """Stack a statistic, float64 ``[corpus, language, layer, ...]``, NaN where not recorded."""
        by_key = {key: r.total(name).astype(np.float64) for key, r in self.recorded.items()}
        absent = xr.full_like(next(iter(by_key.values())), np.nan)
        stacked = [
            xr.concat(
                [by_key.get((corpus, language), absent) for language in self.languages],
                _axis("language", self.languages),
            )
            for corpus in self.corpora
        ]
        return xr.concat(stacked, _axis("corpus", self.corpora))

    def sums_by_fold(self, name: str) -> dict[tuple[str, str], SumsByFold]:
        """Give functions that read a statistic's sums by fold, by corpus and language."""
        return {key: partial(recording.by_fold, name) for key, recording in self.recorded.items()}

    @property
    def rows(self) -> xr.DataArray:
        """Number of recorded prefixes, int64 ``[corpus, language]``, 0 where not recorded."""
        axes = {"corpus": list(self.corpora), "language": list(self.languages)}
        counts = np.zeros([*map(len, axes.values())], np.int64)
        rows = xr.DataArray(counts, axes, [*axes], attrs={"units": "prefixes"})
        for (corpus, language), recording in self.recorded.items():
            rows.loc[corpus, language] = recording.summed_rows()
        return rows

    def bounded(
        self,
        estimates: xr.Dataset,
        bounds: Callable[[Recorded, int], Mapping[str, NDArray[np.float64]]],
    ) -> xr.Dataset:
        """Add lower and upper bounds to the estimates, NaN where nothing is recorded.

        Args:
            estimates: variables with exactly the dimensions corpus, language and layer.
            bounds: function from a recording and a layer to the two bounds of every variable.
        """
        like = estimates.transpose("corpus", "language", "layer")
        shape = (2, len(self.corpora), len(self.languages), like.sizes["layer"])
        ends = {str(name): np.full(shape, np.nan) for name in estimates}
        for (corpus, language), recording in self.recorded.items():
            place = self.corpora.index(corpus), self.languages.index(language)
            for layer in range(like.sizes["layer"]):
                for name, both in bounds(recording, layer).items():
                    ends[name][:, *place, layer] = both
        for name, both in ends.items():
            like = like.assign(bounded(name, like[name], both))
        return like

    def by_pair(
        self, like: xr.DataArray, names: Sequence[str], measured: OfPairs
    ) -> dict[str, xr.DataArray]:
        """Measure every two languages of each corpus, layer by layer; NaN where not recorded.

        Args:
            like: has exactly the dimensions of the results: corpus, the two of ``PAIR``, and layer.
            names: names of what is measured.
            measured: the function that measures.
        """
        ordered = like.transpose("corpus", "layer", *PAIR)
        values = np.full((len(names), *ordered.shape), np.nan)
        for number, corpus in enumerate(self.corpora):
            languages = [language for text, language in self.recorded if text == corpus]
            place = [self.languages.index(language) for language in languages]
            for layer in range(ordered.sizes["layer"]):
                of_layer = measured(corpus, languages, layer)
                values[:, number, layer, np.array(place)[:, None], place] = of_layer
        return {
            name: ordered.copy(data=of_name).transpose(*like.dims)
            for name, of_name in zip(names, values, strict=True)
        }


def open_nested(
    paths: Mapping[str, Mapping[str, Path]], sample_segments: int | None = None
) -> dict[str, dict[str, Recorded]]:
    """Open one group of recordings, such as by corpus and language; see ``open_recorded``."""
    flat = (path for inner in paths.values() for path in inner.values())
    recorded = iter(open_recorded(flat, sample_segments))
    return {outer: {key: next(recorded) for key in inner} for outer, inner in paths.items()}


def by_site(measured: Callable[[Any], xr.Dataset], sites: Sequence[str] = SITES) -> xr.Dataset:
    """Measure at several sites and concatenate the results along ``site``."""
    pieces = [measured(site) for site in sites]
    joined: xr.Dataset = xr.concat(pieces, _axis("site", sites), combine_attrs="override")
    return joined


def _axis(name: str, ids: Sequence[str]) -> xr.Variable:
    return xr.Variable(name, np.array(ids, dtype=str))
