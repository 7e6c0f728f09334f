"""Comparison of languages' latent spaces: components, centroids and neighbours."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.transfer.measures.latent import (
    CLOSENESS,
    COSINE,
    centroid_similarity,
    chance_overlap,
    closeness,
    component_counts,
    nearest_neighbours,
    principal_coordinates,
    segment_mean,
)
from neuroglot.analyses.transfer.measures.transfer import centroid
from neuroglot.analyses.transfer.settings import SpaceInputs, SpaceSettings
from neuroglot.analyses.transfer.states import check_neighbours, open_states, state_axis
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.measures.matrix_regression import (
    BY_LAYER,
    LAYERED,
    REGRESSED,
    UNITS,
    regression_by_layer,
    relations,
)
from neuroglot.measures.overlap import token_overlap
from neuroglot.progress import progress
from neuroglot.tables import tidy
from neuroglot.tokens import token_counts

ByLanguage = Mapping[str, NDArray[np.float32]]

VARIABLES: Mapping[str, str] = {
    "component": "principal component, from 1, the one of largest variance first",
    "variance": "share of the variance that is to be explained",
    "k": "nearest neighbours that are looked at",
    "coordinates": "where the segment lies along the principal components of all languages' "
    "segments",
    "explained": "share of the variance of all languages' segments that the component explains",
    "centroid_similarity": "cosine of the means of two languages' segments",
    "components": "least number of components that explain so much of the variance of the "
    "language's segments",
    "mutual_knn": "share of a segment's nearest neighbours that the language has in common with "
    "the pivot, mean over segments; equally near segments are drawn at random",
    "mutual_knn_chance": "share of neighbours in common that is expected of unrelated languages",
    "parallel": "cosine with the parallel segment of the pivot, mean over segments",
    "non_parallel": "cosine with all other segments of the pivot, mean over segments",
    "token_overlap": "overlap of two languages' tokens: the sum over tokens of the smaller of "
    "their two shares",
    **REGRESSED,
    **BY_LAYER,
}


def compute(inputs: SpaceInputs, settings: SpaceSettings) -> xr.Dataset:
    """Compare all languages, and each language with the pivot, one state in memory at a time."""
    states = open_states(inputs.states, settings.languages, settings.pivot)
    pivot = states[settings.pivot]
    check_neighbours(settings.k, pivot.segments)
    axis = state_axis(pivot)
    by_state = []
    with progress(len(axis["state"]), "states", f"{settings.model} space") as bar:
        for state in map(int, axis["state"]):
            rows = {
                language: recorded.states(settings.pool, state)
                for language, recorded in states.items()
            }
            by_state.append(_state(rows, settings))
            bar.update()
    data = xr.concat(by_state, xr.Variable("state", axis["state"]))
    data = data.assign_coords({**axis, "segment": pivot.segments})
    for name, units in CLOSENESS.items():
        data = data.assign(segment_mean(name, data[name], units, settings.replicates))
    data = data.transpose("k", "state", ...)
    chance = chance_overlap(settings.k, len(pivot.segments))
    data = data.assign(mutual_knn_chance=chance).assign_attrs(pool=settings.pool)
    overlap = token_overlap(
        token_counts({i: recorded.tokens(inputs.tokens[i]) for i, recorded in states.items()})
    )
    related = _related(data, overlap, settings)
    return data.assign(token_overlap=overlap).assign(related.data_vars)


def _related(data: xr.Dataset, overlap: xr.DataArray, settings: SpaceSettings) -> xr.Dataset:
    """Regress the centroids' cosines on family, script and token overlap."""
    facts = settings.language_table
    languages = data["language"].values.tolist()
    related = relations(
        {language: facts[language].family for language in languages},
        {language: facts[language].script for language in languages},
        overlap,
    )
    cosine = data["centroid_similarity"].rename(language="language_a", language_other="language_b")
    return regression_by_layer(cosine, related, "state")


def _state(states: ByLanguage, settings: SpaceSettings) -> xr.Dataset:
    """Measure one state; measures of closeness keep the dimension ``segment``."""
    languages, pivot, k = list(states), states[settings.pivot], settings.k
    segments = len(pivot)
    coordinates, explained = principal_coordinates(np.concatenate(list(states.values())))
    centroids = np.stack([centroid(rows) for rows in states.values()])
    counts = [component_counts(rows, settings.variances) for rows in states.values()]
    near_pivot = nearest_neighbours(pivot, k)
    compared = {
        "parallel": np.full((len(languages), segments), np.nan),
        "non_parallel": np.full((len(languages), segments), np.nan),
        "mutual_knn": np.full((len(languages), len(k), segments), np.nan),
    }
    for place, (language, rows) in enumerate(states.items()):
        if language != settings.pivot:
            for name, values in closeness(pivot, rows, near_pivot, k).items():
                compared[name][place] = values
    return xr.Dataset(
        {
            "coordinates": (
                ("language", "segment", "component"),
                coordinates.reshape(len(languages), segments, -1).astype(np.float32),
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
            "variance": ("variance", settings.variances, {"units": "share of variance"}),
            "k": k,
        },
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity of centroids, numbers of components, and closeness to the pivot."""
    with_pivot = data[[*with_bounds(*CLOSENESS), "mutual_knn_chance"]]
    others = with_pivot["parallel"].notnull().any("state")
    return {
        "distances": tidy(data[["centroid_similarity"]]),
        "related_languages": tidy(data[[*UNITS]]),
        "related_languages_by_state": tidy(data[[*LAYERED]]),
        "components": tidy(data[["components"]]),
        "similarity": tidy(with_pivot.isel(language=others.values)),
    }
