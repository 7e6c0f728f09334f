"""How close each language is to the pivot without sets of its neurons, and without their controls.

Sets are judged by halves of the segments: what one half chose, on the other half.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array

from neuroglot.analyses.base import RUNNING
from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.controls import (
    BASELINE,
    DRAWN,
    Controlled,
    controlled,
    matched_shares,
    variants_of,
)
from neuroglot.analyses.transfer.measures.deactivation import MEASURES, closeness_without
from neuroglot.analyses.transfer.measures.latent import (
    CLOSENESS,
    chance_overlap,
    closeness,
    nearest_neighbours,
)
from neuroglot.analyses.transfer.measures.lists import HALVES
from neuroglot.analyses.transfer.settings import DeactivationInputs, DeactivationSettings
from neuroglot.analyses.transfer.states import States, check_neighbours, open_states, state_axis
from neuroglot.capture.states import represent_variants
from neuroglot.measures.answers import by_control
from neuroglot.measures.bootstrap import named_bounds
from neuroglot.measures.matching import Mask
from neuroglot.models.card import read_card
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

PAIRS = ("parallel", "non_parallel")
VALUES = 1 << 28  # values of states in memory at a time: 1 GB in float32

SetsOf = Callable[[str], Mapping[str, Mapping[str, Mask]]]
"""Gives a language's sets of neurons, bool [layer, neuron], by name and by each of HALVES."""

CONTROLS_DONE = (
    "without as many random ones of the same layers (random), or others that fire about as often "
    "(active); without the part of the neurons that has partners of like contribution (matched), "
    "or without these (partner)"
)
"""What is deactivated in place of a set, for the descriptions of variants."""

CLOSENESS_WITHOUT: Mapping[str, str] = {
    "control": "other neurons that are deactivated: naive, as many random ones; activity, those "
    "that fire about as often; contribution, partners that contribute as much, of the part of the "
    "neurons that has partners",
    "pair": "with which segment of the pivot: the parallel one, or all others of the same half",
    "k": "nearest neighbours that are looked at, among all segments",
    "similarity": "cosine with the pivot's segments, mean over segments",
    "similarity_effect": "change of the cosine from the model as it is, mean over segments",
    "similarity_excess": "cosine less that with a control, mean over segments",
    "similarity_excess_all": "cosine less that with a control, mean over segments and languages",
    "similarity_control_low": "least such mean of any draw of a control",
    "similarity_control_high": "largest such mean of any draw of a control",
    "mutual_knn": "share of a segment's nearest neighbours that the language has in common with "
    "the pivot, mean over segments; equally near segments are drawn at random",
    "mutual_knn_effect": "change of the share from the model as it is, mean over segments",
    "mutual_knn_excess": "share less that with a control, mean over segments",
    "mutual_knn_excess_all": "share less that with a control, mean over segments and languages",
    "mutual_knn_control_low": "least such mean of any draw of a control",
    "mutual_knn_control_high": "largest such mean of any draw of a control",
    "mutual_knn_chance": "share of neighbours in common that is expected of unrelated languages",
    "edited": "neurons that are deactivated, mean over halves and draws",
    "matched_share": "share of the neurons that have a partner of like contribution",
    "matched_contribution": "share of the neurons' contribution that comes from those with such a "
    "partner",
}
"""Descriptions of the variables of ``closeness_without_sets``, but for its variants."""


