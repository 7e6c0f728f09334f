"""Languages of the tokens that the last layer's neurons write (section 5)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.lexicon.measures import lexicon as measure
from neuroglot.analyses.lexicon.measures.uncertainty import (
    FoldCounts,
    lexicon_intervals,
    token_share_interval,
)
from neuroglot.analyses.lexicon.settings import AssociationInputs, AssociationSettings
from neuroglot.measures.bootstrap import named_bounds, with_bounds

NAMED_LANGUAGES = 5
NAMED_TOKENS = 10

VARIABLES: Mapping[str, str] = {
    "prior": "how likely languages are before a token is seen: all alike, or as their texts' "
    "tokens",
    "association": "how likely each language is, averaged over the neuron's top tokens",
    "entropy": "entropy over languages of the neuron's association",
    "coverage": "share of the neuron's top tokens that occur in any language's text",
    "top_language_share": "share of the neurons of both signs whose most associated language this "
    "is",
    "tfidf": "TF-IDF of the language, summed over the neuron's top tokens",
    "token_share": "share of the tokens of all languages' texts that are of this language",
    "tokens": "tokens of the language's text, all of which are counted",
    "linkage": "clusters of languages by association, as SciPy's linkage: the two merged, their "
    "distance, the languages in both",
    "drawn": "neurons of lowest entropy that are well enough covered, counted from 0; -1 none",
    "drawn_highest": "neuron of highest entropy that is well enough covered, counted from 0",
}


def compute(inputs: AssociationInputs, settings: AssociationSettings) -> xr.Dataset:
    """Associate neurons with languages under both priors and by TF-IDF, with intervals."""
    languages, replicates = settings.languages, settings.replicates
    counted = store.open_dataset(inputs.counts, "reduction")
    count = counted["count"].sel(language=languages)
    by_fold = FoldCounts.read(counted).of(languages)
    projection = store.open_dataset(inputs.projection, "reduction")
    top = projection["top_token"]
    association = xr.concat(
        [
            measure.association(top, measure.language_given_token(count, prior))
            for prior in measure.PRIORS
        ],
        xr.Variable("prior", np.array(measure.PRIORS, str)),
    )
    estimates = {
        "entropy": measure.entropy(association),
        "coverage": measure.coverage(top, count),
        "top_language_share": measure.top_language_share(association),
    }
    uniform = association.sel(prior="uniform", drop=True)
    entropy = estimates["entropy"].sel(prior="uniform", drop=True)
    covered = estimates["coverage"], settings.minimum_coverage
    table = [settings.language_table[language] for language in languages]
    return xr.Dataset(
        {
            "association": association,
            **estimates,
            **lexicon_intervals(top, by_fold, xr.Dataset(estimates), replicates),
            "tfidf": measure.tfidf(top, count),
            **named_bounds("token_share", token_share_interval(by_fold, replicates)),
            "tokens": count.sum("token").assign_attrs(units="tokens"),
            "linkage": measure.language_linkage(measure.covered_association(uniform, *covered)),
            "drawn": measure.lowest_entropy(entropy, *covered, settings.drawn_neurons),
            "drawn_highest": measure.highest_entropy(entropy, *covered),
            **{name: projection[name] for name in ("top_token", "top_weight", "top_text")},
        },
        coords={
            "family": ("language", [facts.family for facts in table]),
            "genus": ("language", [facts.genus for facts in table]),
            "script": ("language", [facts.script for facts in table]),
        },
        attrs={
            "minimum_coverage": settings.minimum_coverage,
            "fold_final_norm": int(projection.attrs["fold_final_norm"]),
            "folds": by_fold.folds,
            "replicates": replicates,
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """All neurons by entropy; tokens of the drawn neurons (table 1); the effect of the prior."""
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
        of_sign = data.sel(sign=sign)
        uniform, corpus = (of_sign.sel(prior=prior) for prior in measure.PRIORS)
        shares = uniform["association"].transpose("neuron", "language").values
        order = np.argsort(-np.nan_to_num(shares, nan=-1.0), axis=1, kind="stable")
        best = order[:, :NAMED_LANGUAGES]
        families = data["family"].values[best[:, 0]]
        texts = of_sign["top_text"].values[:, :NAMED_TOKENS]
        pieces.append(
            pd.DataFrame(
                {
                    "sign": sign,
                    **_named(of_sign, of_sign["neuron"].values),
                    **_bounded(uniform, "entropy", "entropy_bits"),
                    **_bounded(corpus, "entropy", "entropy_corpus_prior_bits"),
                    **_bounded(of_sign, "coverage", "coverage"),
                    "languages": _join_shares(names[best], np.take_along_axis(shares, best, 1)),
                    "family_of_first": np.where(np.isfinite(shares[:, 0]), families, ""),
                    "tokens": [" ".join(tokens) for tokens in texts],
                }
            )
        )
    return pd.concat(pieces).sort_values("entropy_bits", kind="stable")


def _named(data: xr.Dataset, neuron: Any) -> dict[str, Any]:
    """Give neurons' numbers as columns; of a mixture of experts within their experts."""
    if "expert" in data.coords:
        return {"expert": data["expert"].values, "neuron": data["expert_neuron"].values}
    return {"neuron": neuron}


def _bounded(data: xr.Dataset, name: str, column: str) -> dict[str, Any]:
    """Give a variable and its interval as columns."""
    values = [data[bound].values for bound in with_bounds(name)]
    return dict(zip(with_bounds(column), values, strict=True))


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
            drawn = data.sel(sign=sign).isel(neuron=neuron)
            shown = drawn.sizes["shown"]
            pieces.append(
                pd.DataFrame(
                    {
                        "sign": sign,
                        **_named(drawn, neuron),
                        "chosen_for": why,
                        **_bounded(drawn.sel(prior="uniform"), "entropy", "entropy_bits"),
                        "rank": np.arange(1, shown + 1),
                        "token": drawn["top_text"].values,
                        "token_id": drawn["top_token"].values[:shown],
                        "weight": drawn["top_weight"].values[:shown],
                    }
                )
            )
    columns = ["sign", *_named(data, 0), "chosen_for", *with_bounds("entropy_bits")]
    columns += ["rank", "token", "token_id", "weight"]
    return pd.concat(pieces) if pieces else pd.DataFrame(columns=columns)


def _prior(data: xr.Dataset) -> pd.DataFrame:
    """Share of neurons by top language under both priors, and the language's share of tokens."""
    table = {
        "language": data["language"].values,
        "name": _names(data),
        **_bounded(
            data.assign(token_share=data["tokens"] / data["tokens"].sum()),
            "token_share",
            "share_of_tokens",
        ),
    }
    for prior in measure.PRIORS:
        share = f"share_of_neurons_{prior}_prior"
        table |= _bounded(data.sel(prior=prior), "top_language_share", share)
    return pd.DataFrame(table)


def _names(data: xr.Dataset) -> Sequence[str]:
    names = json.loads(data.attrs["language_names"])
    return [names[str(language)] for language in data["language"].values]
