"""Distances between languages' representations of the same segments (figures 9 and 10)."""

from typing import Any

import xarray as xr

from neuroglot.capture.recorded import Recorded, Site, by_site, open_recorded
from neuroglot.corpora import check_parallel
from neuroglot.measures.distance import distance_matrix
from neuroglot.steps.inputs import Inputs

TABLE = ("distance", "distance_mean", "distance_mean_low", "distance_mean_high")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Apply algorithm 1 to every ordered pair of languages, one layer in memory at a time."""
    recorded = open_recorded(inputs, "roles")
    languages = settings["languages"]
    sites: tuple[Site, ...] = ("act", "out")
    sets = []
    for corpus in settings["corpora"]:
        members = {r.language: r for r in recorded if r.corpus == corpus}
        ordered = {one: members[one] for one in languages if one in members}
        check_parallel(
            corpus, {one: r.sample["segment"].values.tolist() for one, r in ordered.items()}
        )
        pieces = {site: _layers(ordered, site, settings) for site in sites}
        sets.append(by_site(pieces).assign_coords(corpus=corpus))
    distances = xr.concat(
        sets, "corpus", join="outer", fill_value={"segments": 0, "prefixes": 0}
    ).reindex(language_a=languages, language_b=languages, fill_value={"segments": 0, "prefixes": 0})
    same_in_sites = distances[["segments", "prefixes", "segments_left_out"]].isel(site=0, drop=True)
    found: xr.Dataset = distances.assign(same_in_sites)
    return found.assign_attrs(scale=settings["scale"])


def _layers(members: dict[str, Recorded], site: Site, settings: dict[str, Any]) -> xr.Dataset:
    first = next(iter(members.values())).data
    layers = [
        distance_matrix(
            {one: r.raw(site, [layer]) for one, r in members.items()},
            settings["scale"],
            settings["replicates"],
        )
        for layer in first["layer"].values
    ]
    counts = layers[0][["segments", "prefixes", "segments_left_out"]]
    by_layer = xr.concat([one[list(TABLE)] for one in layers], "layer")
    return xr.merge([by_layer, counts, first[["stack", "stack_layer"]]])
