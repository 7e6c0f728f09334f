"""One language in several parallel sets: rank correlation and overlap (figures 14-16)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.roles.measures.overlap import (
    distinct_sentences,
    overlap_of_sets,
    sentence_overlap,
)
from neuroglot.analyses.roles.measures.ranks import rank_correlation, rank_correlation_bounds
from neuroglot.analyses.roles.settings import ParallelSetsInputs, ResampledSettings
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Site
from neuroglot.corpora.base import read_parquet
from neuroglot.measures.bootstrap import bounded, with_bounds
from neuroglot.measures.overlap import token_overlap

TABLE = (*with_bounds("same_language"), "sentence_overlap", "set_token_overlap")
Read = TypeVar("Read")

VARIABLES: Mapping[str, str] = {
    "same_language": "rank correlation between two corpora of the neurons' activations, summed "
    "over all recorded prefixes of one language",
    "sentence_overlap": "share of the first corpus' distinct segments that the second has too",
    "set_token_overlap": "overlap of one language's tokens in two corpora: the sum over tokens of "
    "the smaller of their two shares",
}


def compute(inputs: ParallelSetsInputs, settings: ResampledSettings) -> xr.Dataset:
    """Compare each language's neuron rankings and texts between parallel sets."""
    corpora, languages = settings.corpora, settings.languages
    statistics = Statistics.open(inputs.roles, corpora, languages)

    def of_site(site: Site) -> xr.Dataset:
        correlation = rank_correlation(statistics.total(f"{site}_sum"), "corpus")
        sums = statistics.sums_by_fold(f"{site}_sum")
        bounds = rank_correlation_bounds(correlation, sums, "corpus", settings.replicates)
        return xr.Dataset(bounded("same_language", correlation, bounds))

    sentences, counts = _read(inputs.texts, _sentences), _read(inputs.tokens, _counts)
    return by_site(of_site).assign(
        sentence_overlap=overlap_of_sets(sentences, sentence_overlap, languages, corpora),
        set_token_overlap=overlap_of_sets(counts, _token_overlap, languages, corpora),
    )


def _read(
    paths: Mapping[str, Mapping[str, Path]], read: Callable[[Path], Read]
) -> dict[tuple[str, str], Read]:
    """Read the file of every corpus and language."""
    return {
        (corpus, language): read(path)
        for corpus, of_corpus in paths.items()
        for language, path in of_corpus.items()
    }


def _sentences(path: Path) -> frozenset[str]:
    return distinct_sentences(segment.text for segment in read_parquet(path).segments)


def _counts(path: Path) -> NDArray[np.integer]:
    return store.open_dataset(path, "tokens")["counts"].to_numpy()


def _token_overlap(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    return float(token_overlap({"a": a, "b": b})[0, 1])
