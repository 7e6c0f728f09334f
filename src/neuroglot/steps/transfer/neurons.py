"""Transfer neurons: those that move a language's states into the shared space, and out again."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.measures.transfer import (
    centroid,
    layer_ranges,
    norm_scale,
    shared_centroid,
    top_neurons,
    transfer_score,
)
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.models.norms import norm_form
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.pieces import Piece, piece
from neuroglot.steps.transfer.states import States, open_states, state_axis

TYPES = ("type1", "type2")
LINEARISED = "linearised at the recorded row"


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Score every neuron on every language but the pivot, and rank those of each type.

    A score is of the last token's ``mid`` and ``act``; ``pool`` chooses the states that centroids
    are of. In an encoder-decoder the encoder's layers are the lower ones.
    """
    states = open_states(inputs, settings["languages"], settings["pivot"])
    own = settings["pivot"], settings["pool"], settings["type1_layers"]
    scoring = _Scoring(inputs, states, *own)
    others = [language for language in states if language != settings["pivot"]]
    found = {}
    with progress(len(others), "languages", f"{inputs.model.name} transfer neurons") as bar:
        for language in others:
            found[language] = scoring.piece(language)
            bar.update()
    norm = str(next(iter(found.values()))["norm"])
    scores = {language: one["score"].astype(np.float32) for language, one in found.items()}
    return _dataset(scores, states[settings["pivot"]], settings).assign_attrs(norm=norm)


def listed(data: xr.Dataset, kind: str, language: str, top: int | None = None) -> NDArray[np.bool_]:
    """Mark a language's first ``top`` neurons of a type, or all of its list, ``[layer, neuron]``.

    Args:
        data: what ``compute`` gives.
        kind: one of TYPES.
        language: not the pivot.
        top: how many, from the highest score.
    """
    own = data.sel(type=kind, language=language).isel(rank=slice(top))
    chosen = np.zeros((data.sizes["layer"], data.sizes["neuron"]), bool)
    chosen[own["rank_layer"].values, own["rank_neuron"].values] = True
    return chosen


class _Scoring:
    """The model's value vectors, read when the first language is to be scored."""

    def __init__(
        self,
        inputs: Inputs,
        states: Mapping[str, States],
        pivot: str,
        pool: Any,
        type1_layers: float,
    ) -> None:
        self._inputs, self._states, self._pivot, self._pool = inputs, states, states[pivot], pool
        self._lower, _ = layer_ranges(self._pivot.layers, type1_layers)
        self._ffns: list[FFN] = []

    def piece(self, language: str) -> Piece:
        """A language's ``score`` ``[layer, neuron]``, each layer's of the type it is sought for."""
        other = self._states[language]
        origin = digest(
            [
                self._inputs.card().sha256,
                [store.read_record(one.path).fingerprint for one in (self._pivot, other)],
                [other.segments, self._pool, len(self._lower)],
                fingerprint(__name__),
            ]
        )
        path = self._inputs.pieces / f"{language}.npz"
        return piece(path, origin, partial(self._score, other))

    def _score(self, other: States) -> Piece:
        if not self._ffns:
            self._ffns = ffns(load(self._inputs.model, "cpu", self._inputs.card().dtype))
        pivot, own = self._pivot.states(self._pool), other.states(self._pool)
        scores = []
        for ffn, after in zip(self._ffns, states_after(other), strict=True):
            towards = (
                shared_centroid(pivot[after], own[after])
                if ffn.index in self._lower
                else centroid(own[after])
            )
            scores.append(neuron_scores(ffn, other.mid(ffn.index), other.act(ffn.index), towards))
        linearised = any(ffn.norm_after is not None for ffn in self._ffns)
        return {
            "score": np.stack(scores),
            "norm": np.array(LINEARISED if linearised else "none"),
        }


def states_after(states: States) -> list[int]:
    """The number of the state that each layer leaves, ``[layer]``."""
    axis = state_axis(states)
    stacks, places = axis["stack"][1], axis["stack_state"][1]
    number = {key: state for state, key in enumerate(zip(stacks, places, strict=True))}
    return [
        number[stack, layer + 1]
        for stack, layer in zip(states.stack, states.stack_layer, strict=True)
    ]


