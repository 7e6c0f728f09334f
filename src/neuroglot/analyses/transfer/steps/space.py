"""Where languages' states lie in each other's space: components, centroids and neighbours."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.transfer.measures.latent import (
    centroid_similarity,
    component_counts,
    nearest_neighbours,
    neighbour_overlap,
    non_parallel_similarity,
    parallel_similarity,
    principal_coordinates,
)
from neuroglot.analyses.transfer.measures.transfer import centroid
from neuroglot.analyses.transfer.states import SITES, open_states, state_axis
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import interval
from neuroglot.progress import progress
from neuroglot.tables import tidy

COSINE = "cosine similarity"
PER_SEGMENT = {
    "mutual_knn": "share of neighbours",
    "parallel": COSINE,
    "non_parallel": COSINE,
}
ByLanguage = Mapping[str, NDArray[np.float32]]


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Compare all languages, and each with the pivot, one state in memory at a time."""
    pivot = settings["pivot"]
    states = open_states(inputs, settings["languages"], pivot)
    segments = states[pivot].segments
    check_neighbours(settings["k"], segments)
    axis = state_axis(states[pivot])
    by_state = []
    with progress(len(axis["state"]), "states", f"{settings['model']} space") as bar:
        for state in axis["state"]:
            site = SITES[settings["pool"]]
            found = {
                language: store.read_rows(one.path, site, int(state))[one.rows]
                for language, one in states.items()
            }
            by_state.append(_state(found, pivot, settings))
            bar.update()
    data = xr.concat(by_state, xr.Variable("state", axis["state"]))
    data = data.assign_coords({**axis, "segment": segments})
    for name, units in PER_SEGMENT.items():
        data = data.assign(averaged(data[name], name, units, settings["replicates"]))
    data = data.transpose("k", "state", ...)
    return data.assign(chance_of_neighbours(settings["k"], segments)).assign_attrs(
        pool=settings["pool"]
    )


def check_neighbours(k: Sequence[int], segments: Sequence[str]) -> None:
    """Refuse more neighbours than a segment has."""
    if max(k) >= len(segments):
        raise NeuroglotError(
            f"transfer.k: {max(k)} neighbours of a segment are asked for, and {len(segments)} "
            "segments are common to all languages; lower k or give a longer text"
        )


def chance_of_neighbours(k: Sequence[int], segments: Sequence[str]) -> dict[str, xr.DataArray]:
    """``mutual_knn_chance(k)``: the overlap expected of neighbours drawn at random."""
    chance = [one / (len(segments) - 1) for one in k]
    units = {"units": PER_SEGMENT["mutual_knn"]}
    return {"mutual_knn_chance": xr.DataArray(chance, {"k": list(k)}, ("k",), attrs=units)}


def averaged(
    values: xr.DataArray, name: str, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Average over ``segment``: the mean, and its bootstrap interval ``_low`` and ``_high``."""
    by_item = values.rename(segment="item").drop_vars("item", errors="ignore")
    low, high = interval(by_item, replicates)
    found = {name: by_item.mean("item"), f"{name}_low": low, f"{name}_high": high}
    return {key: value.drop_attrs().assign_attrs(units=units) for key, value in found.items()}


def closeness(
    pivot: NDArray[np.float32],
    other: NDArray[np.float32],
    near: NDArray[np.int64],
    k: Sequence[int],
) -> dict[str, NDArray[np.float64]]:
    """Compare two languages' states of the same segments, segment by segment.

    Args:
        pivot: the pivot's states ``[segment, hidden]``.
        other: the other language's.
        near: the pivot's nearest neighbours, as many as the largest of ``k``.
        k: numbers of neighbours.

    Returns:
        ``parallel`` and ``non_parallel`` ``[segment]``, ``mutual_knn`` ``[k, segment]``.
    """
    own = nearest_neighbours(other, max(k))
    return {
        "parallel": parallel_similarity(pivot, other),
        "non_parallel": non_parallel_similarity(pivot, other),
        "mutual_knn": np.stack([neighbour_overlap(near[:, :one], own[:, :one]) for one in k]),
    }


def _state(found: ByLanguage, pivot: str, settings: dict[str, Any]) -> xr.Dataset:
    """Measure one state; what is averaged later still has its segments."""
    rows = np.concatenate(list(found.values()))
    coordinates, explained = principal_coordinates(rows)
    centroids = np.stack([centroid(own) for own in found.values()])
    counts = [component_counts(own, settings["variances"]) for own in found.values()]
    languages = list(found)
    segments = len(found[pivot])
    k = list(settings["k"])
    near = nearest_neighbours(found[pivot], max(k))
    compared = {
        name: np.full((len(found), *shape, segments), np.nan)
        for name, shape in {"parallel": (), "non_parallel": (), "mutual_knn": (len(k),)}.items()
    }
    for place, (language, own) in enumerate(found.items()):
        if language != pivot:
            for name, values in closeness(found[pivot], own, near, k).items():
                compared[name][place] = values
    return xr.Dataset(
        {
            "coordinates": (
                ("language", "segment", "component"),
                coordinates.reshape(len(found), segments, -1).astype(np.float32),
                {"units": "activation"},
            ),
            "explained": ("component", explained, {"units": "share of variance"}),
            "centroid_similarity": (
                ("language", "language_other"),
                centroid_similarity(centroids),
                {"units": COSINE},
            ),
            "components": (("language", "variance"), np.stack(counts), {"units": "components"}),
            "mutual_knn": (("language", "k", "segment"), compared["mutual_knn"]),
            "parallel": (("language", "segment"), compared["parallel"]),
            "non_parallel": (("language", "segment"), compared["non_parallel"]),
        },
        coords={
            "language": languages,
            "language_other": languages,
            "component": np.arange(1, coordinates.shape[1] + 1),
            "variance": settings["variances"],
            "k": k,
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity of centroids, numbers of components, and of each language with the pivot."""
    bounded = [f"{name}{end}" for name in PER_SEGMENT for end in ("", "_low", "_high")]
    with_pivot = data[[*bounded, "mutual_knn_chance"]]
    others = with_pivot["parallel"].notnull().any("state")
    return {
        "distances": tidy(data[["centroid_similarity"]]),
        "components": tidy(data[["components"]]),
        "similarity": tidy(with_pivot.isel(language=others.values)),
    }
