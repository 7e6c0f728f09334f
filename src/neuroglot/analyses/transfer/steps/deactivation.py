"""How close a language is to the pivot without its Type 1 neurons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
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
from neuroglot.analyses.transfer.measures.lists import controls, listed
from neuroglot.analyses.transfer.settings import DeactivationInputs, DeactivationSettings
from neuroglot.analyses.transfer.states import States, check_neighbours, open_states, state_axis
from neuroglot.capture.states import represent_variants
from neuroglot.measures.axes import layer_widths
from neuroglot.measures.controls import Mask
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
    widths = layer_widths(lists["score"])
    experiment = _Experiment(inputs, settings, pivot)
    others = [language for language in states if language != settings.pivot]
    measured = {}
    with progress(len(others), "languages", f"{inputs.model.name} deactivation") as bar:
        for language in others:
            type1 = listed(lists, "type1", language)
            drawn = controls(type1, language, settings.random_seeds, widths)
            measured[language] = experiment.piece(states[language], type1, drawn)
            bar.update()
    return _averaged(measured, pivot, settings).assign_attrs(
        top_n=lists.attrs["top_n"],
        segments=len(pivot.segments),
        **settings.model_dump(include={"pool", "positions", "random_seeds"}),
    )


@dataclass(frozen=True, eq=False)
class _Experiment:
    """The model and the pivot's states, loaded when the first language needs them."""

    inputs: DeactivationInputs
    settings: DeactivationSettings
    pivot: States

    @cached_property
    def _model(self) -> Any:
        return load(self.inputs.model, self.settings.device, self.settings.dtype)

    @cached_property
    def _pivot_states(self) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The pivot's states ``[segment, hidden]`` and their nearest neighbours, by state."""
        most = max(self.settings.k)
        return [
            (state, nearest_neighbours(state, most))
            for state in self.pivot.states(self.settings.pool)
        ]

    def piece(self, other: States, type1: Mask, drawn: Sequence[Mask]) -> Piece:
        """Measure one language, or read earlier results."""
        read = {"pool", "positions", "k", "random_seeds", "device", "dtype"}
        origin = digest(
            [
                read_card(self.inputs.model).sha256,
                [self.pivot.fingerprint, other.fingerprint],
                other.segments,
                np.argwhere(type1).tolist(),
                self.settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )
        path = self.inputs.work.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._measure, other, [type1, *drawn]))

    def _measure(self, other: States, masks: Sequence[Mask]) -> Piece:
        """Measure CLOSENESS of every segment without edits and without each mask's neurons.

        ``[draw, state, segment]``, and ``[draw, state, k, segment]`` for ``mutual_knn``.
        """
        by_draw = represent_variants(
            self._model,
            other.tokens(self.inputs.tokens[other.language]),
            [[], *([Edit(mask)] for mask in masks)],
            self.settings.pool,
            self.settings.positions,
            self.inputs.work.execution.batch_tokens,
        )
        measured = [
            [
                closeness(pivot, edited, near, self.settings.k)
                for (pivot, near), edited in zip(self._pivot_states, states, strict=True)
            ]
            for states in by_draw
        ]
        return {
            name: np.array([[state[name] for state in states] for states in measured])
            for name in CLOSENESS
        }


def _averaged(
    measured: Mapping[str, Piece], pivot: States, settings: DeactivationSettings
) -> xr.Dataset:
    """Average the languages' pieces over segments."""

    def joined(name: str, *dims: str) -> xr.DataArray:
        by_language = np.stack([measures[name] for measures in measured.values()])
        return xr.DataArray(
            by_language, {"language": list(measured)}, ("language", "draw", *dims, "segment")
        )

    similarity = xr.concat(
        [joined(pair, "state") for pair in PAIRS], xr.Variable("pair", list(PAIRS))
    )
    return (
        closeness_without(similarity, joined("mutual_knn", "state", "k"), settings.replicates)
        .transpose("variant", "k", "pair", "state", "language")
        .assign_coords({**state_axis(pivot), "k": settings.k})
        .assign(mutual_knn_chance=chance_overlap(settings.k, len(pivot.segments)))
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity and its changes; overlap of neighbours."""
    of_neighbours = [name for name in data if str(name).startswith("mutual_knn")]
    return {
        "deactivation": tidy(data[[name for name in data if name not in of_neighbours]]),
        "deactivation_knn": tidy(data[of_neighbours]),
    }
