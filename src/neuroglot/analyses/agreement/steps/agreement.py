"""Compares the neurons that methods name for each language, and lists neurons named by several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.agreement.measures.overlap import agreement, named_by_several
from neuroglot.analyses.agreement.settings import AgreementInputs, AgreementStepSettings
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.lape.measures.lape import highest_elsewhere
from neuroglot.analyses.named import analyses_of, looked_at, named_neurons
from neuroglot.measures.axes import width_axis
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.projection import written_tokens
from neuroglot.models.vocabulary import token_texts
from neuroglot.tables import tidy

TOKENS = 5
UNKNOWN = -1
ALL = "all"
COUNTS = ("neurons", "neurons_other", "shared")

Places = NDArray[np.intp]

VARIABLES: Mapping[str, str] = {
    "method": "method that names a language's neurons",
    "method_other": "method that it is compared with",
    "neurons": "neurons of the layer that the method names for the language",
    "shared": "neurons of the layer that both methods name for the language",
    "jaccard": "neurons that both methods name among those that either names, in one layer",
    "expected_jaccard": "the same of two random sets of these sizes, on average",
    "p_value": "probability that random sets of these sizes share as many neurons of the layer",
    "jaccard_all": "neurons that both methods name among those that either names, over all layers "
    "that both look at",
    "expected_all": "the same of random sets with these sizes in every layer, on average",
    "p_value_all": "probability that random sets with these sizes in every layer share as many",
    "p_value_holm": "p_value_all, corrected by Holm's method for all pairs and languages",
    "looked_at": "whether the method may name neurons of the layer at all",
    "entry_language": "BCP 47 tag of the language that several methods name the neuron for",
    "entry_layer": "layer of the neuron, counted from 0 over all stacks",
    "entry_neuron": "neuron in its layer, counted from 0",
    "entry_named": "whether the method names the neuron for the language",
    "frequency": "share of the language's tokens at which the neuron fires; NaN unknown",
    "frequency_others": "the largest share of any other language's tokens at which the neuron "
    "fires; NaN unknown",
    "expert": "expert of its layer that the neuron belongs to; -1 unknown",
    "specific_items": "items in which the neuron is active in the language alone, of the tasks "
    "asked in the most languages; -1 unknown",
    "top_token": "ids of the tokens whose unembedding has the largest product with what the neuron "
    "adds to the residual stream, the first the largest",
    "top_text": "text of these tokens, unseen characters named",
}


def compute(inputs: AgreementInputs, settings: AgreementStepSettings) -> xr.Dataset:
    """Compare every two methods in every language, and look up other results for the neurons."""
    methods, languages = settings.methods, settings.languages
    named = _named(inputs, settings)
    looked = xr.DataArray(
        [looked_at(method, inputs.naming(method.analysis)) for method in methods],
        dims=("method", "layer"),
        attrs={"units": "true or false"},
    )
    language, layer, neuron = named_by_several(named, settings.minimum_methods)
    entry_language = [languages[index] for index in language]
    tokens, texts = _tokens(inputs, settings, layer, neuron)
    return agreement(named, looked).assign(
        looked_at=looked,
        entry_language=("entry", np.array(entry_language, str), {"units": "language tag"}),
        entry_layer=("entry", layer, {"units": "index of layer"}),
        entry_neuron=("entry", neuron, {"units": "index of neuron"}),
        entry_named=(
            ("method", "entry"),
            named.to_numpy()[:, language, layer, neuron],
            {"units": "true or false"},
        ),
        **_known(inputs, analyses_of(methods), entry_language, layer, neuron),
        top_token=(("entry", "place"), tokens, {"units": "token id"}),
        top_text=(("entry", "place"), texts, {"units": "text"}),
    )


def _named(inputs: AgreementInputs, settings: AgreementStepSettings) -> xr.DataArray:
    """Gather all methods' neurons, bool [method, language, layer, neuron]."""
    card, methods, languages = read_card(inputs.model), settings.methods, settings.languages
    named = np.zeros((len(methods), len(languages), card.layers, card.widest), bool)
    for row, method in enumerate(methods):
        reductions = inputs.naming(method.analysis)
        masks = named_neurons(method, reductions, languages, settings.top_fraction)
        for language, mask in masks.items():
            named[row, languages.index(language)] = mask
    stacks = [(name, layer) for name, size in card.stacks.items() for layer in range(size)]
    return xr.DataArray(
        named,
        dims=("method", "language", "layer", "neuron"),
        coords={
            "method": [method.name for method in methods],
            "language": languages,
            "layer": np.arange(card.layers),
            "stack": ("layer", [name for name, _ in stacks]),
            "stack_layer": ("layer", [layer for _, layer in stacks]),
            **width_axis(card.neurons),
        },
    )


