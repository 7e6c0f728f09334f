"""Generated text and perplexity of a language when its neurons are multiplied."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot.analyses.boost.experiment import PLAIN, Experiment, read_texts
from neuroglot.analyses.boost.identification import code_of, identify
from neuroglot.analyses.boost.measures.variants import NOT_WRITTEN, language_shares, perplexities
from neuroglot.analyses.boost.settings import BoostInputs, BoostStepSettings
from neuroglot.analyses.named import named_neurons
from neuroglot.analyses.pieces import Piece
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.progress import progress
from neuroglot.tables import tidy

PROMPTED = ("pivot", "own")
STATED = ("prompts", "prompt_tokens", "new_tokens", "random_seeds")

VARIABLES: Mapping[str, str] = {
    "prompted": "whose prompt is gone on from: the pivot's or the language's own",
    "chosen": "what is multiplied: the language's neurons, or a draw of as many random ones",
    "variant": "the same, with the draws of random neurons taken together",
    "factor": "what the neurons are multiplied by; 1 is the model as it is",
    "item": "number of the prompt, from 1",
    "prompt": "beginning of a held-out segment that is gone on from",
    "continuation": "what the model writes next; empty where nothing was asked for",
    "detected": "language that the continuation is identified as; und in no language, empty where "
    "nothing was asked for",
    "share": "share of the prompts' continuations that are in the language",
    "undetermined": "share of the prompts' continuations that are in no language",
    "perplexity": "perplexity of the language's held-out text, over all predicted tokens; of "
    "random neurons the geometric mean over draws",
    "neurons": "neurons that the method names for the language",
    "predicted_tokens": "tokens of held-out text that perplexity is over",
}


def compute(inputs: BoostInputs, settings: BoostStepSettings) -> xr.Dataset:
    """Let the model write, and read held-out text, with every language's neurons multiplied.

    Prompts are beginnings of held-out segments, in the pivot language (does the model switch to
    the boosted language?) and in the boosted language itself. Each text counts as a whole for its
    identified language, so that all prompts have the same weight, however long their texts are.
    Intervals are over prompts. A language without neurons has numbers only at factor 1. A language
    that the identifier does not know has no share. For the pivot, only its own prompts are used.
    """
    languages, pivot = settings.languages, settings.pivot
    named = named_neurons(settings.method, inputs.naming, languages, settings.top_fraction)
    neurons = {one: chosen for one, chosen in named.items() if chosen.any()}
    texts = read_texts(inputs, settings, list(dict.fromkeys([*languages, pivot])))
    experiment = Experiment(inputs, settings, texts)
    boosted: dict[str, Piece] = {}
    with progress(1 + len(neurons), "sets of neurons", f"{inputs.model.name} boost") as bar:
        plain = experiment.plain()
        bar.update()
        for language, chosen in neurons.items():
            prompted = [one for one, _ in _prompts_of(language, pivot)]
            boosted[language] = experiment.boosted(language, prompted, chosen)
            bar.update()
    written = _gathered(settings, plain, boosted)
    detected = _identified(written["continuation"])
    codes = {one: code_of(one, settings.language_table[one].script) for one in languages}
    code = xr.DataArray([codes[one] or NOT_WRITTEN for one in languages], {"language": languages})
    counts = {
        "neurons": [int(named[one].sum()) if one in named else 0 for one in languages],
        "tokens": [int(plain[one]["tokens"]) for one in languages],
    }
    data = xr.Dataset(
        {
            "prompt": written["prompt"].assign_attrs(units="text"),
            "continuation": written["continuation"].assign_attrs(units="text"),
            "detected": detected.assign_attrs(units="ISO 639-1 code"),
            **language_shares(detected, code),
            "perplexity": perplexities(written["perplexity"]),
            "neurons": ("language", counts["neurons"], {"units": "neurons"}),
            "predicted_tokens": ("language", counts["tokens"], {"units": "tokens"}),
        },
        attrs={
            "method": settings.method.name,
            "unidentified": [one for one, found in codes.items() if found is None],
            **{key: getattr(settings, key) for key in STATED},
        },
    )
    return data.fillna({"prompt": "", "continuation": ""})


def _prompts_of(language: str, pivot: str) -> list[tuple[str, str]]:
    """List the languages whose prompts a boosted model continues, with their roles."""
    return [(pivot, "pivot"), (language, "own")] if language != pivot else [(language, "own")]


def _gathered(
    settings: BoostStepSettings, plain: Mapping[str, Piece], boosted: Mapping[str, Piece]
) -> xr.Dataset:
    """Combine the pieces.

    ``prompt`` and ``continuation``, None if a text was not generated, and ``perplexity(chosen,
    factor, language)``.
    """
    others = [factor for factor in settings.factors if factor != PLAIN]
    coords: dict[str, Any] = {
        "prompted": [*PROMPTED],
        "chosen": ["boosted", *(f"random {draw + 1}" for draw in range(settings.random_seeds))],
        "factor": sorted({PLAIN, *settings.factors}),
        "language": settings.languages,
        "item": np.arange(1, settings.prompts + 1),
    }
    texts = xr.DataArray(np.full([len(one) for one in coords.values()], None, object), coords)
    prompts = texts.isel(chosen=0, factor=0, drop=True).copy()
    values = xr.full_like(texts[0, ..., 0].drop_vars(("prompted", "item")), np.nan, float)
    for language in settings.languages:
        asked = _prompts_of(language, settings.pivot)
        for of, prompted in asked:
            one = {"prompted": prompted, "language": language}
            prompts.loc[one] = plain[of]["prompt"]
            texts.loc[{**one, "factor": PLAIN}] = plain[of]["continuation"]
        values.loc[{"language": language, "factor": PLAIN}] = plain[language]["perplexity"]
        if own := boosted.get(language):
            every: dict[str, Any] = {"language": language, "factor": others}
            values.loc[every] = own["perplexity"]
            every["prompted"] = [prompted for _, prompted in asked]
            texts.loc[every] = own["continuation"]
    return xr.Dataset({"prompt": prompts, "continuation": texts, "perplexity": values})


def _identified(texts: xr.DataArray) -> xr.DataArray:
    """Identify the language of each text."""
    written = texts.notnull().to_numpy()
    found = np.full(written.shape, NOT_WRITTEN, object)
    found[written] = identify(texts.to_numpy()[written])
    return texts.copy(data=found)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Shares and perplexities by factor, and all generated texts."""
    shares = [*with_bounds("share"), "undetermined"]
    numbers = tidy(data[[*shares, "perplexity", "neurons", "predicted_tokens"]])
    texts = tidy(data[["prompt", "continuation", "detected"]])
    return {
        "boost": numbers[numbers["undetermined"].notna()],
        "continuations": texts[texts["detected"] != NOT_WRITTEN],
    }
