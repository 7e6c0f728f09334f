"""What becomes of a language's closeness to the pivot without its Type 1 neurons."""

import zlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.latent import nearest_neighbours
from neuroglot.analyses.transfer.states import States, open_states, state_axis
from neuroglot.analyses.transfer.steps.neurons import listed
from neuroglot.analyses.transfer.steps.space import (
    PER_SEGMENT,
    averaged,
    chance_of_neighbours,
    check_neighbours,
    closeness,
)
from neuroglot.capture.states import represent_variants
from neuroglot.measures.controls import random_like
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

VARIANTS = ("baseline", "without_type1", "random")
PAIRS = ("parallel", "non_parallel")
Mask = NDArray[np.bool_]


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Read every language but the pivot as it is, without its Type 1 neurons, and the controls."""
    states = open_states(inputs, settings["languages"], settings["pivot"])
    pivot = states[settings["pivot"]]
    check_neighbours(settings["k"], pivot.segments)
    lists = inputs.reduction("transfer/neurons")
    experiment = _Experiment(inputs, settings, pivot)
    others = [language for language in states if language != settings["pivot"]]
    found = {}
    with progress(len(others), "languages", f"{inputs.model.name} deactivation") as bar:
        for language in others:
            own = listed(lists, "type1", language)
            found[language] = experiment.piece(states[language], own)
            bar.update()
    return _dataset(found, pivot, settings).assign_attrs(
        top_n=lists.attrs["top_n"],
        segments=len(pivot.segments),
        **{key: settings[key] for key in ("pool", "positions", "random_seeds")},
    )


def controls(own: Mask, language: str, seeds: int) -> list[Mask]:
    """Draw as many random neurons of each layer as a language's own, ``[layer, neuron]``, per seed.

    Each language has draws of its own, which no other language changes.
    """
    item = np.array([zlib.crc32(language.encode())])
    return [random_like(own[None], seed, item)[0] for seed in range(seeds)]


class _Experiment:
    """The model and the pivot's states, read when the first language needs them."""

    def __init__(self, inputs: Inputs, settings: dict[str, Any], pivot: States) -> None:
        self._inputs, self._settings, self._pivot = inputs, settings, pivot
        self._model: Any = None
        self._pivot_states: list[NDArray[np.float32]] = []
        self._near: list[NDArray[np.int64]] = []

    def piece(self, other: States, own: Mask) -> Piece:
        """Measure one language, or read how it was measured before."""
        settings = self._settings
        origin = digest(
            [
                self._inputs.card().sha256,
                [store.read_record(one.path).fingerprint for one in (self._pivot, other)],
                other.segments,
                np.argwhere(own).tolist(),
                {
                    key: settings[key]
                    for key in ("pool", "positions", "k", "random_seeds", "device", "dtype")
                },
                fingerprint(__name__),
            ]
        )
        path = self._inputs.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._measure, other, own))

    def _measure(self, other: States, own: Mask) -> Piece:
        """Of every variant, the controls last: PAIRS and ``mutual_knn`` of every segment.

        ``[variant, state, segment]`` and ``[variant, state, k, segment]``.
        """
        settings = self._settings
        if self._model is None:
            self._model = load(self._inputs.model, settings["device"], settings["dtype"])
            self._pivot_states = list(self._pivot.states(settings["pool"]))
            self._near = [nearest_neighbours(one, max(settings["k"])) for one in self._pivot_states]
        text = other.tokens(self._inputs)
        drawn = controls(own, other.language, settings["random_seeds"])
        found = represent_variants(
            self._model,
            text,
            [[], *([Edit(mask)] for mask in (own, *drawn))],
            settings["pool"],
            settings["positions"],
            self._inputs.execution.batch_tokens,
        )
        rows = []
        for states in found:
            by_state = [
                closeness(pivot, one, near, settings["k"])
                for pivot, one, near in zip(self._pivot_states, states, self._near, strict=True)
            ]
            rows.append({name: np.stack([one[name] for one in by_state]) for name in PER_SEGMENT})
        return {name: np.stack([row[name] for row in rows]) for name in PER_SEGMENT}


def _dataset(found: Mapping[str, Piece], pivot: States, settings: dict[str, Any]) -> xr.Dataset:
    """Average over segments what the languages' pieces hold."""
    axis = state_axis(pivot)
    languages = xr.Variable("language", np.array(list(found), str))

    def stacked(name: str, *dims: str) -> xr.DataArray:
        own = [xr.DataArray(one[name], dims=("draw", *dims, "segment")) for one in found.values()]
        return xr.concat(own, languages)

    similarity = xr.concat(
        [stacked(name, "state") for name in PAIRS], xr.Variable("pair", list(PAIRS))
    )
    replicates = settings["replicates"]
    data = {
        **_compared(similarity, "similarity", PER_SEGMENT["parallel"], replicates),
        **_compared(
            stacked("mutual_knn", "state", "k"), "mutual_knn", PER_SEGMENT["mutual_knn"], replicates
        ),
        **_effects(similarity, replicates),
    }
    order = ("variant", "k", "pair", "state", "language")
    return (
        xr.Dataset(data)
        .reindex(variant=list(VARIANTS))
        .transpose(*order)
        .assign_coords({**axis, "k": list(settings["k"])})
        .assign(chance_of_neighbours(settings["k"], pivot.segments))
    )


def _variants(values: xr.DataArray) -> xr.DataArray:
    """The draws as VARIANTS: of the controls, which stand last, the mean."""
    parts = [
        values.isel(draw=0),
        values.isel(draw=1),
        values.isel(draw=slice(2, None)).mean("draw"),
    ]
    return xr.concat(parts, xr.Variable("variant", list(VARIANTS)))


def _compared(
    values: xr.DataArray, name: str, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Means by variant with intervals, and the range of the controls' means."""
    of_controls = values.isel(draw=slice(2, None)).mean("segment")
    ends = {
        f"{name}_control_low": of_controls.min("draw"),
        f"{name}_control_high": of_controls.max("draw"),
    }
    return {
        **averaged(_variants(values), name, units, replicates),
        **{key: value.assign_attrs(units=units) for key, value in ends.items()},
    }


def _effects(similarity: xr.DataArray, replicates: int) -> dict[str, xr.DataArray]:
    """Differences within segments: of the variants to the baseline, and to one another."""
    by_variant = _variants(similarity)
    effect = by_variant.isel(variant=slice(1, None)) - by_variant.isel(variant=0, drop=True)
    excess = effect.isel(variant=0, drop=True) - effect.isel(variant=1, drop=True)
    units = "difference of cosines"
    return {
        **averaged(effect, "effect", units, replicates),
        **averaged(excess, "excess", units, replicates),
    }


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Similarity and its changes; neighbours in common."""
    names = [str(name) for name in data]
    of_neighbours = [name for name in names if name.startswith("mutual_knn")]
    return {
        "deactivation": tidy(data[[name for name in names if name not in of_neighbours]]),
        "deactivation_knn": tidy(data[of_neighbours]),
    }
