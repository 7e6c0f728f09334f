"""Counts how often each expert is among a token's most active experts, by fold (section 3)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import Work
from neuroglot.analyses.experts.measures import experts as measure
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.experts.settings import RoutingInputs, RoutingSettings
from neuroglot.capture.recorded import open_recorded
from neuroglot.measures.folds import FOLDS
from neuroglot.tokens import read_tokens

if TYPE_CHECKING:
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

ROWS = 512  # rows of stored activations per chunk

Members = Sequence[NDArray[np.int64]]
"""The neurons of each expert, by layer: results of ``measures.experts.members``."""


class Counted(NamedTuple):
    """What was counted of a text.

    Attributes:
        active: tokens at which an expert is active, ``[layer, fold, expert]``.
        tokens: all tokens, ``[fold]``.
        drawn: number of segments drawn for all languages, 0 if the corpus is not parallel.
        labels: ids of the ``language`` and the ``corpus``.
    """

    active: NDArray[np.int64]
    tokens: NDArray[np.int64]
    drawn: int
    labels: dict[str, str]


VARIABLES: Mapping[str, str] = {
    "active": "tokens of the fold's segments at which the expert is among the most active",
    "tokens": "tokens of the fold's segments, all of which are counted",
}


def compute(inputs: RoutingInputs, settings: RoutingSettings) -> xr.Dataset:
    """Count on recorded rows or, if there are none, during a forward pass."""
    partition = read_partition(inputs.partition)
    members = [
        measure.members(expert[expert != measure.NO_EXPERT], settings.experts_per_layer)
        for expert in partition.values
    ]
    match inputs.rows, inputs.model, inputs.tokens:
        case Path() as rows, None, None:
            counted = _from_rows(rows, members, settings)
        case None, Path() as model, Path() as text:
            counted = _from_forward(model, text, inputs.work, members, settings)
        case _:
            raise TypeError("routing reads either rows, or tokens and the model that reads them")
    return xr.Dataset(
        {
            "active": (("layer", "fold", "expert"), counted.active, {"units": "tokens"}),
            "tokens": ("fold", counted.tokens, {"units": "tokens"}),
        },
        coords={
            "layer": partition["layer"],
            "stack": partition["stack"],
            "stack_layer": partition["stack_layer"],
            "fold": np.arange(len(counted.tokens)),
        },
        attrs={
            **counted.labels,
            "drawn": counted.drawn,
            "source": "section 3, cross-layer expert selection",
        },
    ).transpose("fold", ...)


def _from_rows(rows: Path, members: Members, settings: RoutingSettings) -> Counted:
    [recorded] = open_recorded([rows])
    count = recorded.counts["rows"]
    place = recorded.data["segment_place"].values[:count]
    tokens = measure.tokens_by_fold(place, recorded.counts["folds"])
    folds = len(tokens)
    total = np.zeros((len(members), folds, settings.experts_per_layer), np.int64)
    for start in range(0, count, ROWS):
        chunk = slice(start, min(start + ROWS, count))
        z = [
            measure.standardise(
                measure.expert_scores(recorded.rows("act", layer, chunk), of_layer, settings.score)
            )
            for layer, of_layer in enumerate(members)
        ]
        of_fold = np.arange(folds)[:, None] == place[chunk] % FOLDS
        total += measure.active_count(
            np.stack(z, axis=1), settings.active_fraction, of_fold.astype(np.float32)
        )
    labels = {"language": recorded.language, "corpus": recorded.corpus}
    return Counted(total, tokens, recorded.counts["drawn"], labels)


def _from_forward(
    model: Path, text: Path, work: Work, members: Members, settings: RoutingSettings
) -> Counted:
    from neuroglot.capture.blocks import Recording
    from neuroglot.capture.engine import Engine
    from neuroglot.models.load import load

    tokens = read_tokens(text)
    engine = Engine(load(model, settings.device, settings.dtype), work.execution)
    by_fold = measure.tokens_by_fold(tokens.places[tokens.segment], tokens.fold_count)
    counter = _collector(members, settings)
    recording = Recording(over="every token", cross_layer=(counter,))
    origin = store.read_completion(text).origin
    label = f"{origin['model']} experts {origin['language']}"
    # An interrupted pass stores its counts under the fingerprint of the recording.
    sums = engine.run(tokens, recording, work.progress, label)
    labels = {name: origin[name] for name in ("language", "corpus")}
    return Counted(sums["active_by_fold"][:, : len(by_fold)], by_fold, tokens.drawn, labels)


def _collector(members: Members, settings: RoutingSettings) -> "CrossLayerCollector":
    """Count active experts in a forward pass: ``active_by_fold`` ``[layer, fold, expert]``."""
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

    on_cpu = [torch.from_numpy(of_layer) for of_layer in members]

    def layer(index: int, act: "torch.Tensor") -> "torch.Tensor":
        of_layer = on_cpu[index].to(act.device)
        z: torch.Tensor = measure.standardise(measure.expert_scores(act, of_layer, settings.score))
        return z

    def rows(z: "torch.Tensor", folds: "torch.Tensor") -> "dict[str, torch.Tensor]":
        return {"active_by_fold": measure.active_count(z, settings.active_fraction, folds)}

    return CrossLayerCollector("act", layer, rows)
