"""Scaled activations of the first prefixes in a few layers (figures 5, 7 and 8)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot.analyses.roles.measures.heatmap import layers_at, scaled_rows
from neuroglot.analyses.roles.settings import HeatmapInputs, HeatmapSettings
from neuroglot.analyses.roles.statistics import SITES
from neuroglot.capture.recorded import Recorded, Site, open_recorded

VARIABLES: Mapping[str, str] = {
    "scaled_act": "activation of each neuron at each of the first sampled prefixes, scaled so that "
    "the layer's least is 0 and its largest 1; NaN beyond the language's last",
    "scaled_out": "the FFN's output at each of the first sampled prefixes, scaled so that the "
    "layer's least is 0 and its largest 1; NaN beyond the language's last",
    "segment": "place in the corpus of the segment that the prefix is of; -1 beyond the last",
}


def compute(inputs: HeatmapInputs, settings: HeatmapSettings) -> xr.Dataset:
    """Scale the chosen layers' rows in every language."""
    opened = open_recorded(inputs.sample.values(), settings.sample_segments)
    recorded = dict(zip(inputs.sample, opened, strict=True))
    known = [language for language in settings.languages if language in recorded]
    first = next(iter(recorded.values())).data
    layers = layers_at(settings.heatmap_layers, first.sizes["layer"])

    def rows(recording: Recorded, site: Site) -> xr.DataArray:
        raw = recording.raw(site, layers, settings.heatmap_rows)
        segment = recording.sample["segment_place"].values[: raw.sizes["row"]]
        return raw.assign_coords(segment=("row", segment.astype(np.int32)))

    pieces = [
        scaled_rows({language: rows(recorded[language], site) for language in known}, layers, site)
        for site in SITES
    ]
    stacks = first[["stack", "stack_layer"]].isel(layer=layers)
    return xr.merge([*pieces, stacks], compat="no_conflicts").assign_attrs(corpus=settings.corpus)
