"""Transfer neurons, which move a language's states into the shared space and out of it again."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.lists import by_layer, list_length, ranked
from neuroglot.analyses.transfer.measures.transfer import (
    OutputNorm,
    layer_ranges,
    neuron_scores,
    target_centroid,
)
from neuroglot.analyses.transfer.settings import NeuronsInputs, NeuronsSettings
from neuroglot.analyses.transfer.states import States, open_states, states_after
from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.measures.axes import stack_layers, width_axis
from neuroglot.models.card import read_card
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.models.norms import norm_form
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint

LINEARISED = "linearised at the recorded row"

VARIABLES: Mapping[str, str] = {
    "type": "type1: into the space that languages share; type2: out of it to the language's own",
    "rank": "place in the list, from 1, the highest score first",
    "score": "how much nearer the neuron brings a text's last token to the type's target, mean "
    "over segments; NaN where the type is not sought",
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
    found = {}
    with progress(len(others), "languages", f"{inputs.model.name} transfer neurons") as bar:
        for language in others:
            found[language] = scoring.piece(states[language])
            bar.update()
    return (
        _ranked(found, settings)
        .assign_attrs(
            pool=settings.pool,
            type1_layers=settings.type1_layers,
            segments=len(pivot.segments),
            norm=str(next(iter(found.values()))["norm"]),
        )
        .assign_coords(
            stack=("layer", pivot.stack),
            stack_layer=("layer", pivot.stack_layer),
            **width_axis(read_card(inputs.model).neurons),
        )
    )


class _Scoring:
    """The model's value vectors, loaded when the first language is scored."""

    def __init__(self, inputs: NeuronsInputs, settings: NeuronsSettings, pivot: States) -> None:
        self._inputs, self._pool, self._pivot = inputs, settings.pool, pivot
        self._lower, _ = layer_ranges(pivot.layers, settings.type1_layers)
        self._ffns: list[FFN] = []

    def piece(self, other: States) -> Piece:
        """Compute a language's ``score`` ``[layer, neuron]``, for each layer's type, or read it."""
        origin = digest(
            [
                read_card(self._inputs.model).sha256,
                [one.fingerprint for one in (self._pivot, other)],
                [other.segments, self._pool, len(self._lower)],
                fingerprint(__name__),
            ]
        )
        path = self._inputs.work.pieces / f"{other.language}.npz"
        return piece(path, origin, partial(self._score, other))

    def _score(self, other: States) -> Piece:
        if not self._ffns:
            model = self._inputs.model
            self._ffns = ffns(load(model, "cpu", read_card(model).dtype))
        pivot, own = self._pivot.states(self._pool), other.states(self._pool)
        scores = []
        for ffn, after in zip(self._ffns, states_after(other), strict=True):
            kind = "type1" if ffn.index in self._lower else "type2"
            towards = target_centroid(kind, pivot[after], own[after])
            scores.append(layer_scores(ffn, other.mid(ffn.index), other.act(ffn.index), towards))
        linearised = any(ffn.norm_after is not None for ffn in self._ffns)
        return {
            "score": stack_layers(scores),
            "norm": np.array(LINEARISED if linearised else "none"),
        }


def layer_scores(
    ffn: FFN,
    mid: NDArray[np.float32],
    act: NDArray[np.float32],
    towards: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Score the neurons of a layer, ``[neuron]``.

    Args:
        ffn: the layer's FFN.
        mid: the residual stream before the FFN, ``[row, hidden]``.
        act: activations ``[row, neuron]``, possibly padded to the width of a wider layer.
        towards: the target centroid, ``[hidden]``.
    """
    act, values = act[:, : ffn.neurons], ffn.output_matrix().float().numpy()
    if ffn.norm_after is None:
        return neuron_scores(mid, act, values, towards)
    form = norm_form(ffn.norm_after, ffn.hidden)
    norm = OutputNorm(form.gain.numpy(), form.epsilon, form.center)
    bias = ffn.output_bias()
    return neuron_scores(
        mid, act, values, towards, norm, None if bias is None else bias.double().numpy()
    )


def _ranked(found: Mapping[str, Piece], settings: NeuronsSettings) -> xr.Dataset:
    scores = {language: one["score"].astype(np.float32) for language, one in found.items()}
    neurons = int(np.isfinite(next(iter(scores.values()))).sum())
    length = list_length(settings.top_n, settings.top_fraction, neurons)
    try:
        return ranked(scores, settings.type1_layers, length).assign_attrs(top_n=length)
    except NeuroglotError as error:
        raise NeuroglotError(f"transfer.{error}") from error


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """The lists, by type, language and rank; layers count from 1."""
    of_ranks = {f"rank_{name}": name for name in ("layer", "neuron", "score")}
    found = data[list(of_ranks)].to_dataframe().reset_index().rename(columns=of_ranks)
    found["layer"] += 1
    return {"neurons": found[["type", "language", "rank", "layer", "neuron", "score"]]}


def export(data: xr.Dataset, folder: Path) -> None:
    """Write the lists as ``neurons.json``: see ``by_layer``."""
    text = json.dumps(by_layer(data), ensure_ascii=False) + "\n"
    write_whole(folder / "neurons.json", text.encode())
