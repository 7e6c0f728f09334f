"""Language-specific neurons by the entropy of their activation probability (LAPE)."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.recorded import Recorded, open_recorded
from neuroglot.measures import lape as measure
from neuroglot.measures.lape_uncertainty import chance_selection, selection_interval
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.lape_exports import write_exports

TABLE = (
    "neurons",
    "neurons_low",
    "neurons_high",
    "chance_neurons",
    "chance_neurons_low",
    "chance_neurons_high",
)
RECORDED = ("percentile", "top_fraction", "replicates", "permutations")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Select the neurons of every language from how often each fires in it."""
    recorded = {one.language: one for one in open_recorded(inputs, "firing")}
    languages = settings["languages"]
    site = _site(settings["site"], "gate_positive" in next(iter(recorded.values())).data)
    axis = xr.Variable("language", np.array(languages, str))
    fired = xr.concat([recorded[one].data[f"{site}_positive"] for one in languages], axis)
    tokens = xr.DataArray(
        np.array([recorded[one].counts["rows"] for one in languages], np.int64),
        coords={"language": axis},
        dims="language",
        attrs={"units": "tokens"},
    )
    probability = measure.activation_probability(fired, tokens)
    selected = measure.language_neurons(
        probability, settings["percentile"], settings["top_fraction"]
    )
    entropy = measure.activation_probability_entropy(probability)
    neurons = selected.sum("neuron", dtype=np.int32).assign_attrs(units="neurons")
    return xr.Dataset(
        {
            "activation_probability": probability.astype(np.float32, keep_attrs=True),
            "activation_probability_entropy": entropy,
            "language_neuron": selected,
            "neurons": neurons,
            **_uncertainty(recorded, site, selected, neurons, entropy, settings),
            "shared_by_languages": measure.shared_by_languages(selected),
            "tokens": tokens,
        },
        attrs={"site": site, **{key: settings[key] for key in RECORDED}},
    )


def _uncertainty(
    recorded: dict[str, Recorded],
    site: str,
    selected: xr.DataArray,
    neurons: xr.DataArray,
    entropy: xr.DataArray,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Bound the numbers of neurons by language and layer, and count those of chance."""

    def fired(language: str, layer: int) -> NDArray[np.floating]:
        return recorded[language].by_fold(f"{site}_positive", layer)

    tokens = {one: recorded[one].fold_rows() for one in settings["languages"]}
    bounds = selection_interval(
        fired,
        tokens,
        neurons,
        (entropy.sizes["layer"], entropy.sizes["neuron"]),
        (settings["percentile"], settings["top_fraction"]),
        settings["replicates"],
    )
    highest = entropy.where(selected.any("language")).max()
    chance = chance_selection(
        fired,
        tokens,
        neurons.sizes["layer"],
        selected.attrs["activation_bar"],
        float(highest.fillna(-np.inf)),
        settings["permutations"],
    )
    units = {"units": "neurons"}
    found: dict[str, Any] = {str(name): values for name, values in chance.items()}
    found["all_layers"] = neurons.sum("layer").assign_attrs(units)
    for end, bound in zip(("_low", "_high"), bounds, strict=True):
        found[f"neurons{end}"] = (("language", "layer"), bound[:, :-1], units)
        found[f"all_layers{end}"] = ("language", bound[:, -1], units)
    return found


def _site(wanted: str, gated: bool) -> str:
    """What counts as firing: the gate of a gated model, unless the settings name a site."""
    if wanted == "auto":
        return "gate" if gated else "act"
    return wanted


def export(data: xr.Dataset, folder: Path) -> None:
    """Write the neurons as JSON, and as the nested list of tensors the authors' tools read."""
    write_exports(
        data["language_neuron"], folder / "language_neurons.json", folder / "language_neurons.pt"
    )