def closeness_without_sets(
    inputs: DeactivationInputs,
    settings: DeactivationSettings,
    lists: xr.Dataset,
    names: Sequence[str],
    sets_of: SetsOf,
) -> xr.Dataset:
    """Run each language except the pivot unedited, without each set, and without its controls.

    Args:
        inputs: the model, its states and the text.
        settings: how closeness is measured.
        lists: result of the step ``neurons``.
        names: names of the sets.
        sets_of: gives the sets; one that a language lacks is NaN there.
    """
    states = open_states(inputs.states, settings.languages, settings.pivot)
    pivot = states[settings.pivot]
    check_neighbours(settings.k, pivot.segments)
    half = lists["half"].sel(segment=pivot.segments).values
    experiment = _Experiment(inputs, settings, pivot, half)
    measured, edited = {}, {}
    others = [language for language in states if language != settings.pivot]
    subject = f"{inputs.model.name} without {' and '.join(names)}"
    with progress(len(others), "languages", subject) as bar:
        for language in others:
            edited[language] = {
                name: controlled(chosen, lists, language, settings.random_seeds)
                for name, chosen in sets_of(language).items()
            }
            measured[language] = experiment.piece(states[language], edited[language])
            bar.update()
    variants = variants_of(names)
    by_draw = _by_draw(measured, variants, settings)
    return (
        closeness_without(by_draw.mean("draw"), settings.replicates)
        .assign(_ranges(by_draw))
        .assign(matched_shares(edited, variants))
        .assign(edited=_numbers(edited, variants))
        .transpose("control", "variant", "k", "pair", "state", "language")
        .assign_coords({**state_axis(pivot), "k": settings.k})
        .assign(mutual_knn_chance=chance_overlap(settings.k, len(pivot.segments)))
        .assign_attrs(
            segments=len(pivot.segments),
            **settings.model_dump(include={"pool", "positions", "random_seeds"}),
        )
    )


