"""Experts of one language, by LAPE's rule on how often languages choose them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.lape.measures.lape import highest_elsewhere
from neuroglot.analyses.routing.measures.own import (
    counted_experts,
    expert_frequency,
    language_experts,
    shared_by_languages,
)
from neuroglot.analyses.routing.recorded import read_routing
from neuroglot.analyses.routing.settings import ExpertsInputs, ExpertsStepSettings
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.tables import tidy

VARIABLES: Mapping[str, str] = {
    "expert": "number of the expert in its layer",
    "count": "number of languages that an expert belongs to",
    "expert_frequency": "share of all tokens of the text that are routed to the expert",
    "language_entropy": "entropy over languages of the expert's frequencies, divided by their sum",
    "language_expert": "whether the expert is the language's own",
    "experts": "experts of the layer that are the language's own",
    "all_layers": "experts of all layers that are the language's own",
    "chance_selected": "experts that would be some language's own when languages' labels are "
    "exchanged at random, on average",
    "chance_experts": "experts of the layer that would be a language's own when languages' labels "
    "are exchanged at random, on average",
    "chance_all_layers": "experts of all layers that would be a language's own when languages' "
    "labels are exchanged at random, on average",
    "shared_by_languages": "languages' own experts by the number of languages that they belong to",
    "tokens": "tokens of the text, all of which are counted",
}


def compute(inputs: ExpertsInputs, settings: ExpertsStepSettings) -> xr.Dataset:
    """Select the experts of every language by how often they are chosen.

    Also gives intervals of the numbers of experts over folds of segments, and numbers by chance.
    """
    routing = read_routing(inputs.routing.values(), settings.languages)
    tokens = routing["tokens"].sum("fold")
    frequency = expert_frequency(routing["chosen"].sum("fold"), tokens)
    shares = settings.percentile, settings.top_fraction
    own, entropy = language_experts(frequency, *shares)
    chosen = {
        language: routing["chosen"].sel(language=language).to_numpy().astype(np.float32)
        for language in settings.languages
    }

    def by_fold(language: str, layer: int) -> NDArray[np.floating]:
        return chosen[language][:, layer]

    read = {i: routing["tokens"].sel(language=i).to_numpy() for i in settings.languages}
    numbers = counted_experts(
        own, entropy, by_fold, read, shares, settings.replicates, settings.permutations
    )
    return xr.Dataset(
        {
            "expert_frequency": frequency,
            "language_entropy": entropy,
            "language_expert": own,
            **numbers,
            "shared_by_languages": shared_by_languages(own),
            "tokens": tokens.assign_attrs(units="tokens"),
        },
        attrs={
            "slots": round(float(frequency.sum("expert").mean())),
            "percentile": settings.percentile,
            "top_fraction": settings.top_fraction,
            "replicates": settings.replicates,
            "permutations": settings.permutations,
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Number of experts of each language by layer, and the list of experts."""
    return {
        "experts": tidy(data[with_bounds("experts", "chance_experts")]),
        "language_experts": _language_experts(data),
    }


def _language_experts(data: xr.Dataset) -> pd.DataFrame:
    """One line per expert and language; layers count from 1, experts from 0."""
    own = data["language_expert"].transpose("layer", "expert", "language").to_numpy()
    layer, expert, language = np.nonzero(own)
    place = {"layer": ("line", layer), "expert": ("line", expert)}
    frequency = data["expert_frequency"].isel(place).transpose("line", "language")
    line = np.arange(len(language)), language
    return pd.DataFrame(
        {
            "layer": data["layer"].values[layer] + 1,
            "expert": expert,
            "language": data["language"].values[language],
            "entropy": data["language_entropy"].isel(place).values,
            "frequency": frequency.values[line],
            "frequency_others": highest_elsewhere(frequency).values[line],
        }
    )