def neuron_scores(
    ffn: FFN,
    mid: NDArray[np.float32],
    act: NDArray[np.float32],
    towards: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How far each neuron of a layer turns the stream towards a centroid, ``[neuron]``.

    Args:
        ffn: the layer's.
        mid: the residual stream before the FFN adds to it, ``[row, hidden]``.
        act: ``[row, neuron]``.
        towards: the centroid, ``[hidden]``.
    """
    values = ffn.output_matrix().float().numpy()
    if ffn.norm_after is None:
        return transfer_score(mid, act, values, towards)
    form = norm_form(ffn.norm_after, ffn.hidden)
    out = act.astype(np.float64) @ values.T.astype(np.float64)
    if (bias := ffn.output_bias()) is not None:
        out += bias.double().numpy()
    scale = norm_scale(out, form.epsilon, form.center)
    return transfer_score(mid, act, values, towards, form.gain.numpy(), scale, form.center)


def _dataset(
    scores: Mapping[str, NDArray[np.float32]], pivot: States, settings: dict[str, Any]
) -> xr.Dataset:
    """Rank the neurons of each type over its layers."""
    layers, neurons = next(iter(scores.values())).shape
    count = settings["top_n"]
    if settings["top_fraction"] is not None:
        count = max(1, round(settings["top_fraction"] * layers * neurons))
    score = np.full((len(TYPES), len(scores), layers, neurons), np.nan, np.float32)
    for kind, sought in enumerate(layer_ranges(pivot.layers, settings["type1_layers"])):
        layers_of = slice(sought.start, sought.stop)
        score[kind][:, layers_of] = np.stack([own[layers_of] for own in scores.values()])
    ranked = np.array([[_top(own, count) for own in by_type] for by_type in score])
    layer, neuron = ranked[:, :, 0].astype(np.int32), ranked[:, :, 1].astype(np.int32)
    in_layer = (layer[..., None] == np.arange(layers)).sum(2, dtype=np.int32)
    by_rank = ("type", "language", "rank")
    unit = "difference of cosines"
    return xr.Dataset(
        {
            "score": (("type", "language", "layer", "neuron"), score, {"units": unit}),
            "rank_layer": (by_rank, layer, {"units": "layer, from 0"}),
            "rank_neuron": (by_rank, neuron, {"units": "neuron, from 0"}),
            "rank_score": (by_rank, ranked[:, :, 2].astype(np.float32), {"units": unit}),
            "neurons": (("type", "language", "layer"), in_layer, {"units": "neurons"}),
        },
        coords={
            "type": list(TYPES),
            "language": list(scores),
            "layer": np.arange(layers),
            "stack": ("layer", pivot.stack),
            "stack_layer": ("layer", pivot.stack_layer),
            "rank": np.arange(1, count + 1),
        },
        attrs={
            "pool": settings["pool"],
            "top_n": count,
            "type1_layers": settings["type1_layers"],
            "segments": len(pivot.segments),
        },
    )


def _top(score: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Layer, neuron and score of the first neurons, ``[3, rank]``."""
    try:
        return np.stack(top_neurons(score, count))
    except NeuroglotError as error:
        raise NeuroglotError(f"transfer.{error}") from error


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """The lists, by type, language and rank; layers count from 1."""
    ranked = {f"rank_{name}": name for name in ("layer", "neuron", "score")}
    found = data[list(ranked)].to_dataframe().reset_index().rename(columns=ranked)
    found["layer"] += 1
    return {"neurons": found[["type", "language", "rank", "layer", "neuron", "score"]]}


def export(data: xr.Dataset, folder: Path) -> None:
    """Write ``neurons.json``: ``{type: {language: {layer: [neurons]}}}``.

    Layers count from 1 as in the table, and each type's are all there; neurons count from 0.
    """
    found = {
        kind: {
            language: {
                str(layer + 1): np.flatnonzero(row).tolist()
                for layer, row in enumerate(listed(data, kind, language))
                if not np.isnan(data["score"].sel(type=kind, language=language)[layer, 0])
            }
            for language in data["language"].values.tolist()
        }
        for kind in TYPES
    }
    text = json.dumps(found, ensure_ascii=False) + "\n"
    write_whole(folder / "neurons.json", text.encode())
