"""Language-specific neurons by the entropy of their activation probability (LAPE)."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.lape.exports import write_exports
from neuroglot.analyses.lape.measures import lape as measure
from neuroglot.analyses.lape.measures.uncertainty import chance_selection, selection_interval
from neuroglot.analyses.lape.settings import NeuronsInputs, NeuronsSettings
from neuroglot.capture.recorded import open_recorded, with_common_segments
from neuroglot.measures.axes import layer_widths, neuron_names
from neuroglot.measures.bootstrap import bounded, with_bounds
from neuroglot.tables import tidy

REACHED, PER_REACHED = "act_reached", "activation_probability_reached"
STATED = ("percentile", "top_fraction", "replicates", "permutations")

VARIABLES: Mapping[str, str] = {
    "count": "number of languages that a neuron belongs to",
    "activation_probability": "share of all tokens of the text at which the neuron fires",
    "activation_probability_reached": "of a mixture of experts: share of the tokens that are "
    "routed to the neuron's expert at which it fires; missing if there are none",
    "activation_probability_entropy": "entropy over languages of the neuron's activation "
    "probabilities, divided by their sum",
    "language_neuron": "whether the neuron is specific to the language",
    "neurons": "neurons of the layer that are specific to the language",
    "all_layers": "neurons of all layers that are specific to the language",
    "chance_selected": "neurons that would be specific to some language when languages' labels are "
    "exchanged at random, on average",
    "chance_neurons": "neurons of the layer that would be specific to a language when languages' "
    "labels are exchanged at random, on average",
    "chance_all_layers": "neurons of all layers that would be specific to a language when "
    "languages' labels are exchanged at random, on average",
    "shared_by_languages": "selected neurons by the number of languages that they belong to",
    "tokens": "tokens of the text, all of which are counted",
}


def compute(inputs: NeuronsInputs, settings: NeuronsSettings) -> xr.Dataset:
    """Select the neurons of every language by their activation probabilities.

    Also gives intervals of the numbers of neurons over folds of segments, and numbers by chance.
    """
    recorded = {
        recording.language: recording
        for recording in with_common_segments(open_recorded(inputs.firing.values()))
    }
    languages = settings.languages
    gated = "gate_positive" in next(iter(recorded.values())).data
    site = measure.firing_site(settings.site, gated)
    axis = xr.Variable("language", np.array(languages, str))
    counted = xr.concat([recorded[i].total(f"{site}_positive") for i in languages], axis)
    reached = [recorded[i].total(REACHED) for i in languages if REACHED in recorded[i].data]
    tokens = xr.DataArray(
        np.array([recorded[i].summed_rows() for i in languages], np.int64),
        coords={"language": axis},
        dims="language",
        attrs={"units": "tokens"},
    )
    probability = measure.activation_probability(counted, tokens)
    selected = measure.language_neurons(probability, settings.percentile, settings.top_fraction)
    entropy = measure.activation_probability_entropy(probability)
    neurons = selected.sum("neuron", dtype=np.int32).assign_attrs(units="neurons")

    @cache  # folds are much less than the segments that they are summed from
    def fired(language: str, layer: int) -> NDArray[np.floating]:
        return recorded[language].by_fold(f"{site}_positive", layer).astype(np.float32)

    by_fold = fired, {language: recorded[language].fold_rows() for language in languages}
    bounds = selection_interval(
        *by_fold,
        neurons,
        layer_widths(probability),
        (settings.percentile, settings.top_fraction),
        settings.replicates,
    )
    standard = measure.selection_standard(selected, entropy)
    all_layers = neurons.sum("layer", keep_attrs=True)
    return xr.Dataset(
        {
            "activation_probability": probability.astype(np.float32, keep_attrs=True),
            **({PER_REACHED: _per_reached(counted, xr.concat(reached, axis))} if reached else {}),
            "activation_probability_entropy": entropy,
            "language_neuron": selected,
            **bounded("neurons", neurons, bounds[..., :-1]),
            **bounded("all_layers", all_layers, bounds[..., -1]),
            **chance_selection(*by_fold, entropy.sizes["layer"], *standard, settings.permutations),
            "shared_by_languages": measure.shared_by_languages(selected),
            "tokens": tokens,
        },
        attrs={"site": site, **{key: getattr(settings, key) for key in STATED}},
    )


def _per_reached(fired: xr.DataArray, reached: xr.DataArray) -> xr.DataArray:
    """Divide the tokens at which a neuron fires by those that are routed to its expert."""
    probability = (fired / reached.where(reached > 0)).astype(np.float32)
    return probability.assign_attrs(units="share of routed tokens")


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Number of neurons of each language by layer, and the list of neurons."""
    return {
        "neurons": tidy(data[with_bounds("neurons", "chance_neurons")]),
        "language_neurons": _language_neurons(data),
    }


def _language_neurons(data: xr.Dataset) -> pd.DataFrame:
    """One line per neuron and language; layers count from 1."""
    specific = data["language_neuron"].transpose("layer", "neuron", "language").to_numpy()
    layer, neuron, language = np.nonzero(specific)
    place = {"layer": ("line", layer), "neuron": ("line", neuron)}
    probability = data["activation_probability"].isel(place).transpose("line", "language")
    line = np.arange(len(language)), language
    return pd.DataFrame(
        {
            "layer": data["layer"].values[layer] + 1,
            **neuron_names(data, layer, neuron),
            "language": data["language"].values[language],
            "entropy": data["activation_probability_entropy"].isel(place).values,
            "probability": probability.values[line],
            "probability_others": measure.highest_elsewhere(probability).values[line],
            **_reached_columns(data, place, line),
        }
    )


def _reached_columns(data: xr.Dataset, place: Any, line: Any) -> dict[str, NDArray[np.floating]]:
    """Of a mixture, how often a neuron fires where its expert is chosen."""
    if PER_REACHED not in data:
        return {}
    probability = data[PER_REACHED].isel(place).transpose("line", "language")
    return {"probability_reached": probability.values[line]}


def export(data: xr.Dataset, folder: Path) -> None:
    """Write the neurons as JSON, and as the nested list of tensors for the authors' tools."""
    write_exports(
        data["language_neuron"], folder / "language_neurons.json", folder / "language_neurons.pt"
    )
