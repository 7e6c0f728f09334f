"""Rank correlation of neurons between languages through the layers, and what it is compared with.

Figures 12, 13, 17 and 18. Beside the correlation on the whole text stand those on halves of it,
those without tokens that both languages use, and the overlap of the languages' tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.roles.measures.halves import HALVES, split_correlations
from neuroglot.analyses.roles.measures.ranks import rank_correlation, rank_correlation_bounds
from neuroglot.analyses.roles.measures.unshared import (
    UNSHARED,
    Kept,
    unshared_correlations,
    unshared_rows,
)
from neuroglot.analyses.roles.settings import RankCorrelationInputs, RankCorrelationSettings
from neuroglot.analyses.roles.statistics import PAIR, Statistics, by_site, open_nested
from neuroglot.capture.recorded import Recorded, Site
from neuroglot.measures.bootstrap import bounded, with_bounds
from neuroglot.measures.matrix_regression import (
    BY_LAYER,
    LAYERED,
    REGRESSED,
    UNITS,
    regression_by_layer,
    relations,
)
from neuroglot.measures.overlap import token_overlap
from neuroglot.tables import tidy

COUNTS = ("sampled_prefixes", "unshared_prefixes")
CORRELATIONS = (*with_bounds("rank_correlation"), *HALVES, "token_overlap", *UNSHARED, *COUNTS)

HALF = "rank correlation of the neurons' activations, summed over the prefixes of half a text,"
SAMPLE = "rank correlation of the neurons' activations, summed over the sampled prefixes,"

VARIABLES: Mapping[str, str] = {
    "rank_correlation": "rank correlation between two languages of the neurons' activations, "
    "summed over all recorded prefixes",
    "within_language": f"{HALF} between the halves of one language; of two languages the "
    "geometric mean; mean over random halves",
    "same_content": f"{HALF} between two languages on the same half; mean over random halves",
    "other_content": f"{HALF} between two languages on different halves; mean over random halves",
    "corrected": "other_content ÷ within_language: the rank correlation between two languages on "
    "different texts, corrected for attenuation (Spearman)",
    "folds": "segments that all languages have, or folds of segments, from which halves are drawn",
    "token_overlap": "overlap of two languages' tokens in the whole text: the sum over tokens of "
    "the smaller of their two shares",
    "sample_correlation": f"{SAMPLE} between two languages",
    "without_shared_tokens": f"{SAMPLE} between two languages, without prefixes that end in a "
    "token that both languages' texts have",
    "without_random_prefixes": f"{SAMPLE} between two languages, without as many random prefixes "
    "as end in a token that both languages' texts have; mean over random choices",
    "sampled_prefixes": "sampled prefixes of the first language, in segments that all languages "
    "have",
    "unshared_prefixes": "those of the sampled prefixes of the first language that end in a token "
    "that the second language's text does not have",
    "sampled_segments": "sampled segments that all languages have",
    **REGRESSED,
    **BY_LAYER,
}


@dataclass(frozen=True)
class SampledText:
    """Sampled rows of a parallel text, of the segments that all languages have.

    Attributes:
        recorded: the samples by language.
        rows: indices of rows among those of each sample, ``[row]`` by language.
        kept: the rows whose token the other language does not use.
        overlap: overlap of two languages' tokens.
        segments: number of segments.
    """

    recorded: Mapping[str, Recorded]
    rows: Mapping[str, NDArray[np.intp]]
    kept: Kept
    overlap: xr.DataArray
    segments: int

    @classmethod
    def of(
        cls, recorded: Mapping[str, Recorded], counts: Mapping[str, NDArray[np.integer]]
    ) -> "SampledText":
        """Find the segments that all languages have.

        Args:
            recorded: the samples by language.
            counts: how often each token occurs in a language's whole text, [vocabulary].
        """
        segment = {
            language: sample.sample["segment"].values for language, sample in recorded.items()
        }
        common = reduce(np.intersect1d, segment.values())
        rows = {language: np.flatnonzero(np.isin(of, common)) for language, of in segment.items()}
        token_id = {
            language: sample.data["token_id"].values[sample.sample["row"].values[rows[language]]]
            for language, sample in recorded.items()
        }
        used = np.stack([counts[language] > 0 for language in recorded])
        overlap = token_overlap({language: counts[language] for language in recorded})
        return cls(recorded, rows, unshared_rows(token_id, used), overlap, len(common))

    def correlations(self, site: Site, layer: int) -> NDArray[np.float64]:
        """Correlate ranks with and without rows of shared tokens: see ``unshared_correlations``."""
        values = {
            language: sample.raw(site, [layer]).values[0][self.rows[language]]
            for language, sample in self.recorded.items()
        }
        return unshared_correlations(values, self.kept)


def compute(inputs: RankCorrelationInputs, settings: RankCorrelationSettings) -> xr.Dataset:
    """Correlate the ranks of summed activations between every two languages in each corpus."""
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages)
    samples = open_nested(inputs.sample, settings.sample_segments)
    texts = {
        corpus: SampledText.of(samples[corpus], _counts(inputs, corpus))
        for corpus in settings.corpora
    }

    def of_site(site: Site) -> xr.Dataset:
        correlation = rank_correlation(statistics.total(f"{site}_sum"), "language")
        sums = statistics.sums_by_fold(f"{site}_sum")
        bounds = rank_correlation_bounds(correlation, sums, "language", settings.replicates)

        def of_halves(corpus: str, languages: Sequence[str], layer: int) -> NDArray[np.float64]:
            return split_correlations([sums[corpus, language](layer) for language in languages])

        def of_sample(corpus: str, _languages: Sequence[str], layer: int) -> NDArray[np.float64]:
            return texts[corpus].correlations(site, layer)

        return xr.Dataset(
            bounded("rank_correlation", correlation, bounds)
            | statistics.by_pair(correlation, HALVES, of_halves)
            | statistics.by_pair(correlation, UNSHARED, of_sample)
        )

    data = by_site(of_site).assign(_sizes(statistics, texts))
    return data.assign(_related(data, settings))


def _related(data: xr.Dataset, settings: RankCorrelationSettings) -> xr.Dataset:
    """Regress each corpus' correlations on family, script and token overlap."""
    facts = settings.language_table
    by_corpus = []
    for corpus in settings.corpora:
        of_corpus = data[["rank_correlation", "token_overlap"]].sel(corpus=corpus, drop=True)
        overlap = of_corpus["token_overlap"].rename(
            language_a="language", language_b="language_other"
        )
        related = relations(
            {language: facts[language].family for language in settings.languages},
            {language: facts[language].script for language in settings.languages},
            overlap,
        )
        correlation = of_corpus["rank_correlation"]
        by_corpus.append(regression_by_layer(correlation, related, "layer"))
    return xr.concat(by_corpus, data["corpus"].variable)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Rank correlations and what stands beside them; family, script and token overlap."""
    return {
        "rank_correlation": tidy(data[[*CORRELATIONS]]),
        "related_languages": tidy(data[[*UNITS]]),
        "related_languages_by_layer": tidy(data[[*LAYERED]]),
    }


def _counts(inputs: RankCorrelationInputs, corpus: str) -> dict[str, NDArray[np.integer]]:
    """Read how often each token occurs in a language's text, [vocabulary], by language."""
    return {
        language: store.open_dataset(path, "tokens")["counts"].to_numpy()
        for language, path in inputs.tokens[corpus].items()
    }


