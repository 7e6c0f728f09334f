"""How close a language is to the pivot without its Type 1 neurons."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.deactivation import closeness_without
from neuroglot.analyses.transfer.measures.latent import (
    CLOSENESS,
    chance_overlap,
    closeness,
    nearest_neighbours,
)
from neuroglot.analyses.transfer.measures.lists import Mask, controls, listed
from neuroglot.analyses.transfer.settings import DeactivationInputs, DeactivationSettings
from neuroglot.analyses.transfer.states import States, check_neighbours, open_states, state_axis
from neuroglot.capture.states import represent_variants
from neuroglot.measures.axes import layer_widths
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

PAIRS = ("parallel", "non_parallel")

VARIABLES: Mapping[str, str] = {
    "variant": "the model as it is, without the language's Type 1 neurons, or without as many "
    "random ones of the same layers",
    "pair": "with which segment of the pivot: the parallel one, or all others",
    "k": "nearest neighbours that are looked at",
    "similarity": "cosine with the pivot's segments, mean over segments",
    "similarity_control_low": "least such mean of any draw of random neurons",
    "similarity_control_high": "largest such mean of any draw of random neurons",
    "mutual_knn": "share of a segment's nearest neighbours that the language has in common with "
    "the pivot, mean over segments",
    "mutual_knn_control_low": "least such mean of any draw of random neurons",
    "mutual_knn_control_high": "largest such mean of any draw of random neurons",
    "mutual_knn_chance": "share of neighbours in common that is expected of unrelated languages",
    "effect": "what the variant changes of the cosine of the same segments, mean over segments",
    "excess": "effect of Type 1 neurons less that of random ones, mean over segments",
}


def compute(inputs: DeactivationInputs, settings: DeactivationSettings) -> xr.Dataset:
    """Run each language except the pivot unedited, without Type 1 neurons, and with controls."""
    states = open_states(inputs.states, settings.languages, settings.pivot)
    pivot = states[settings.pivot]
    check_neighbours(settings.k, pivot.segments)
    lists = store.open_dataset(inputs.neurons, "reduction")
    experiment = _Experiment(inputs, settings, pivot)
    others = [language for language in states if language != settings.pivot]
    found = {}
    with progress(len(others), "languages", f"{inputs.model.name} deactivation") as bar:
        for language in others:
            own = listed(lists, "type1", language)
            drawn = controls(own, language, settings.random_seeds, layer_widths(lists["score"]))
            found[language] = experiment.piece(states[language], own, drawn)
            bar.update()
    return _dataset(found, pivot, settings).assign_attrs(
        top_n=lists.attrs["top_n"],
        segments=len(pivot.segments),
        **settings.model_dump(include={"pool", "positions", "random_seeds"}),
    )


class _Experiment:
    """The model and the pivot's states, loaded when the first language needs them."""

    def __init__(
        self, inputs: DeactivationInputs, settings: DeactivationSettings, pivot: States
    ) -> None:
        self._inputs, self._settings, self._pivot = inputs, settings, pivot
        self._model: Any = None
        self._pivot_states: list[NDArray[np.float32]] = []
        self._near: list[NDArray[np.int64]] = []

    def piece(self, other: States, own: Mask, drawn: Sequence[Mask]) -> Piece:
        """Measure one language, or read earlier results."""
        read = {"pool", "positions", "k", "random_seeds", "device", "dtype"}
        origin = digest(
            [
                read_card(self._inputs.model).sha256,
                [one.fingerprint for one in (self._pivot, other)],
                other.segments,
                np.argwhere(own).tolist(),
                self._settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )
        path = self._inputs.work.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._measure, other, [own, *drawn]))

    def _measure(self, other: States, masks: Sequence[Mask]) -> Piece:
        """Measure CLOSENESS of every segment for every variant, controls last.

        ``[variant, state, segment]``, and ``[variant, state, k, segment]`` for ``mutual_knn``.
        """
        inputs, settings = self._inputs, self._settings
        if self._model is None:
            self._model = load(inputs.model, settings.device, settings.dtype)
            self._pivot_states = list(self._pivot.states(settings.pool))
            self._near = [nearest_neighbours(one, max(settings.k)) for one in self._pivot_states]
        text = other.tokens(inputs.model, inputs.texts[other.language])
        found = represent_variants(
            self._model,
            text,
            [[], *([Edit(mask)] for mask in masks)],
            settings.pool,
            settings.positions,
            inputs.work.execution.batch_tokens,
        )
        rows = []
        for states in found:
            by_state = [
                closeness(pivot, one, near, settings.k)
                for pivot, one, near in zip(self._pivot_states, states, self._near, strict=True)
            ]
            rows.append({name: np.stack([one[name] for one in by_state]) for name in CLOSENESS})
        return {name: np.stack([row[name] for row in rows]) for name in CLOSENESS}


def _dataset(
    found: Mapping[str, Piece], pivot: States, settings: DeactivationSettings
) -> xr.Dataset:
    """Average the languages' pieces over segments."""
    languages = xr.Variable("language", np.array(list(found), str))

    def stacked(name: str, *dims: str) -> xr.DataArray:
        own = [xr.DataArray(one[name], dims=("draw", *dims, "segment")) for one in found.values()]
        return xr.concat(own, languages)

    similarity = xr.concat(
        [stacked(name, "state") for name in PAIRS], xr.Variable("pair", list(PAIRS))
    )
    overlap = stacked("mutual_knn", "state", "k")
    return (
        closeness_without(similarity, overlap, settings.replicates)
        .transpose("variant", "k", "pair", "state", "language")
        .assign_coords({**state_axis(pivot), "k": settings.k})
        .assign(mutual_knn_chance=chance_overlap(settings.k, len(pivot.segments)))
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity and its changes; overlap of neighbours."""
    names = [str(name) for name in data]
    of_neighbours = [name for name in names if name.startswith("mutual_knn")]
    return {
        "deactivation": tidy(data[[name for name in names if name not in of_neighbours]]),
        "deactivation_knn": tidy(data[of_neighbours]),
    }
