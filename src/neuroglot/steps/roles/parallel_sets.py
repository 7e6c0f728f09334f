"""One language in several parallel sets: rank correlation and overlap (figures 14-16)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroglot import store
from neuroglot.capture.recorded import Recorded, by_site, open_recorded, statistics
from neuroglot.corpora.base import read_parquet
from neuroglot.measures.overlap import distinct_sentences, sentence_overlap, token_overlap
from neuroglot.measures.ranks import rank_correlation, rank_correlation_interval
from neuroglot.steps.inputs import Inputs

TABLE = (
    "same_language",
    "same_language_low",
    "same_language_high",
    "sentence_overlap",
    "token_overlap",
)


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Compare each language's rankings between sets, and how far the sets' text overlaps."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]

    def of_site(site: str) -> xr.Dataset:
        total = statistics(recorded, f"{site}_sum", corpora, languages)
        values = rank_correlation(total, between="corpus")
        return _bounded(recorded, site, values, settings["replicates"])

    pieces = {site: of_site(site) for site in ("act", "out")}
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
    overlaps = {
        "sentence_overlap": _pairs(sentences, sentence_overlap, languages, corpora),
        "token_overlap": _pairs(counts, token_overlap, languages, corpora),
    }
    same: xr.Dataset = by_site(pieces)
    return same.assign(overlaps)


def _bounded(
    recorded: Sequence[Recorded], site: str, values: xr.DataArray, replicates: int
) -> xr.Dataset:
    """Put the bounds of ``values``, a rank correlation between sets, beside them.

    Each set is resampled on its own: their segments have nothing to do with each other.
    """
    ordered = values.transpose("language", "layer", "corpus_a", "corpus_b")
    bounds = np.full((2, *ordered.shape), np.nan)
    by_key = {(one.corpus, one.language): one for one in recorded}
    corpora = ordered["corpus_a"].values.tolist()
    for place, language in enumerate(ordered["language"].values.tolist()):
        held = [i for i, one in enumerate(corpora) if (one, language) in by_key]
        bounds[:, place] = ordered[place]  # of a lone set, 1
        for layer in range(ordered.sizes["layer"] if len(held) > 1 else 0):
            sums = [by_key[corpora[i], language].by_fold(f"{site}_sum", layer) for i in held]
            found = rank_correlation_interval(sums, replicates, seeds=held)
            bounds[:, place, layer, np.array(held)[:, None], held] = found
    low, high = (ordered.copy(data=bound).transpose(*values.dims) for bound in bounds)
    name = "same_language"
    return xr.Dataset({name: values, f"{name}_low": low, f"{name}_high": high})


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
