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
    "prompted": "whose prompt the model continues: the pivot's or the language's own",
    "chosen": "what is multiplied: the language's neurons, or a draw of as many random ones",
    "variant": "the same, with the draws of random neurons taken together",
    "factor": "what the neurons are multiplied by; 1 is the model as it is",
    "item": "number of the prompt, from 1",
    "prompt": "beginning of a held-out segment, which the model continues",
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
    neurons = {language: mask for language, mask in named.items() if mask.any()}
    texts = read_texts(inputs, settings, list(dict.fromkeys([*languages, pivot])))
    experiment = Experiment(inputs, settings, texts)
    boosted: dict[str, Piece] = {}
    with progress(1 + len(neurons), "sets of neurons", f"{inputs.model.name} boost") as bar:
        plain = experiment.plain()
        bar.update()
        for language, mask in neurons.items():
            sources = list(_prompts_of(language, pivot))
            boosted[language] = experiment.boosted(language, sources, mask)
            bar.update()
    written = _gathered(settings, plain, boosted)
    detected = _identified(written["continuation"])
    scripts = {language: settings.language_table[language].script for language in languages}
    codes = {language: code_of(language, script) for language, script in scripts.items()}
    code = xr.DataArray([code or NOT_WRITTEN for code in codes.values()], {"language": languages})
    numbers = [int(np.sum(neurons.get(language, 0))) for language in languages]
    tokens = [int(plain[language]["tokens"]) for language in languages]
    data = xr.Dataset(
        {
            "prompt": written["prompt"].assign_attrs(units="text"),
            "continuation": written["continuation"].assign_attrs(units="text"),
            "detected": detected.assign_attrs(units="ISO 639-1 code"),
            **language_shares(detected, code),
            "perplexity": perplexities(written["perplexity"]),
            "neurons": ("language", numbers, {"units": "neurons"}),
            "predicted_tokens": ("language", tokens, {"units": "tokens"}),
        },
        attrs={
            "method": settings.method.name,
            "unidentified": [language for language, code in codes.items() if code is None],
            **{key: getattr(settings, key) for key in STATED},
        },
    )
    return data.fillna({"prompt": "", "continuation": ""})


def _prompts_of(language: str, pivot: str) -> dict[str, str]:
    """Give the languages whose prompts a boosted model continues, and what ``prompted`` says."""
    return {pivot: "pivot", language: "own"}  # the pivot's prompts are its own


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
    texts = xr.DataArray(np.full([*map(len, coords.values())], None, object), coords)
    prompts = texts.isel(chosen=0, factor=0, drop=True).copy()
    values = xr.full_like(texts[0, ..., 0].drop_vars(("prompted", "item")), np.nan, float)
    for language in settings.languages:
        sources = _prompts_of(language, settings.pivot)
        for source, prompted in sources.items():
            place = {"prompted": prompted, "language": language}
            prompts.loc[place] = plain[source]["prompt"]
            texts.loc[{**place, "factor": PLAIN}] = plain[source]["continuation"]
        values.loc[{"language": language, "factor": PLAIN}] = plain[language]["perplexity"]
        if of_language := boosted.get(language):
            every: dict[str, Any] = {"language": language, "factor": others}
            values.loc[every] = of_language["perplexity"]
            texts.loc[{**every, "prompted": [*sources.values()]}] = of_language["continuation"]
    return xr.Dataset({"prompt": prompts, "continuation": texts, "perplexity": values})


def _identified(texts: xr.DataArray) -> xr.DataArray:
    """Identify the language of each text."""
    written = texts.notnull().to_numpy()
    detected = np.full(written.shape, NOT_WRITTEN, object)
    detected[written] = identify(texts.to_numpy()[written])
    return texts.copy(data=detected)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Shares and perplexities by factor, and all generated texts."""
    shares = [*with_bounds("share"), "undetermined"]
    numbers = tidy(data[[*shares, "perplexity", "neurons", "predicted_tokens"]])
    texts = tidy(data[["prompt", "continuation", "detected"]])
    return {
        "boost": numbers[numbers["undetermined"].notna()],
        "continuations": texts[texts["detected"] != NOT_WRITTEN],
    }
