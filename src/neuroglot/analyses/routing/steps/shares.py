"""How often languages choose each expert, how far from the pivot, and how surely."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neuroglot.analyses.routing.measures.divergence import divergence_from_pivot
from neuroglot.analyses.routing.measures.overlap import overlap
from neuroglot.analyses.routing.measures.own import expert_frequency
from neuroglot.analyses.routing.measures.shares import expert_entropy
from neuroglot.analyses.routing.recorded import CONFIDENCE, read_routing
from neuroglot.analyses.routing.settings import SharesInputs, SharesSettings
from neuroglot.measures.bootstrap import bounded, ratio_interval, with_bounds
from neuroglot.measures.halves import equal_tokens
from neuroglot.measures.matrix_regression import REGRESSED, UNITS, matrix_regression, relations
from neuroglot.measures.overlap import token_overlap
from neuroglot.tables import tidy
from neuroglot.tokens import read_tokens, token_counts

HALVED = "on equally many tokens of each language, each on another half of the segments"

VARIABLES: Mapping[str, str] = {
    "expert": "number of the expert in its layer",
    "expert_frequency": "share of all tokens of the text that are routed to the expert",
    "expert_entropy": "entropy over the layer's experts of the shares of the language's tokens, on "
    "equally many tokens of each language",
    "divergence": "Jensen-Shannon divergence of the language's shares of experts from the pivot's, "
    + HALVED,
    "floor": "the same divergence of two halves of one language, mean of the pivot and the "
    "language",
    "excess": "the divergence from the pivot less that of two halves of one language",
    "mean_divergence": "the divergence from the pivot, mean over the layers with routed experts",
    "mean_floor": "the divergence of two halves of one language, mean over these layers",
    "mean_excess": "their difference, mean over these layers",
    "overlap": "sum over experts of the smaller of two languages' shares, mean over layers, "
    f"{HALVED}; of a language and itself, that of its own halves",
    "token_overlap": "overlap of two languages' tokens: the sum over tokens of the smaller of "
    "their two shares",
    **REGRESSED,
    "router_top": "largest of the router's probabilities, mean over all tokens of the text",
    "router_margin": "how far the smallest probability among as many experts as a token passes "
    "through is above the next, mean over all tokens of the text",
    "router_entropy": "entropy of the router's probabilities, mean over all tokens of the text",
    "tokens": "tokens of the text, all of which are counted",
    "compared_tokens": "tokens that are compared between languages: in each fold of segments as "
    "many as the language with the fewest has there",
}
OF_ROUTER = dict(zip(CONFIDENCE, ("probability", "probability", "bits"), strict=True))


def compute(inputs: SharesInputs, settings: SharesSettings) -> xr.Dataset:
    """Give frequencies, divergences from the pivot, overlaps, and the router's confidence.

    What is compared between languages is on equally many tokens of each. Intervals come from the
    bootstrap over folds of segments, which have the same segments in every language.
    """
    languages, replicates = settings.languages, settings.replicates
    routing = read_routing(inputs.routing.values(), languages)
    chosen, tokens = routing["chosen"], routing["tokens"]
    equal, compared = equal_tokens(chosen, tokens)
    frequency = expert_frequency(chosen.sum("fold"), tokens.sum("fold"))
    sure: dict[str, xr.DataArray] = {}
    for name, units in OF_ROUTER.items():
        mean = (routing[name].sum("fold") / tokens.sum("fold")).assign_attrs(units=units)
        ends = ratio_interval(routing[name].assign_attrs(units=units), tokens, replicates)
        sure |= bounded(name, mean, ends)
    by_pair = overlap(equal, replicates)
    facts = {language: settings.language_table[language] for language in languages}
    common = token_overlap(token_counts({i: read_tokens(inputs.tokens[i]) for i in languages}))
    related = relations(
        {language: of_language.family for language, of_language in facts.items()},
        {language: of_language.script for language, of_language in facts.items()},
        common,
    )
    return xr.Dataset(
        {
            **bounded("expert_frequency", frequency, ratio_interval(chosen, tokens, replicates)),
            **expert_entropy(equal, replicates),
            **divergence_from_pivot(equal, str(settings.pivot), replicates),
            **by_pair,
            "token_overlap": common,
            **matrix_regression(by_pair["overlap"], related),
            **sure,
            "tokens": tokens.sum("fold").assign_attrs(units="tokens"),
            "compared_tokens": compared.sum("fold").assign_attrs(units="tokens"),
        },
        coords={
            "family": ("language", [of_language.family for of_language in facts.values()]),
            "genus": ("language", [of_language.genus for of_language in facts.values()]),
        },
        attrs={
            "slots": round(float(frequency.sum("expert").mean())),
            "folds": equal.sizes["fold"],
            "replicates": replicates,
            "pivot": str(settings.pivot),
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Frequencies; divergences and entropy by layer; the router's confidence; overlaps."""
    of_layers = with_bounds("divergence", "floor", "excess", "expert_entropy")
    return {
        "frequency": tidy(data[with_bounds("expert_frequency")]),
        "divergence": tidy(data[of_layers]),
        "confidence": tidy(data[with_bounds(*CONFIDENCE)]),
        "overlap": tidy(data[with_bounds("overlap")]),
        "related_languages": tidy(data[[*UNITS]]),
    }
