"""Transfer neurons, which move a language's states into the shared space and out of it again.

Beside the lists stands what later steps match controls by: how often each neuron fires at the
segments' last tokens, and how much it contributes there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.pieces import Piece, piece
from neuroglot.analyses.transfer.measures.lists import ALL, HALVES, by_layer, ranked
from neuroglot.analyses.transfer.measures.transfer import (
    centroid,
    layer_ranges,
    shared_centroid,
    transfer_score,
)
from neuroglot.analyses.transfer.settings import NeuronsInputs, NeuronsSettings
from neuroglot.analyses.transfer.states import States, halves, open_states, states_after
from neuroglot.errors import NeuroglotError
from neuroglot.files import write_whole
from neuroglot.measures.axes import model_axis, neuron_names, stack_layers
from neuroglot.models.card import read_card
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.load import load
from neuroglot.models.norms import norm_form, output_scale, value_norms
from neuroglot.progress import progress
from neuroglot.provenance import digest, fingerprint
from neuroglot.tables import tidy

LINEARISED = "linearised at the recorded row"

VARIABLES: Mapping[str, str] = {
    "type": "type1: into the space that languages share; type2: out of it to the language's own",
    "part": "segments that a list was chosen on, or a neuron described on: all common ones, or the "
    "first or second half of them",
    "half": "half that the segment is in",
    "rank": "place in the list, from 1, the highest score first",
    "score": "how much nearer the neuron brings a text's last token to the type's target, mean "
    "over segments; NaN in layers that are not searched for the type",
    "rank_layer": "layer of the neuron at this place, counted from 0 over all stacks; -1 beyond "
    "the end of the type's list",
    "rank_neuron": "neuron at this place, counted from 0 in its layer; -1 beyond the end",
    "rank_score": "score of the neuron at this place",
    "neurons": "neurons of the list that are in the layer",
    "list_length": "neurons of each of the type's lists",
    "halves_jaccard": "neurons that are in both lists chosen on halves of the segments, among "
    "those that are in either",
    "halves_jaccard_chance": "the same of two random lists of the type's layers, on average",
    "active_share": "share of the segments at whose last token the neuron fires (in gated models: "
    "at which its gate is positive)",
    "contribution": "size of the activation times norm of the value vector, mean over the "
    "segments' last tokens",
}


def compute(inputs: NeuronsInputs, settings: NeuronsSettings) -> xr.Dataset:
    """Score every neuron for every language except the pivot, and rank the neurons of each type.

    Scores use ``mid`` and ``act`` of the last token; ``pool`` selects the states for centroids. In
    an encoder-decoder model, the encoder's layers come first. The lists of a half of the segments
    use the scores, and the centroids, of that half alone.
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
    card = read_card(inputs.model)
    return (
        _ranked(scored, settings)
        .assign(_described(scored))
        .assign_attrs(
            pool=settings.pool,
            type1_layers=settings.type1_layers,
            segments=len(pivot.segments),
            norm=str(next(iter(scored.values()))["norm"]),
        )
        .assign_coords(
            segment=pivot.segments,
            half=("segment", halves(pivot.segments)),
            stack=("layer", pivot.stack),
            stack_layer=("layer", pivot.stack_layer),
            **model_axis(card.neurons, card.experts, card.expert_neurons),
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
        """Measure a language's neurons in each of PARTS, ``[part, layer, neuron]``, or read it.

        ``score`` is for each layer's type; ``active_share`` and ``contribution`` describe the
        neurons.
        """
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
        half = halves(other.segments)
        parts = [np.ones(len(half), bool), *(half == name for name in HALVES)]
        measured: dict[str, list[NDArray[np.floating]]] = {
            "score": [],
            "active_share": [],
            "contribution": [],
        }
        for ffn, after in zip(self._ffns, states_after(other), strict=True):
            mid, act, fires = other.mid(ffn.index), other.act(ffn.index), other.fires(ffn.index)
            act, fires = act[:, : ffn.neurons], fires[:, : ffn.neurons]
            weight = np.abs(act, dtype=np.float64) * value_norms(ffn)
            scores = []
            for part in parts:
                of_part = other_states[after][part]
                target = (
                    shared_centroid(pivot_states[after][part], of_part)
                    if ffn.index in self._type1_layers
                    else centroid(of_part)
                )
                scores.append(layer_scores(ffn, mid[part], act[part], target))
            measured["score"].append(np.stack(scores))
            for name, values in (("active_share", fires), ("contribution", weight)):
                measured[name].append(np.stack([values[part].mean(0) for part in parts]))
        linearised = any(ffn.norm_after is not None for ffn in self._ffns)
        by_part = {
            name: np.moveaxis(stack_layers(layers), 1, 0) for name, layers in measured.items()
        }
        return {**by_part, "norm": np.array(LINEARISED if linearised else "none")}


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
        return transfer_score(mid, act, ffn.scale * values, target)
    norm, scale = norm_form(ffn.norm_after, ffn.hidden), output_scale(ffn, act)
    gain = ffn.scale * norm.gain.numpy()
    return transfer_score(mid, act, values, target, gain, scale, norm.center)


def _ranked(scored: Mapping[str, Piece], settings: NeuronsSettings) -> xr.Dataset:
    scores = {language: piece["score"].astype(np.float32) for language, piece in scored.items()}
    try:
        return ranked(scores, settings.type1_layers, settings.top_fraction, settings.top_n)
    except NeuroglotError as error:
        raise NeuroglotError(f"transfer.{error}") from error


def _described(scored: Mapping[str, Piece]) -> dict[str, Any]:
    """Give ``active_share`` and ``contribution``, [part, language, layer, neuron]."""
    units = {"active_share": "share of segments", "contribution": "activation"}
    return {
        name: (
            ("part", "language", "layer", "neuron"),
            np.stack([piece[name].astype(np.float32) for piece in scored.values()], 1),
            {"units": unit},
        )
        for name, unit in units.items()
    }


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """The lists, by type, language and rank, and what the halves' lists have in common.

    Layers count from 1.
    """
    of_ranks = {f"rank_{name}": name for name in ("layer", "neuron", "score")}
    chosen_on_all = data[list(of_ranks)].sel(part=ALL, drop=True)
    lists = chosen_on_all.to_dataframe().reset_index().rename(columns=of_ranks)
    lists = lists.dropna(subset="score")
    names = neuron_names(data, lists["layer"].to_numpy(), lists["neuron"].to_numpy())
    lists = lists.assign(layer=lists["layer"] + 1, **names)
    halves_compared = data[["list_length", "halves_jaccard", "halves_jaccard_chance"]]
    return {
        "neurons": lists[["type", "language", "rank", "layer", *names, "score"]],
        "halves": tidy(halves_compared),
    }


def export(data: xr.Dataset, folder: Path) -> None:
    """Write the lists as ``neurons.json``: see ``by_layer``."""
    text = json.dumps(by_layer(data), ensure_ascii=False) + "\n"
    write_whole(folder / "neurons.json", text.encode())
