"""Which languages' tokens the neurons of the last layer write: the lexicon paper's section 5."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot.analyses.lexicon.measures import lexicon as measure
from neuroglot.analyses.lexicon.measures.uncertainty import (
    FoldCounts,
    lexicon_intervals,
    token_share_interval,
)

PRIORS: tuple[measure.Prior, ...] = ("uniform", "corpus")
NAMED_LANGUAGES = 5
NAMED_TOKENS = 10


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Associate neurons with languages under both priors and by TF-IDF, with intervals."""
    counted, replicates = inputs.reduction("lexicon/counts"), settings["replicates"]
    count = counted["count"].sel(language=settings["languages"])
    by_fold = FoldCounts.read(counted).of(settings["languages"])
    projection = inputs.reduction("lexicon/projection")
    top = projection["top_token"]
    association = xr.concat(
        [measure.association(top, measure.language_given_token(count, one)) for one in PRIORS],
        xr.Variable("prior", np.array(PRIORS, str)),
    )
    entropy = measure.entropy(association)
    coverage = measure.coverage(top, count)
    uniform, minimum = entropy.sel(prior="uniform", drop=True), settings["minimum_coverage"]
    table = settings["language_table"]
    bounded = {
        "entropy": entropy,
        "coverage": coverage,
        "top_language_share": measure.top_language_share(association),
    }
    share_low, share_high = token_share_interval(by_fold, replicates)
    return xr.Dataset(
        {
            "association": association,
            **bounded,
            **lexicon_intervals(top, by_fold, xr.Dataset(bounded), replicates),
            "tfidf": measure.tfidf(top, count),
            "token_share_low": share_low.assign_attrs(units="share of tokens"),
            "token_share_high": share_high.assign_attrs(units="share of tokens"),
            "tokens": count.sum("token").assign_attrs(units="tokens"),
            "linkage": _linkage(association.sel(prior="uniform", drop=True), coverage, minimum),
            "drawn": measure.lowest_entropy(uniform, coverage, minimum, settings["drawn_neurons"]),
            "drawn_highest": measure.highest_entropy(uniform, coverage, minimum),
            **{name: projection[name] for name in ("top_token", "top_weight", "top_text")},
        },
        coords={
            key: ("language", [table[language][key] for language in settings["languages"]])
            for key in ("family", "genus", "script")
        },
        attrs={
            "minimum_coverage": minimum,
            "fold_final_norm": int(projection.attrs["fold_final_norm"]),
            "folds": by_fold.folds,
            "replicates": replicates,
        },
    )


def _linkage(association: xr.DataArray, coverage: xr.DataArray, minimum: float) -> xr.DataArray:
    """Cluster languages over the neurons with the coverage, or over all where none has it.

    A neuron of which one token was seen would make near what languages share that token, such as a
    bracket that only their texts happen to hold.
    """
    covered = measure.covered(coverage, minimum)
    return measure.language_linkage(association.where(covered) if covered.any() else association)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every neuron by entropy; the drawn ones' tokens (table 1); the effect of the prior."""
    return {
        "neurons": _neurons(data),
        "top_tokens": _top_tokens(data),
        "prior": _prior(data),
    }


def _neurons(data: xr.Dataset) -> pd.DataFrame:
    """One line per neuron and sign, lowest entropy first."""
    names = np.array(_names(data))
    pieces = []
    for sign in data["sign"].values:
        one = data.sel(sign=sign)
        shares = one["association"].sel(prior="uniform").transpose("neuron", "language").values
        order = np.argsort(-np.nan_to_num(shares, nan=-1.0), axis=1, kind="stable")
        best = order[:, :NAMED_LANGUAGES]
        families = one["family"].values[best[:, 0]]
        pieces.append(
            pd.DataFrame(
                {
                    "sign": sign,
                    "neuron": one["neuron"].values,
                    **_with_bounds(one.sel(prior="uniform"), "entropy", "entropy_bits"),
                    **_with_bounds(one.sel(prior="corpus"), "entropy", "entropy_corpus_prior_bits"),
                    **_with_bounds(one, "coverage", "coverage"),
                    "languages": _join_shares(names[best], np.take_along_axis(shares, best, 1)),
                    "family_of_first": np.where(np.isfinite(shares[:, 0]), families, ""),
                    "tokens": [" ".join(texts[:NAMED_TOKENS]) for texts in one["top_text"].values],
                }
            )
        )
    return pd.concat(pieces).sort_values("entropy_bits", kind="stable")


def _with_bounds(data: xr.Dataset, name: str, column: str) -> dict[str, Any]:
    """A column and its interval."""
    return {f"{column}{end}": data[f"{name}{end}"].values for end in ("", "_low", "_high")}


def _join_shares(names: Any, shares: Any) -> list[str]:
    return [
        "; ".join(f"{name} {share:.3f}" for name, share in zip(*row, strict=True) if share > 0)
        for row in zip(names, shares, strict=True)
    ]


def _top_tokens(data: xr.Dataset) -> pd.DataFrame:
    """The first tokens of every drawn neuron, with their weights."""
    pieces = []
    for sign in data["sign"].values:
        lowest = data["drawn"].sel(sign=sign).values.tolist()
        highest = data["drawn_highest"].sel(sign=sign).item()
        chosen = [("lowest entropy", neuron) for neuron in lowest]
        for why, neuron in [*chosen, ("highest entropy", highest)]:
            if neuron < 0:
                continue
            one = data.sel(sign=sign).isel(neuron=neuron)
            shown = one.sizes["shown"]
            pieces.append(
                pd.DataFrame(
                    {
                        "sign": sign,
                        "neuron": neuron,
                        "chosen_for": why,
                        **_with_bounds(one.sel(prior="uniform"), "entropy", "entropy_bits"),
                        "rank": np.arange(1, shown + 1),
                        "token": one["top_text"].values,
                        "token_id": one["top_token"].values[:shown],
                        "weight": one["top_weight"].values[:shown],
                    }
                )
            )
    columns = ["sign", "neuron", "chosen_for", "entropy_bits", "entropy_bits_low"]
    columns += ["entropy_bits_high", "rank", "token", "token_id", "weight"]
    return pd.concat(pieces) if pieces else pd.DataFrame(columns=columns)


def _prior(data: xr.Dataset) -> pd.DataFrame:
    """Share of neurons whose top language is each, under both priors, beside the corpus share."""
    return pd.DataFrame(
        {
            "language": data["language"].values,
            "name": _names(data),
            "share_of_tokens": (data["tokens"] / data["tokens"].sum()).values,
            "share_of_tokens_low": data["token_share_low"].values,
            "share_of_tokens_high": data["token_share_high"].values,
            **{
                column: values
                for one in PRIORS
                for column, values in _with_bounds(
                    data.sel(prior=one), "top_language_share", f"share_of_neurons_{one}_prior"
                ).items()
            },
        }
    )


def _names(data: xr.Dataset) -> Sequence[str]:
    names = json.loads(data.attrs["language_names"])
    return [names[str(language)] for language in data["language"].values]
