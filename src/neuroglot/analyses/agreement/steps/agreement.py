"""Compares the neurons that methods name for each language, and lists those named by several."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot.analyses.agreement.measures.overlap import agreement
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.named import looked_at, named_neurons
from neuroglot.models.card import read_tokenizer
from neuroglot.models.load import load
from neuroglot.models.projection import written_tokens
from neuroglot.models.vocabulary import token_texts
from neuroglot.tables import tidy

TOKENS = 5
UNKNOWN = -1
ALL = "all"
COUNTS = ("neurons", "neurons_other", "shared")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Compare every two methods in every language and look up what else is known of the neurons."""
    methods, languages = settings["methods"], settings["languages"]
    named = _named(inputs, settings)
    looked = xr.DataArray(
        np.array([looked_at(inputs, method) for method in methods]),
        dims=("method", "layer"),
        attrs={"units": "whether the method looks at the layer"},
    )
    counts = named.sum("method").to_numpy()
    language, layer, neuron = _entries(counts, settings["minimum_methods"])
    own = [languages[index] for index in language]
    tokens, texts = _tokens(inputs, settings, layer, neuron)
    return agreement(named, looked).assign(
        looked_at=looked,
        entry_language=("entry", np.array(own, str), {"units": "id of a language"}),
        entry_layer=("entry", layer, {"units": "number of the layer from 0"}),
        entry_neuron=("entry", neuron, {"units": "number of the neuron in its layer"}),
        entry_named=(
            ("method", "entry"),
            named.to_numpy()[:, language, layer, neuron],
            {"units": "whether the method names the neuron"},
        ),
        **_frequencies(inputs, methods, own, layer, neuron),
        expert=(
            "entry",
            read_partition(inputs).to_numpy()[layer, neuron]
            if "experts" in methods
            else np.full(len(own), UNKNOWN, np.int32),
            {"units": "number of the expert in its layer, -1 unknown"},
        ),
        specific_items=(
            "entry",
            _specific(inputs, methods, own, layer, neuron),
            {"units": "items"},
        ),
        top_token=(("entry", "place"), tokens, {"units": "token id"}),
        top_text=(("entry", "place"), texts, {"units": "token, unseen characters named"}),
    )


def _named(inputs: Inputs, settings: dict[str, Any]) -> xr.DataArray:
    """Gather all methods' neurons, bool [method, language, layer, neuron]."""
    card, methods, languages = inputs.card(), settings["methods"], settings["languages"]
    named = np.zeros((len(methods), len(languages), card.layers, card.neurons), bool)
    for row, method in enumerate(methods):
        for language, own in named_neurons(inputs, method, languages, settings).items():
            named[row, languages.index(language)] = own
    stacks = [(name, layer) for name, size in card.stacks.items() for layer in range(size)]
    return xr.DataArray(
        named,
        dims=("method", "language", "layer", "neuron"),
        coords={
            "method": methods,
            "language": languages,
            "layer": np.arange(card.layers),
            "stack": ("layer", [name for name, _ in stacks]),
            "stack_layer": ("layer", [layer for _, layer in stacks]),
        },
    )


def _entries(counts: NDArray[np.int64], minimum: int) -> tuple[NDArray[np.intp], ...]:
    """Find [language, layer, neuron] of enough methods: by language, most methods first."""
    language, layer, neuron = np.nonzero(counts >= minimum)
    order = np.lexsort((neuron, layer, -counts[language, layer, neuron], language))
    return language[order], layer[order], neuron[order]


def _frequencies(
    inputs: Inputs,
    methods: list[str],
    own: list[str],
    layer: NDArray[np.intp],
    neuron: NDArray[np.intp],
) -> dict[str, Any]:
    """LAPE's activation probability in the language, and the largest in any other, by entry."""
    found = np.full((2, len(own)), np.nan, np.float32)
    if "lape" in methods:
        probability = inputs.reduction("lape/neurons")["activation_probability"]
        values = probability.transpose("language", "layer", "neuron").to_numpy()[:, layer, neuron]
        ids = probability["language"].values[:, None] == np.array(own, str)  # [language, entry]
        known = ids.any(axis=0)
        found[0, known] = np.where(ids, values, -np.inf).max(axis=0)[known]
        found[1, known] = np.where(ids, -np.inf, values).max(axis=0)[known]
    units = {"units": "share of tokens"}
    return {
        name: ("entry", values, units)
        for name, values in zip(("frequency", "frequency_others"), found, strict=True)
    }


