"""Activation frequency of experts by language, and sharing between languages (sections 3-4)."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neuroglot.analyses.experts.measures import experts as measure
from neuroglot.analyses.experts.measures.sharing import sharing
from neuroglot.analyses.experts.measures.similarity import closeness, similarity
from neuroglot.analyses.experts.partitions import read_routing
from neuroglot.analyses.experts.settings import FrequencyInputs, FrequencySettings
from neuroglot.measures.bootstrap import bounded, ratio_interval, with_bounds
from neuroglot.measures.halves import equal_tokens
from neuroglot.measures.matrix_regression import REGRESSED, UNITS, matrix_regression, relations
from neuroglot.measures.overlap import token_overlap
from neuroglot.tables import tidy
from neuroglot.tokens import read_tokens, token_counts

VARIABLES: Mapping[str, str] = {
    "languages": "number of languages that share an expert",
    "metric": "how two languages' frequencies are compared",
    "expert_frequency": "share of the counted tokens at which the expert is active",
    "tokens": "counted tokens, in each fold of segments as many as the language with the fewest "
    "has there",
    "similarity": "similarity or distance of two languages' frequencies over all layers' experts, "
    "each on another half of the segments; of a language and itself, the level that other "
    "segments alone give",
    "token_overlap": "overlap of two languages' tokens: the sum over tokens of the smaller of "
    "their two shares",
    **REGRESSED,
    "shared_by": "languages in which the expert is of high frequency",
    "shared_histogram": "experts by the number of languages in which they are of high frequency",
    "shared_histogram_null": "experts by the number of languages that share them when languages' "
    "labels are exchanged at random, on average",
    "shared_histogram_p_value": "share of the exchanges with at least as many experts",
    "specific": "experts that are of high frequency in this language alone",
    "specific_null": "experts of one language alone when languages' labels are exchanged at "
    "random, on average",
    "specific_p_value": "share of the exchanges with at least as many experts of the language "
    "alone",
    "specific_by_layer": "experts of the layer that are of high frequency in one language alone",
    "specific_by_layer_null": "experts of the layer that are one language's alone when languages' "
    "labels are exchanged at random, on average",
    "specific_by_layer_p_value": "share of the exchanges with at least as many such experts in the "
    "layer",
}


def compute(inputs: FrequencyInputs, settings: FrequencySettings) -> xr.Dataset:
    """Give frequencies, similarities of languages, and the number of languages per expert.

    Languages are compared on equally many tokens of each. Intervals come from the bootstrap over
    folds of segments. The numbers of experts with high frequency in only one language are compared
    with chance.
    """
    languages, replicates = settings.languages, settings.replicates
    routing = read_routing(inputs.routing, languages)
    by_fold = equal_tokens(routing["active"], routing["tokens"])
    active, tokens = (counts.sum("fold") for counts in by_fold)
    frequency = measure.expert_frequency(active, tokens)
    compared, *bounds = similarity(*by_fold, replicates)
    high = measure.high_frequency(frequency, settings.high_frequency)
    facts = {language: settings.language_table[language] for language in languages}
    overlap = token_overlap(token_counts({i: read_tokens(inputs.tokens[i]) for i in languages}))
    related = relations(
        {language: of_language.family for language, of_language in facts.items()},
        {language: of_language.script for language, of_language in facts.items()},
        overlap,
    )
    return xr.Dataset(
        {
            **bounded("expert_frequency", frequency, ratio_interval(*by_fold, replicates)),
            "tokens": tokens.assign_attrs(units="tokens"),
            **bounded("similarity", compared, bounds),
            "token_overlap": overlap,
            **matrix_regression(closeness(compared), related),
            "shared_by": measure.shared_by(high),
            **sharing(*by_fold, settings.high_frequency, replicates),
        },
        coords={
            "family": ("language", [of_language.family for of_language in facts.values()]),
            "genus": ("language", [of_language.genus for of_language in facts.values()]),
        },
        attrs={
            "high_frequency": settings.high_frequency,
            "folds": by_fold[0].sizes["fold"],
            "replicates": replicates,
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Frequencies; similarities; experts by number of languages (table 3); specific experts."""
    return {
        "frequency": tidy(data[with_bounds("expert_frequency")]),
        "similarity": tidy(data[with_bounds("similarity")]),
        "related_languages": tidy(data[[*UNITS]]),
        "shared_experts": _experts(data, "shared_histogram"),
        "specific_experts": _experts(data, "specific"),
        "specific_by_layer": _experts(data, "specific_by_layer"),
    }


def _experts(data: xr.Dataset, name: str) -> pd.DataFrame:
    """A number of experts, its interval, and the number by chance with its range and p-value."""
    table = tidy(data[[*with_bounds(name, f"{name}_null"), f"{name}_p_value"]])
    return table.rename(columns=lambda column: str(column).replace(name, "experts"))
