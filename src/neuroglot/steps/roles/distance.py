"""Distances between languages' representations of the same segments (figures 9 and 10)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neuroglot.errors import NeuroglotError
from neuroglot.measures.distance import distance_matrix
from neuroglot.steps.recorded import Recorded, Site, by_site, open_recorded

TABLE = ("distance", "distance_mean")


def compute(paths: Sequence[Path], settings: dict[str, Any]) -> xr.Dataset:
    """Apply algorithm 1 to every ordered pair of languages, one layer in memory at a time."""
    recorded = open_recorded(paths)
    languages = settings["languages"]
    sites: tuple[Site, ...] = ("act", "out")
    sets = []
    for corpus in settings["corpora"]:
        members = {r.language: r for r in recorded if r.corpus == corpus}
        ordered = {one: members[one] for one in languages if one in members}
        refuse_unaligned(corpus, ordered)
        pieces = {site: _layers(ordered, site, settings["scale"]) for site in sites}
        sets.append(by_site(pieces).assign_coords(corpus=corpus))
    distances = xr.concat(
        sets, "corpus", join="outer", fill_value={"segments": 0, "prefixes": 0}
    ).reindex(language_a=languages, language_b=languages, fill_value={"segments": 0, "prefixes": 0})
    same_in_sites = distances[["segments", "prefixes", "segments_left_out"]].isel(site=0, drop=True)
    found: xr.Dataset = distances.assign(same_in_sites)
    return found.assign_attrs(scale=settings["scale"])


def _layers(members: dict[str, Recorded], site: Site, scale: Any) -> xr.Dataset:
    first = next(iter(members.values())).data
    layers = [
        distance_matrix({one: r.raw(site, [layer]) for one, r in members.items()}, scale)
        for layer in first["layer"].values
    ]
    counts = layers[0][["segments", "prefixes", "segments_left_out"]]
    by_layer = xr.concat([one[["distance", "distance_mean"]] for one in layers], "layer")
    return xr.merge([by_layer, counts, first[["stack", "stack_layer"]]])


def refuse_unaligned(corpus: str, members: dict[str, Recorded]) -> None:
    """Refuse a set in which two languages have no segment in common.

    Raises:
        NeuroglotError: names the corpus, the two languages and examples of their segments.
    """
    ids = {language: set(r.segments()) for language, r in members.items()}
    for a in ids:
        for b in ids:
            if not ids[a] & ids[b]:
                raise NeuroglotError(
                    f"corpus {corpus} is not parallel: {a} and {b} have no segment in common "
                    f"({a} has {min(ids[a])!r}, {b} has {min(ids[b])!r}, …); give segments of the "
                    "same content the same id, or leave the corpus out of roles.corpora"
                )