def _sizes(statistics: Statistics, texts: Mapping[str, SampledText]) -> xr.Dataset:
    """Give token overlap and numbers of prefixes by pair, and numbers of segments."""
    languages = list(statistics.languages)
    axes = {"corpus": list(statistics.corpora), **dict.fromkeys(PAIR, languages)}
    sizes = xr.DataArray(np.full([3, *map(len, axes.values())], np.nan), axes, ["size", *axes])
    overlap, sampled, unshared = sizes
    folds = []
    for corpus, text in texts.items():
        for a, kept in text.kept.items():
            for b, rows in zip(text.kept, kept, strict=True):
                overlap.loc[corpus, a, b] = text.overlap.sel(language=a, language_other=b)
                sampled.loc[corpus, a, b], unshared.loc[corpus, a, b] = rows.size, rows.sum()
        folds.append(len(statistics.recorded[corpus, next(iter(text.kept))].fold_rows()))
    segments = [text.segments for text in texts.values()]
    counts = dict(zip(COUNTS, (sampled, unshared), strict=True))
    return xr.Dataset(
        {
            "token_overlap": overlap.assign_attrs(units="share of tokens"),
            **{name: count.assign_attrs(units="prefixes") for name, count in counts.items()},
            "folds": ("corpus", folds, {"units": "folds"}),
            "sampled_segments": ("corpus", segments, {"units": "segments"}),
        }
    )