def _specific(
    inputs: Inputs,
    methods: list[str],
    own: list[str],
    layer: NDArray[np.intp],
    neuron: NDArray[np.intp],
) -> NDArray[np.int32]:
    """In how many items the neuron is active in this language alone, by entry; -1 unknown."""
    found = np.full(len(own), UNKNOWN, np.int32)
    if "sharing" in methods:
        specific = inputs.reduction("sharing/kinds")["specific"]
        ids = {str(language): row for row, language in enumerate(specific["language"].values)}
        values = specific.transpose("language", "layer", "neuron").to_numpy()
        known = np.array([language in ids for language in own], bool)
        rows = np.array([ids[language] for language in own if language in ids], np.intp)
        found[known] = values[rows, layer[known], neuron[known]]
    return found


def _tokens(
    inputs: Inputs, settings: dict[str, Any], layer: NDArray[np.intp], neuron: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """Find the first tokens of every entry's value vector, as ids and as text [entry, place]."""
    if not len(layer):
        return np.empty((0, TOKENS), np.int32), np.empty((0, TOKENS), "U1")
    pairs, entry = np.unique(np.stack([layer, neuron]), axis=1, return_inverse=True)
    model = load(inputs.model, settings["device"], settings["dtype"])
    chosen = {int(one): pairs[1, pairs[0] == one] for one in np.unique(pairs[0])}
    tokens = written_tokens(model, chosen, TOKENS)[entry.ravel()]
    tokenizer = read_tokenizer(inputs.model)
    texts = np.array(token_texts(tokenizer, tokens.ravel()), str)
    return tokens, texts.reshape(tokens.shape)


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every two methods by layer and over all layers; the neurons that several methods name."""
    return {"agreement": _agreement(data), "neurons": _neurons(data)}


def _agreement(data: xr.Dataset) -> pd.DataFrame:
    """Each pair once, where both methods name neurons; lines over all layers have layer "all"."""
    own, looked = data["neurons"], data["looked_at"]
    other = {"method": "method_other"}
    sets = xr.Dataset(
        {"neurons": own, "neurons_other": own.rename(other), "shared": data["shared"]}
    )
    by_layer = sets.assign(
        {name: data[name] for name in ("jaccard", "expected_jaccard", "p_value")}
    )
    over = (
        sets.where(looked & looked.rename(other))
        .sum("layer")
        .assign(
            jaccard=data["jaccard_all"],
            expected_jaccard=data["expected_all"],
            p_value=data["p_value_all"],
            p_value_holm=data["p_value_holm"],
        )
    )
    table = pd.concat([_pairs(by_layer), _pairs(over).assign(layer=ALL)], ignore_index=True)
    order = {language: place for place, language in enumerate(data["language"].values)}
    columns = ["language", "method", "method_other", "layer", *map(str, sets.data_vars)]
    columns += ["jaccard", "expected_jaccard", "p_value", "p_value_holm"]
    return table[columns].sort_values("language", key=lambda one: one.map(order), kind="stable")


def _pairs(data: xr.Dataset) -> pd.DataFrame:
    """The lines of two different methods, each pair in the methods' order."""
    methods = data["method"].values.tolist()
    table = tidy(data).dropna(subset="jaccard")
    first, second = (table[name].map(methods.index) for name in ("method", "method_other"))
    return table[first < second].astype(dict.fromkeys(COUNTS, np.int64))


def _neurons(data: xr.Dataset) -> pd.DataFrame:
    """Neurons that enough methods name, by language, those of most methods first."""
    methods, named = data["method"].values, data["entry_named"].transpose("entry", "method").values
    numbers = {name: pd.Series(data[name].values) for name in ("expert", "specific_items")}
    return pd.DataFrame(
        {
            "language": data["entry_language"].values,
            "layer": data["entry_layer"].values + 1,  # tables, like figures, count from 1
            "neuron": data["entry_neuron"].values,
            "methods": named.sum(axis=1),
            "named_by": [";".join(methods[own]) for own in named],
            "frequency": data["frequency"].values,
            "frequency_others": data["frequency_others"].values,
            **{name: own.where(own != UNKNOWN).astype("Int64") for name, own in numbers.items()},
            "top_tokens": [" ".join(texts) for texts in data["top_text"].values],
        }
    )
