"""Representational similarity between the layers of every two models (figure 11)."""

from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.recorded import Recorded, Site, open_recorded
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.measures.rsa import (
    Stimulus,
    correlation_rows,
    rsa,
    rsa_interval,
    shared_stimuli,
)
from neuroglot.steps.inputs import Inputs

TABLE = ("rsa", "rsa_low", "rsa_high")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Compare all layers of every two models on the prefixes they share, in every language.

    A lone model is compared with itself.
    """
    corpus, languages, models = (
        settings["corpora"][0],
        settings["languages"],
        settings["models"],
    )
    recorded = {
        (r.model, r.language): r for r in open_recorded(inputs, "roles") if r.corpus == corpus
    }
    depth = max(r.data.sizes["layer"] for r in recorded.values())
    sites: tuple[Site, ...] = ("act", "out")
    size = (len(sites), len(languages), len(models), depth, len(models), depth)
    values, *bounds = np.full((3, *size), np.nan, np.float32)
    stimuli = np.zeros((len(languages), len(models), len(models)), np.int64)
    pairs = list(combinations(range(len(models)), 2)) or [(0, 0)]
    for j, language in enumerate(languages):
        for k, m in pairs:
            a, b = (recorded.get((models[n], language)) for n in (k, m))
            if a is None or b is None:
                continue
            chosen = _sample(*shared_stimuli(_stimuli(a), _stimuli(b)), settings["rsa_stimuli"])
            stimuli[j, k, m] = stimuli[j, m, k] = len(chosen[0])
            for i, site in enumerate(sites):
                triangles = _triangles(a, site, chosen[0]), _triangles(b, site, chosen[1])
                fold = a.sample["segment_index"].values[chosen[0]] % FOLDS
                interval = rsa_interval(*triangles, fold, settings["replicates"])
                for array, found in zip(
                    (values, *bounds), (rsa(*triangles).values, *interval), strict=True
                ):
                    deep_a, deep_b = found.shape
                    array[i, j, k, :deep_a, m, :deep_b] = found
                    array[i, j, m, :deep_b, k, :deep_a] = found.T
    dims = ("site", "language", "model_a", "layer_a", "model_b", "layer_b")
    units = {"units": "Pearson's r", "source": "figure 11"}
    return xr.Dataset(
        {
            "rsa": (dims, values, units),
            "rsa_low": (dims, bounds[0], units),
            "rsa_high": (dims, bounds[1], units),
            "stimuli": (("language", "model_a", "model_b"), stimuli, {"units": "prefixes"}),
        },
        coords={
            "site": list(sites),
            "language": list(languages),
            "model_a": list(models),
            "model_b": list(models),
            "layer_a": np.arange(depth),
            "layer_b": np.arange(depth),
        },
        attrs={"corpus": corpus},
    )


def _stimuli(recorded: Recorded) -> list[Stimulus]:
    sample = recorded.sample
    return list(zip(sample["segment"].values.tolist(), sample["end"].values.tolist(), strict=True))


def _sample(
    a: NDArray[np.intp], b: NDArray[np.intp], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Take up to ``size`` shared prefixes, spread evenly over the text."""
    if len(a) > size:
        at = np.linspace(0, len(a) - 1, size).round().astype(np.intp)
        return a[at], b[at]
    return a, b


def _triangles(recorded: Recorded, site: Site, rows: NDArray[np.intp]) -> xr.DataArray:
    """Correlate the chosen rows, one layer in memory at a time: ``[layer, pair]``."""
    layers = recorded.data["layer"].values
    return xr.concat(
        [correlation_rows(recorded.raw(site, [layer]).isel(row=rows)) for layer in layers], "layer"
    )
