"""What a language gains when its neurons are multiplied: text written in it, and perplexity."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot.analyses.boost.experiment import PLAIN, Experiment, read_texts
from neuroglot.analyses.boost.identification import UNDETERMINED, code_of, identify
from neuroglot.analyses.named import named_neurons
from neuroglot.analyses.pieces import Piece
from neuroglot.measures.bootstrap import interval
from neuroglot.progress import progress
from neuroglot.tables import tidy

PROMPTED = ("pivot", "own")
VARIANTS = ("boosted", "random")
NOT_WRITTEN = ""  # the language of a text that was not asked for
UNITS = {
    "share": "share of texts",
    "share_low": "share of texts",
    "share_high": "share of texts",
    "undetermined": "share of texts",
    "perplexity": "perplexity",
    "neurons": "neurons",
    "predicted_tokens": "tokens",
    "prompt": "text",
    "continuation": "text",
    "detected": "ISO 639-1 code",
}
STATED = ("method", "prompts", "prompt_tokens", "new_tokens", "random_seeds")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Let the model write, and read held-out text, with every language's neurons multiplied.

    Prompts begin segments of held-out text, of the pivot language (does the model turn to the
    other one?) and of the language itself. A text counts as a whole for the language that it is
    identified as, so that prompts weigh alike however long the texts are that they bring about;
    prompts are also what is resampled for the intervals. A language without neurons has numbers at
    factor 1 only; one that the identifier does not know has no share; and the pivot's prompts are
    its own.

    Args:
        inputs: the model, the method's reductions, and token stores of the held-out corpus and of
            the corpus that neurons were chosen on.
        settings: those of ``BoostSettings``, ``languages`` to boost, ``pivot``, ``perplexity``.
    """
    languages, pivot = settings["languages"], settings["pivot"]
    named = named_neurons(inputs, settings["method"], languages, settings)
    neurons = {one: chosen for one, chosen in named.items() if chosen.any()}
    texts = read_texts(inputs, settings | {"languages": list(dict.fromkeys([*languages, pivot]))})
    experiment = Experiment(inputs, settings, texts)
    boosted: dict[str, Piece] = {}
    with progress(1 + len(neurons), "sets of neurons", f"{inputs.model.name} boost") as bar:
        plain = experiment.plain()
        bar.update()
        for language, chosen in neurons.items():
            prompted = [one for one, _ in _prompts_of(language, pivot)]
            boosted[language] = experiment.boosted(language, prompted, chosen)
            bar.update()
    data = _measured(settings, plain, boosted)
    data["neurons"] = (
        "language",
        [int(named[one].sum()) if one in named else 0 for one in languages],
    )
    data["predicted_tokens"] = "language", [int(plain[one]["tokens"]) for one in languages]
    data = _identified(data, settings)
    for name, units in UNITS.items():
        data[name].attrs = {"units": units}
    return data.assign_attrs({key: settings[key] for key in STATED})


def _prompts_of(language: str, pivot: str) -> list[tuple[str, str]]:
    """The languages whose prompts a boosted model goes on from, and what they are to it."""
    return [(pivot, "pivot"), (language, "own")] if language != pivot else [(language, "own")]


def _measured(
    settings: dict[str, Any], plain: dict[str, Piece], boosted: dict[str, Piece]
) -> xr.Dataset:
    """Put the pieces together; None stands for texts that were not asked for."""
    others = [factor for factor in settings["factors"] if factor != PLAIN]
    coords = {
        "prompted": [*PROMPTED],
        "chosen": ["boosted", *(f"random {draw + 1}" for draw in range(settings["random_seeds"]))],
        "factor": sorted({PLAIN, *settings["factors"]}),
        "language": settings["languages"],
        "item": np.arange(1, settings["prompts"] + 1),
    }
    texts = xr.DataArray(np.full([len(one) for one in coords.values()], None, object), coords)
    prompts = texts.isel(chosen=0, factor=0, drop=True).copy()
    values = xr.full_like(texts[0, ..., 0].drop_vars(("prompted", "item")), np.nan, float)
    for language in settings["languages"]:
        asked = _prompts_of(language, settings["pivot"])
        for of, prompted in asked:
            place = {"prompted": prompted, "language": language}
            prompts.loc[place] = plain[of]["prompt"]
            texts.loc[place | {"factor": PLAIN}] = plain[of]["continuation"]
        values.loc[{"language": language, "factor": PLAIN}] = plain[language]["perplexity"]
        if language in boosted:
            here = {"language": language, "factor": others}
            place = here | {"prompted": [prompted for _, prompted in asked]}
            texts.loc[place] = boosted[language]["continuation"]
            values.loc[here] = boosted[language]["perplexity"]
    boosted_value = values[0].drop_vars("chosen")
    random = boosted_value.copy(data=np.exp(np.log(values[1:].to_numpy()).mean(0)))
    return xr.Dataset(
        {
            "prompt": prompts,
            "continuation": texts,
            "perplexity": _variants(boosted_value, random),
        }
    )


def _identified(data: xr.Dataset, settings: dict[str, Any]) -> xr.Dataset:
    """Add each text's language, and the shares of texts in the boosted one and in none."""
    written = data["continuation"].notnull().to_numpy()
    found = np.full(written.shape, NOT_WRITTEN, object)
    found[written] = identify(data["continuation"].to_numpy()[written])
    detected = data["continuation"].copy(data=found)
    table = settings["language_table"]
    codes = {one: code_of(one, table[one]["script"]) for one in settings["languages"]}
    code = xr.DataArray([codes[one] or NOT_WRITTEN for one in codes], {"language": [*codes]})
    shares = {
        "share": (detected == code).where((detected != NOT_WRITTEN) & (code != NOT_WRITTEN)),
        "undetermined": (detected == UNDETERMINED).where(detected != NOT_WRITTEN),
    }
    of_text = {
        name: _variants(values.sel(chosen="boosted", drop=True), values[:, 1:].mean("chosen"))
        for name, values in shares.items()
    }
    low, high = interval(of_text["share"], settings["replicates"])
    added = {name: values.mean("item") for name, values in of_text.items()}
    added |= {"share_low": low, "share_high": high, "detected": detected}
    return (
        data.fillna({"continuation": "", "prompt": ""})
        .assign(added)
        .assign_attrs(unidentified=[one for one, code in codes.items() if code is None])
    )


def _variants(boosted: xr.DataArray, random: xr.DataArray) -> xr.DataArray:
    return xr.concat([boosted, random], xr.Variable("variant", [*VARIANTS])).astype(float)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Shares and perplexities by factor, and every text that was written."""
    shares = ["share", "share_low", "share_high", "undetermined"]
    numbers = tidy(data[[*shares, "perplexity", "neurons", "predicted_tokens"]])
    texts = tidy(data[["prompt", "continuation", "detected"]])
    return {
        "boost": numbers[numbers["undetermined"].notna()],
        "continuations": texts[texts["detected"] != NOT_WRITTEN],
    }