def _known(
    inputs: AgreementInputs,
    analyses: Sequence[str],
    languages: Sequence[str],
    layer: Places,
    neuron: Places,
) -> dict[str, Any]:
    """Look up the compared analyses' results for each entry's neuron in the entry's language.

    - ``frequency``: LAPE's activation probability, and ``frequency_others``, the highest
      probability in another language; NaN if unknown.
    - ``expert``: the neuron's expert; -1 if unknown.
    - ``specific_items``: number of items in which the neuron is active in only this language; -1
      if unknown.
    """

    def read(analysis: str, step: str, name: str) -> xr.DataArray:
        """Read a variable at the entries' neurons, [language, entry]."""
        variable = store.open_dataset(inputs.reductions[analysis][step], "reduction")[name]
        at = {"layer": ("entry", layer), "neuron": ("entry", neuron)}
        return variable.isel(at).transpose("language", "entry")

    frequency = frequency_others = np.full(len(languages), np.nan, np.float32)
    expert = specific_items = np.full(len(languages), UNKNOWN, np.int32)
    if "lape" in analyses:
        probability = read("lape", "neurons", "activation_probability")
        frequency = _in_own_language(probability, languages, np.nan)
        frequency_others = _in_own_language(highest_elsewhere(probability), languages, np.nan)
    if "experts" in analyses:
        partition = read_partition(inputs.naming("experts").parts("partition"))
        expert = partition.to_numpy()[layer, neuron]
    if "sharing" in analyses:
        specific = read("sharing", "kinds", "specific").astype(np.int32)
        specific_items = _in_own_language(specific, languages, UNKNOWN)
    return {
        "frequency": ("entry", frequency, {"units": "share of tokens"}),
        "frequency_others": ("entry", frequency_others, {"units": "share of tokens"}),
        "expert": ("entry", expert, {"units": "index of expert"}),
        "specific_items": ("entry", specific_items, {"units": "items"}),
    }


def _in_own_language(
    values: xr.DataArray, languages: Sequence[str], missing: float
) -> NDArray[Any]:
    """Select each entry's value in the entry's language, from [language, entry]."""
    rows = {language: row for row, language in enumerate(dict.fromkeys(languages))}
    of_rows = values.reindex(language=list(rows), fill_value=missing).to_numpy()
    return of_rows[[rows[language] for language in languages], np.arange(len(languages))]


def _tokens(
    inputs: AgreementInputs, settings: AgreementStepSettings, layer: Places, neuron: Places
) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """Find the top tokens of every entry's value vector, as ids and as text [entry, place]."""
    if not len(layer):
        return np.empty((0, TOKENS), np.int32), np.empty((0, TOKENS), "U1")
    pairs, entry = np.unique(np.stack([layer, neuron]), axis=1, return_inverse=True)
    model = load(inputs.model, settings.device, read_card(inputs.model).dtype)
    neurons = {int(place): pairs[1, pairs[0] == place] for place in np.unique(pairs[0])}
    tokens = written_tokens(model, neurons, TOKENS)[entry.ravel()]
    tokenizer = read_tokenizer(inputs.model)
    texts = np.array(token_texts(tokenizer, tokens.ravel()), str)
    return tokens, texts.reshape(tokens.shape)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Agreement of methods by layer and over all layers; the neurons that several methods name."""
    return {"agreement": _agreement(data), "neurons": _neurons(data)}


def _agreement(data: xr.Dataset) -> pd.DataFrame:
    """List each pair once, if both methods name neurons; "all" marks lines over all layers."""
    neurons, looked, other = data["neurons"], data["looked_at"], {"method": "method_other"}
    sets = xr.Dataset(
        {"neurons": neurons, "neurons_other": neurons.rename(other), "shared": data["shared"]}
    )
    by_layer = sets.assign(
        {name: data[name] for name in ("jaccard", "expected_jaccard", "p_value")}
    )
    over_layers = (
        sets.where(looked & looked.rename(other))
        .sum("layer")
        .assign(
            jaccard=data["jaccard_all"],
            expected_jaccard=data["expected_all"],
            p_value=data["p_value_all"],
            p_value_holm=data["p_value_holm"],
        )
    )
    table = pd.concat([_pairs(by_layer), _pairs(over_layers).assign(layer=ALL)], ignore_index=True)
    order = {language: place for place, language in enumerate(data["language"].values)}
    columns = ["language", "method", "method_other", "layer", *COUNTS]
    columns += ["jaccard", "expected_jaccard", "p_value", "p_value_holm"]
    return table[columns].sort_values("language", key=lambda tags: tags.map(order), kind="stable")


def _pairs(data: xr.Dataset) -> pd.DataFrame:
    """Select the lines of two different methods, each pair in the methods' order."""
    methods = data["method"].values.tolist()
    table = tidy(data).dropna(subset="jaccard")
    first, second = (table[name].map(methods.index) for name in ("method", "method_other"))
    return table[first < second].astype(dict.fromkeys(COUNTS, np.int64))


def _neurons(data: xr.Dataset) -> pd.DataFrame:
    """List the neurons that enough methods name, by language; most methods first."""
    methods, named = data["method"].values, data["entry_named"].transpose("entry", "method").values
    expert, items = pd.Series(data["expert"].values), pd.Series(data["specific_items"].values)
    return pd.DataFrame(
        {
            "language": data["entry_language"].values,
            "layer": data["entry_layer"].values + 1,  # tables, like figures, count from 1
            "neuron": data["entry_neuron"].values,
            "methods": named.sum(axis=1),
            "named_by": [";".join(methods[mask]) for mask in named],
            "frequency": data["frequency"].values,
            "frequency_others": data["frequency_others"].values,
            "expert": expert.where(expert != UNKNOWN).astype("Int64"),
            "specific_items": items.where(items != UNKNOWN).astype("Int64"),
            "top_tokens": [" ".join(texts) for texts in data["top_text"].values],
        }
    )