@dataclass(frozen=True, eq=False)
class _Experiment:
    """The model and the pivot's states, loaded when the first language needs them.

    Attributes:
        half: the half that each segment is in, [segment].
    """

    inputs: DeactivationInputs
    settings: DeactivationSettings
    pivot: States
    half: NDArray[np.str_]

    @cached_property
    def _model(self) -> Any:
        return load(self.inputs.model, self.settings.device, self.settings.dtype)

    @cached_property
    def _pivot_states(self) -> list[tuple[NDArray[np.float32], list[csr_array]]]:
        """The pivot's states ``[segment, hidden]`` and their nearest neighbours, by state."""
        return [
            (state, nearest_neighbours(state, self.settings.k))
            for state in self.pivot.states(self.settings.pool)
        ]

    def piece(self, other: States, sets: Mapping[str, Controlled]) -> Piece:
        """Measure one language, or read earlier results."""
        read = {"pool", "positions", "k", "random_seeds", *RUNNING}
        edits = {
            f"{done}_{name}": draws
            for name, of_set in sets.items()
            for done, draws in of_set.masks.items()
        }
        origin = digest(
            [
                read_card(self.inputs.model).sha256,
                [self.pivot.fingerprint, other.fingerprint],
                [other.segments, self.half.tolist()],
                [[name, np.argwhere(draws).tolist()] for name, draws in edits.items()],
                self.settings.model_dump(include=read),
                fingerprint(__name__),
            ]
        )
        path = self.inputs.work.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._measure, other, edits))

    def _measure(self, other: States, edits: Mapping[str, NDArray[np.bool_]]) -> Piece:
        """Measure CLOSENESS of every segment, without neurons that it did not choose.

        Args:
            other: the language's states.
            edits: neurons by variant, ``[draw, half that chose them, layer, neuron]``.

        Returns:
            By variant and measure, ``{variant}.{measure}``: ``[draw, state, segment]``, and
            ``[draw, state, k, segment]`` for ``mutual_knn``. Variants without a draw are left out.
        """
        by_half = [mask for draws in edits.values() for draw in draws for mask in draw]
        states = self._states(other, [[], *([Edit(mask)] for mask in by_half)])
        unedited = next(states)
        measured = {BASELINE: [self._held_out([unedited] * len(HALVES))]}
        for variant, draws in edits.items():
            measured[variant] = [self._held_out([next(states) for _ in HALVES]) for _ in draws]
        return {
            f"{variant}.{name}": np.stack([draw[name] for draw in draws])
            for variant, draws in measured.items()
            for name in CLOSENESS
            if draws
        }

    def _states(
        self, other: States, variants: Sequence[Sequence[Edit]]
    ) -> Iterator[NDArray[np.float32]]:
        """Run the language under each variant's edits: ``[state, segment, hidden]``."""
        text = other.tokens(self.inputs.tokens[other.language])
        values = len(self._pivot_states) * self._pivot_states[0][0].size
        step = max(1, VALUES // values)
        for start in range(0, len(variants), step):
            yield from represent_variants(
                self._model,
                text,
                variants[start : start + step],
                self.settings.pool,
                self.settings.positions,
                self.inputs.work.execution.batch_tokens,
            )

    def _held_out(self, states: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
        """Measure CLOSENESS of each half's segments without the neurons of the other half.

        Args:
            states: for each of HALVES, the states without the neurons that it chose,
                ``[state, segment, hidden]``.

        Returns:
            By measure, ``[state, ..., segment]``.
        """
        measured: dict[str, NDArray[np.float64]] = {}
        for half, edited in zip(HALVES, states, strict=True):
            judged = self.half != half
            by_state = [
                closeness(pivot, rows, near, self.settings.k, judged)
                for (pivot, near), rows in zip(self._pivot_states, edited, strict=True)
            ]
            for name in CLOSENESS:
                values = np.stack([state[name] for state in by_state])
                measured[name] = np.where(judged, values, measured.get(name, np.nan))
        return measured


def _by_draw(
    measured: Mapping[str, Piece], variants: Sequence[str], settings: DeactivationSettings
) -> xr.Dataset:
    """Collect the languages' pieces; NaN for variants, and draws, that a language lacks.

    Returns:
        ``similarity(pair, …)`` and ``mutual_knn(k, …)``, by variant, language, draw, state and
        segment.
    """
    [shape, *_] = [of_language[f"{BASELINE}.mutual_knn"].shape for of_language in measured.values()]
    _, states, neighbours, segments = shape

    def joined(name: str, *dims: str) -> xr.DataArray:
        within = (states, neighbours, segments) if len(dims) == 2 else (states, segments)
        shape = (len(variants), len(measured), settings.random_seeds, *within)
        values = np.full(shape, np.nan)
        for row, variant in enumerate(variants):
            for place, of_language in enumerate(measured.values()):
                draws = of_language.get(f"{variant}.{name}", values[:0, 0, 0])
                values[row, place, : len(draws)] = draws
        coords = {"variant": list(variants), "language": list(measured)}
        return xr.DataArray(values, coords, ("variant", "language", "draw", *dims, "segment"))

    pairs = xr.Variable("pair", list(PAIRS))
    return xr.Dataset(
        {
            "similarity": xr.concat([joined(pair, "state") for pair in PAIRS], pairs),
            "mutual_knn": joined("mutual_knn", "state", "k"),
        }
    )


def _ranges(by_draw: xr.Dataset) -> dict[str, xr.DataArray]:
    """Find the lowest and the highest draw's mean over segments, of controls that are drawn."""
    drawn = [name.partition("_")[0] in DRAWN for name in by_draw["variant"].values]
    means = by_draw.where(xr.DataArray(drawn, dims="variant")).mean("segment")
    ranges: dict[str, xr.DataArray] = {}
    for name, units in MEASURES.items():
        of_draws = means[name].assign_attrs(units=units)
        ends = of_draws.min("draw", keep_attrs=True), of_draws.max("draw", keep_attrs=True)
        ranges |= named_bounds(f"{name}_control", ends)
    return ranges


def _numbers(sets: Mapping[str, Mapping[str, Controlled]], variants: Sequence[str]) -> xr.DataArray:
    """Tell how many neurons are deactivated, [variant, language]."""
    numbers = np.full((len(variants), len(sets)), np.nan)
    numbers[variants.index(BASELINE)] = 0
    for place, of_language in enumerate(sets.values()):
        for name, of_set in of_language.items():
            for done, neurons in of_set.neurons.items():
                numbers[variants.index(f"{done}_{name}"), place] = neurons
    coords = {"variant": list(variants), "language": list(sets)}
    return xr.DataArray(numbers, coords, ("variant", "language"), attrs={"units": "neurons"})


def closeness_tables(data: xr.Dataset, stem: str) -> dict[str, pd.DataFrame]:
    """Similarity and its changes; overlap of neighbours; both beside numbers of neurons.

    Args:
        data: result of ``closeness_without_sets``, perhaps with other variables.
        stem: stem of the first table; that of the second ends in ``_knn``.
    """
    wide = by_control(data.drop_vars([name for name in data if "_excess_all" in str(name)]))
    neurons = ["edited", "matched_share", "matched_contribution"]
    of_neighbours = [name for name in wide if str(name).startswith("mutual_knn")]
    similarity = wide[[name for name in wide if str(name).startswith("similarity")]]
    return {
        stem: tidy(similarity).merge(tidy(wide[neurons])),
        f"{stem}_knn": tidy(wide[of_neighbours]).merge(tidy(wide[neurons])),
    }
