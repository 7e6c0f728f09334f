"""Distances between languages' representations of the same segments (figures 9 and 10)."""

from collections.abc import Mapping
from functools import partial

import xarray as xr

from neuroglot.analyses.roles.measures.distance import distance_matrix
from neuroglot.analyses.roles.settings import DistanceInputs, DistanceSettings
from neuroglot.analyses.roles.statistics import by_site, open_nested
from neuroglot.capture.recorded import Recorded, Site
from neuroglot.measures.bootstrap import with_bounds

TABLE = (
    "distance",
    *with_bounds("distance_mean"),
    "unrelated_mean",
    *with_bounds("distance_ratio"),
)
COUNTS = ["segments", "prefixes", "segments_left_out"]

VARIABLES: Mapping[str, str] = {
    "distance": "distance from each prefix of the first language to the nearest one of the same "
    "segment in the second, summed over prefixes",
    "distance_mean": "distance from a prefix of the first language to the nearest one of the same "
    "segment in the second, mean over prefixes",
    "unrelated_mean": "distance from a prefix of the first language to the nearest one of another "
    "segment in the second, mean over prefixes and over random pairings of segments",
    "distance_ratio": "distance_mean ÷ unrelated_mean",
    "prefixes": "sampled prefixes of the first language that are compared",
    "segments": "sampled segments that both languages have, which are compared",
    "segments_left_out": "sampled segments that only one of the languages has",
}


def compute(inputs: DistanceInputs, settings: DistanceSettings) -> xr.Dataset:
    """Apply algorithm 1 to every ordered pair of languages, one layer in memory at a time."""
    languages = settings.languages
    recorded = open_nested(inputs.sample, settings.sample_segments)
    sets = []
    for corpus in settings.corpora:
        known = [language for language in languages if language in recorded[corpus]]
        ordered = {language: recorded[corpus][language] for language in known}
        sets.append(by_site(partial(_layers, ordered, settings)).assign_coords(corpus=corpus))
    nothing = {"segments": 0, "prefixes": 0}
    distances = xr.concat(sets, "corpus", join="outer", fill_value=nothing)
    distances = distances.reindex(language_a=languages, language_b=languages, fill_value=nothing)
    same_in_sites = distances[COUNTS].isel(site=0, drop=True)
    return distances.assign(same_in_sites).assign_attrs(scale=settings.scale)


def _layers(ordered: Mapping[str, Recorded], settings: DistanceSettings, site: Site) -> xr.Dataset:
    first = next(iter(ordered.values())).data
    layers = [
        distance_matrix(
            {language: recording.raw(site, [layer]) for language, recording in ordered.items()},
            settings.scale,
            settings.replicates,
        )
        for layer in first["layer"].values
    ]
    by_layer = xr.concat([distances[list(TABLE)] for distances in layers], "layer")
    return xr.merge([by_layer, layers[0][COUNTS], first[["stack", "stack_layer"]]])
