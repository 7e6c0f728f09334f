"""Generated text and perplexity of a language when its neurons are multiplied."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot.analyses.boost.experiment import PLAIN, Experiment, read_texts
from neuroglot.analyses.boost.identification import identify
from neuroglot.analyses.boost.measures.variants import (
    NOT_WRITTEN,
    draws,
    language_shares,
    loss_statistics,
)
from neuroglot.analyses.boost.settings import BoostInputs, BoostStepSettings
from neuroglot.analyses.held_out import HeldOut
from neuroglot.analyses.named import named_neurons
from neuroglot.analyses.pieces import Piece
from neuroglot.identification import code_of
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.controls import SHARES, controlled_sets, described
from neuroglot.measures.perplexity import CONTROLLED, by_segment, read_sizes
from neuroglot.models.card import read_card
from neuroglot.progress import progress
from neuroglot.tables import tidy

PROMPTED = ("pivot", "own")
STATED = ("prompts", "prompt_tokens", "new_tokens", "random_seeds")

VARIABLES: Mapping[str, str] = {
    "prompted": "whose prompt the model continues: the pivot's or the language's own",
    **CONTROLLED,
    "drawn": "neurons that are multiplied, as variant, with every draw of random ones",
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
    "change": "logarithm of perplexity over that of the model as it is",
    "control": "what is subtracted from the change with the language's neurons multiplied: that "
    "with others that fire as often (activity), with as many random ones (naive), or, from the "
    "change by the part that has partners, with the partners (contribution)",
    "excess": "change of ln perplexity with the language's neurons multiplied, less that with a "
    "control; left out where too few neurons are alike",
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
    texts = read_texts(inputs, settings, list(dict.fromkeys([*languages, pivot])))
    experiment = Experiment(inputs, settings, texts)
    boosted: dict[str, Piece] = {}
    with progress(1 + len(named), "sets of neurons", f"{inputs.model.name} boost") as bar:
        plain = experiment.plain()
        bar.update()
        widths = read_card(inputs.model).neurons
        sets = {
            language: controlled_sets(
                mask,
                plain[language]["frequency"],
                plain[language]["contribution"],
                settings.random_seeds,
                widths,
            )
            for language, mask in named.items()
        }
        for language, mask in named.items():
            if mask.any():
                sources = list(_prompts_of(language, pivot))
                boosted[language] = experiment.boosted(language, sources, sets[language])
            bar.update()
    written = _texts_written(settings, plain, boosted)
    detected = _identified(written["continuation"])
    scripts = {language: settings.language_table[language].script for language in languages}
    codes = {language: code_of(language, script) for language, script in scripts.items()}
    code = xr.DataArray([code or NOT_WRITTEN for code in codes.values()], {"language": languages})
    frequency = np.stack([plain[language]["frequency"] for language in languages])
    about = described([sets[language] for language in languages], frequency, languages)
    judged = [texts[language].held_out for language in languages]
    segments = _losses_read(settings, plain, boosted, judged)
    return xr.Dataset(
        {
            **{name: text.fillna("").assign_attrs(units="text") for name, text in written.items()},
            "detected": detected.assign_attrs(units="ISO 639-1 code"),
            **language_shares(detected, code),
            **loss_statistics(segments["nll"], segments["tokens"], PLAIN, about[[*SHARES]]),
            **about,
            **read_sizes(segments["tokens"]),
        },
        attrs={
            "method": settings.method.name,
            "unidentified": [language for language, code in codes.items() if code is None],
            **{key: getattr(settings, key) for key in STATED},
        },
    )


def _prompts_of(language: str, pivot: str) -> dict[str, str]:
    """Give the languages whose prompts a boosted model continues, and what ``prompted`` says."""
    return {pivot: "pivot", language: "own"}  # the pivot's prompts are its own


def _texts_written(
    settings: BoostStepSettings, plain: Mapping[str, Piece], boosted: Mapping[str, Piece]
) -> xr.Dataset:
    """Combine the pieces' ``prompt`` and ``continuation``, None if a text was not generated."""
    coords: dict[str, Any] = {
        "prompted": [*PROMPTED],
        "drawn": draws(settings.random_seeds),
        "factor": _factors(settings),
        "language": settings.languages,
        "item": np.arange(1, settings.prompts + 1),
    }
    texts = xr.DataArray(np.full([*map(len, coords.values())], None, object), coords)
    prompts = texts.isel(drawn=0, factor=0, drop=True).copy()
    for language in settings.languages:
        sources = _prompts_of(language, settings.pivot)
        for source, prompted in sources.items():
            place = {"prompted": prompted, "language": language}
            prompts.loc[place] = plain[source]["prompt"]
            texts.loc[{**place, "factor": PLAIN}] = plain[source]["continuation"]
        if of_language := boosted.get(language):
            every = {"language": language, "factor": _edited(settings)}
            texts.loc[{**every, "prompted": [*sources.values()]}] = of_language["continuation"]
    return xr.Dataset({"prompt": prompts, "continuation": texts})


def _losses_read(
    settings: BoostStepSettings,
    plain: Mapping[str, Piece],
    boosted: Mapping[str, Piece],
    judged: Sequence[HeldOut],
) -> xr.Dataset:
    """Combine the pieces' losses, ``nll(drawn, factor, language, item)``, and ``tokens``.

    NaN for a language without neurons, but for the model as it is.
    """
    drawn, factors = draws(settings.random_seeds), _factors(settings)
    by_language = []
    for text in judged:
        losses = np.full((len(drawn), len(factors), len(text.segments)), np.nan)
        losses[:, factors.index(PLAIN)] = plain[text.language]["nll"]
        if text.language in boosted:
            places = [factors.index(factor) for factor in _edited(settings)]
            losses[:, places] = boosted[text.language]["nll"]
        by_language.append(losses)
    values = {
        "nll": (("drawn", "factor", "language", "item"), np.concatenate(by_language, axis=-1)),
        "tokens": (("language", "item"), np.concatenate([text.predicted for text in judged])),
    }
    coords: dict[str, Sequence[Any]]
    coords = {"drawn": drawn, "factor": factors, "language": settings.languages}
    return by_segment(values, [text.labels for text in judged], coords)


def _factors(settings: BoostStepSettings) -> list[float]:
    """All factors that are measured, with that of the model as it is, ascending."""
    return sorted({PLAIN, *settings.factors})


def _edited(settings: BoostStepSettings) -> list[float]:
    """The factors that change anything, in the order of the pieces."""
    return [factor for factor in settings.factors if factor != PLAIN]


def _identified(texts: xr.DataArray) -> xr.DataArray:
    """Identify the language of each text."""
    written = texts.notnull().to_numpy()
    detected = np.full(written.shape, NOT_WRITTEN, object)
    detected[written] = identify(texts.to_numpy()[written])
    return texts.copy(data=detected)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Shares and losses by factor, differences from controls, and all generated texts."""
    told = [*with_bounds("share"), "undetermined", "perplexity", *with_bounds("change")]
    sizes = ["predicted_tokens", "segments"]
    numbers = tidy(data[[*told, "neurons", "firing_frequency", *sizes]])
    contrasts = tidy(
        data[[*with_bounds("excess"), "excess_p_value", *SHARES, *sizes, "fewest_segments"]]
    )
    texts = tidy(data[["prompt", "continuation", "detected"]])
    return {
        "boost": numbers[numbers["undetermined"].notna()],
        "contrasts": contrasts[contrasts["factor"] != PLAIN],
        "continuations": texts[texts["detected"] != NOT_WRITTEN],
    }
