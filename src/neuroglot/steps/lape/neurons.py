"""Language-specific neurons by the entropy of their activation probability (LAPE)."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroglot.measures import lape as measure
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.lape_exports import write_exports
from neuroglot.steps.recorded import open_recorded

TABLE = ("neurons",)


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
    return xr.Dataset(
        {
            "activation_probability": probability.astype(np.float32, keep_attrs=True),
            "activation_probability_entropy": measure.activation_probability_entropy(probability),
            "language_neuron": selected,
            "neurons": selected.sum("neuron", dtype=np.int32).assign_attrs(units="neurons"),
            "shared_by_languages": measure.shared_by_languages(selected),
            "tokens": tokens,
        },
        attrs={"site": site, **{key: settings[key] for key in ("percentile", "top_fraction")}},
    )


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
