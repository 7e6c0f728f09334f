"""Transfer neurons, which move a language's states into the shared space and out of it again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.lists import by_layer, list_length, ranked
from neuroglot.analyses.transfer.measures.transfer import (
    centroid,
    layer_ranges,
    shared_centroid,
    transfer_score,
)
from neuroglot.analyses.transfer.settings import NeuronsInputs, NeuronsSettings
from neuroglot.analyses.transfer.states import States, open_states, states_after
from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.measures.axes import stack_layers, width_axis
from neuroglot.models.card import read_card
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.models.norms import norm_form, output_scale
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint

LINEARISED = "linearised at the recorded row"

VARIABLES: Mapping[str, str] = {
    "type": "type1: into the space that languages share; type2: out of it to the language's own",
    "rank": "place in the list, from 1, the highest score first",
    "score": "how much nearer the neuron brings a text's last token to the type's target, mean "
    "over segments; NaN in layers that are not searched for the type",
    "rank_layer": "layer of the neuron at this place, counted from 0 over all stacks",
    "rank_neuron": "neuron at this place, counted from 0 in its layer",
    "rank_score": "score of the neuron at this place",
    "neurons": "neurons of the list that are in the layer",
}


def compute(inputs: NeuronsInputs, settings: NeuronsSettings) -> xr.Dataset:
    """Score every neuron for every language except the pivot, and rank the neurons of each type.

    Scores use ``mid`` and ``act`` of the last token; ``pool`` selects the states for centroids. In
    an encoder-decoder model, the encoder's layers come first.
    """
    states = open_states(inputs.states, settings.languages, settings.pivot)
    pivot = states[settings.pivot]
    scoring = _Scoring(inputs, settings, pivot)
    others = [language for language in states if language != settings.pivot]
    scored = {}
    with progress(len(others), "languages", f"{inputs.model.name} transfer neurons") as bar:
        for language in others:
            scored[language] = scoring.piece(states[language])
            bar.update()
    return (
        _ranked(scored, settings)
        .assign_attrs(
            pool=settings.pool,
            type1_layers=settings.type1_layers,
            segments=len(pivot.segments),
            norm=str(next(iter(scored.values()))["norm"]),
        )
        .assign_coords(
            stack=("layer", pivot.stack),
            stack_layer=("layer", pivot.stack_layer),
            **width_axis(read_card(inputs.model).neurons),
        )
    )


@dataclass(frozen=True, eq=False)
class _Scoring:
    """The model's value vectors, loaded when the first language is scored."""

    inputs: NeuronsInputs
    settings: NeuronsSettings
    pivot: States

    @cached_property
    def _ffns(self) -> list[FFN]:
        model = self.inputs.model
        return ffns(load(model, "cpu", read_card(model).dtype))

    @cached_property
    def _type1_layers(self) -> range:
        return layer_ranges(len(self.pivot.stack), self.settings.type1_layers)[0]

    def piece(self, other: States) -> Piece:
        """Compute a language's ``score`` ``[layer, neuron]``, for each layer's type, or read it."""
        origin = digest(
            [
                read_card(self.inputs.model).sha256,
                [self.pivot.fingerprint, other.fingerprint],
                [other.segments, self.settings.pool, len(self._type1_layers)],
                fingerprint(__name__),
            ]
        )
        path = self.inputs.work.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._score, other))

    def _score(self, other: States) -> Piece:
        pivot_states, other_states = (
            states.states(self.settings.pool) for states in (self.pivot, other)
        )
        scores = []
        for ffn, after in zip(self._ffns, states_after(other), strict=True):
            target = (
                shared_centroid(pivot_states[after], other_states[after])
                if ffn.index in self._type1_layers
                else centroid(other_states[after])
            )
            scores.append(layer_scores(ffn, other.mid(ffn.index), other.act(ffn.index), target))
        linearised = any(ffn.norm_after is not None for ffn in self._ffns)
        return {
            "score": stack_layers(scores),
            "norm": np.array(LINEARISED if linearised else "none"),
        }


def layer_scores(
    ffn: FFN,
    mid: NDArray[np.float32],
    act: NDArray[np.float32],
    target: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score the neurons of a layer from its recorded rows and weights: see ``transfer_score``.

    Args:
        ffn: the layer's FFN. A norm after it is linearised at each row.
        mid: the residual stream before the FFN, ``[row, hidden]``.
        act: activations ``[row, neuron]``, possibly padded to the width of a wider layer.
        target: the target centroid, ``[hidden]``.

    Returns:
        float64 ``[neuron]``, difference of cosines.
    """
    act, values = act[:, : ffn.neurons], ffn.output_matrix().float().numpy()
    if ffn.norm_after is None:
        return transfer_score(mid, act, values, target)
    norm, scale = norm_form(ffn.norm_after, ffn.hidden), output_scale(ffn, act)
    return transfer_score(mid, act, values, target, norm.gain.numpy(), scale, norm.center)


def _ranked(scored: Mapping[str, Piece], settings: NeuronsSettings) -> xr.Dataset:
    scores = {language: piece["score"].astype(np.float32) for language, piece in scored.items()}
    neurons = int(np.isfinite(next(iter(scores.values()))).sum())
    length = list_length(settings.top_n, settings.top_fraction, neurons)
    try:
        return ranked(scores, settings.type1_layers, length).assign_attrs(top_n=length)
    except NeuroglotError as error:
        raise NeuroglotError(f"transfer.{error}") from error


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """The lists, by type, language and rank; layers count from 1."""
    of_ranks = {f"rank_{name}": name for name in ("layer", "neuron", "score")}
    lists = data[list(of_ranks)].to_dataframe().reset_index().rename(columns=of_ranks)
    lists["layer"] += 1
    return {"neurons": lists[["type", "language", "rank", "layer", "neuron", "score"]]}


def export(data: xr.Dataset, folder: Path) -> None:
    """Write the lists as ``neurons.json``: see ``by_layer``."""
    text = json.dumps(by_layer(data), ensure_ascii=False) + "\n"
    write_whole(folder / "neurons.json", text.encode())
