"""Scaled activations of the first prefixes in a few layers (figures 5, 7 and 8)."""

from typing import Any

import numpy as np
import xarray as xr

from neuroglot.capture.recorded import Site, open_recorded
from neuroglot.measures.heatmap import scaled_rows
from neuroglot.steps.inputs import Inputs

TABLE = ()


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Scale the chosen layers' rows of the first corpus, in every language."""
    corpus, languages = settings["corpora"][0], settings["languages"]
    by_language = {r.language: r for r in open_recorded(inputs, "roles") if r.corpus == corpus}
    depth = next(iter(by_language.values())).data.sizes["layer"]
    layers = sorted({round(share * (depth - 1)) for share in settings["heatmap_layers"]})

    def rows(language: str, site: Site) -> xr.DataArray:
        recorded = by_language[language]
        raw = recorded.raw(site, layers, settings["heatmap_rows"])
        segment = recorded.sample["segment_index"].values[: raw.sizes["row"]]
        return raw.assign_coords(segment=("row", segment.astype(np.int32)))

    sites: tuple[Site, ...] = ("act", "out")
    pieces = [
        scaled_rows({one: rows(one, site) for one in languages if one in by_language}, layers, site)
        for site in sites
    ]
    stacks = next(iter(by_language.values())).data[["stack", "stack_layer"]].isel(layer=layers)
    return xr.merge([*pieces, stacks], compat="no_conflicts").assign_attrs(corpus=corpus)
