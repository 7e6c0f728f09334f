"""One language in several parallel sets: rank correlation and overlap (figures 14-16)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.corpora.base import read_parquet
from neuroglot.measures.overlap import distinct_sentences, sentence_overlap, token_overlap
from neuroglot.measures.ranks import rank_correlation
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.recorded import by_site, open_recorded, statistics

TABLE = ("same_language", "sentence_overlap", "token_overlap")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Compare each language's rankings between sets, and how far the sets' text overlaps."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    pieces = {
        site: rank_correlation(
            statistics(recorded, f"{site}_sum", corpora, languages), between="corpus"
        )
        for site in ("act", "out")
    }
    sentences = {
        (path.parent.name, path.stem): distinct_sentences(
            segment.text for segment in read_parquet(path).segments
        )
        for path in inputs.texts
    }
    counts = {
        (path.parent.name, path.stem): store.open_dataset(path, "tokens")["counts"]
        for path in inputs.stores("tokens")
    }
    return xr.Dataset(
        {
            "same_language": by_site(pieces),
            "sentence_overlap": _pairs(sentences, sentence_overlap, languages, corpora),
            "token_overlap": _pairs(counts, token_overlap, languages, corpora),
        }
    )


def _pairs(
    sets: dict[tuple[str, str], Any],
    overlap: Callable[[Any, Any], float],
    languages: Sequence[str],
    corpora: Sequence[str],
) -> xr.DataArray:
    values = np.full((len(languages), len(corpora), len(corpora)), np.nan)
    for i, language in enumerate(languages):
        for j, a in enumerate(corpora):
            for k, b in enumerate(corpora):
                if (a, language) in sets and (b, language) in sets:
                    values[i, j, k] = overlap(sets[a, language], sets[b, language])
    return xr.DataArray(
        values,
        coords={"language": list(languages), "corpus_a": list(corpora), "corpus_b": list(corpora)},
        dims=("language", "corpus_a", "corpus_b"),
        attrs={"units": "share", "source": "figure 16"},
    )
