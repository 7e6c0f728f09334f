"""Representational similarity between the layers of every two models (figure 11)."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.rsa import (
    Stimulus,
    correlation_rows,
    rsa,
    rsa_interval,
    shared_stimuli,
    spread_evenly,
)
from neuroglot.analyses.roles.settings import RsaInputs, RsaSettings
from neuroglot.analyses.roles.statistics import SITES, open_nested
from neuroglot.capture.recorded import Recorded, Site
from neuroglot.measures.bootstrap import bounded, with_bounds
from neuroglot.measures.folds import FOLDS

TABLE = with_bounds("rsa")

VARIABLES: Mapping[str, str] = {
    "rsa": "correlation between two layers of how alike they make every two of the stimuli",
    "stimuli": "sampled prefixes that both models have, which are compared",
}


def compute(inputs: RsaInputs, settings: RsaSettings) -> xr.Dataset:
    """Compare all layers of every two models on their shared prefixes, in every language.

    A single model is compared with itself.
    """
    recorded = open_nested(inputs.sample, settings.sample_segments)
    languages, models = settings.languages, settings.compared
    depths = (r.data.sizes["layer"] for of_model in recorded.values() for r in of_model.values())
    depth = max(depths)
    size = (len(SITES), len(languages), len(models), depth, len(models), depth)
    values, *bounds = np.full((3, *size), np.nan, np.float32)
    stimuli = np.zeros((len(languages), len(models), len(models)), np.int64)
    pairs = list(combinations(range(len(models)), 2)) or [(0, 0)]
    for j, language in enumerate(languages):
        for k, m in pairs:
            a, b = (recorded[models[n]].get(language) for n in (k, m))
            if a is None or b is None:
                continue
            shared = shared_stimuli(_stimuli(a), _stimuli(b))
            of_a, of_b = (spread_evenly(rows, settings.rsa_stimuli) for rows in shared)
            stimuli[j, k, m] = stimuli[j, m, k] = len(of_a)
            fold = a.sample["segment_place"].values[of_a] % FOLDS
            for i, site in enumerate(SITES):
                triangles = _triangles(a, site, of_a), _triangles(b, site, of_b)
                interval = rsa_interval(*triangles, fold, settings.replicates)
                similarity = rsa(*triangles).values
                depth_a, depth_b = similarity.shape
                for array, cells in zip((values, *bounds), (similarity, *interval), strict=True):
                    array[i, j, k, :depth_a, m, :depth_b] = cells
                    array[i, j, m, :depth_b, k, :depth_a] = cells.T
    axes = {
        "site": list(SITES),
        "language": languages,
        "model_a": models,
        "layer_a": np.arange(depth),
        "model_b": models,
        "layer_b": np.arange(depth),
    }
    attributes = {"units": "Pearson's r", "source": "figure 11"}
    similarities = xr.DataArray(values, axes, list(axes), attrs=attributes)
    return xr.Dataset(
        {
            **bounded("rsa", similarities, bounds),
            "stimuli": (("language", "model_a", "model_b"), stimuli, {"units": "prefixes"}),
        },
        attrs={"corpus": settings.corpus},
    )


def _stimuli(recorded: Recorded) -> list[Stimulus]:
    sample = recorded.sample
    return list(zip(sample["segment"].values.tolist(), sample["end"].values.tolist(), strict=True))


def _triangles(recorded: Recorded, site: Site, rows: NDArray[np.intp]) -> xr.DataArray:
    """Correlate the chosen rows, one layer in memory at a time: ``[layer, pair]``."""
    layers = recorded.data["layer"].values
    return xr.concat(
        [correlation_rows(recorded.raw(site, [layer]).isel(row=rows)) for layer in layers], "layer"
    )
