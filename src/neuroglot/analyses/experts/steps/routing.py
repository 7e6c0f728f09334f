"""Counts how often each expert is among a token's most active experts (section 3).

Counts are kept by segment in a parallel corpus, and by fold of segments in others.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import Work
from neuroglot.analyses.experts.measures import experts as measure
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.experts.settings import REAL, RoutingInputs, RoutingSettings
from neuroglot.capture.collectors import BY_FOLD, BY_SEGMENT
from neuroglot.capture.recorded import open_recorded
from neuroglot.measures.folds import FOLDS
from neuroglot.tokens import read_tokens

if TYPE_CHECKING:
    import torch

    from neuroglot.capture.blocks import Recording
    from neuroglot.capture.collectors import CrossLayerCollector

ROWS = 512  # rows of stored activations per chunk

Members = Sequence[NDArray[np.int64]]
"""The neurons of each expert, by layer: results of ``measures.experts.members``."""


class Counted(NamedTuple):
    """What was counted of a text.

    Attributes:
        active: tokens at which an expert is active, ``[layer, segment or fold, expert]``.
        tokens: all tokens, ``[segment or fold]``.
        axis: coordinates of segments or folds, see ``_axis``.
        labels: ids of the ``language`` and the ``corpus``.
    """

    active: NDArray[np.integer]
    tokens: NDArray[np.int64]
    axis: dict[str, Any]
    labels: dict[str, str]


VARIABLES: Mapping[str, str] = {
    "active": "tokens of the segment or fold of segments at which the expert is among the most "
    "active",
    "tokens": "tokens of the segment or fold of segments, all of which are counted",
    "segment_place": "the segment's place among those drawn, the same in every language",
}


def compute(inputs: RoutingInputs, settings: RoutingSettings) -> xr.Dataset:
    """Count on recorded rows or, if there are none, during a forward pass."""
    partition, count = read_partition(inputs.partition), settings.experts_per_layer
    members = [] if count == REAL else _members(partition, count)
    match inputs.rows, inputs.model, inputs.tokens:
        case Path() as rows, None, None:
            counted = _from_rows(rows, members, settings)
        case None, Path() as model, Path() as text:
            recording = _chosen() if count == REAL else _most_active(members, settings)
            counted = _from_forward(model, text, inputs.work, recording, settings)
            if count == REAL:
                counted = counted._replace(active=_of_all_layers(counted.active, partition))
        case _:
            raise TypeError("routing reads either rows, or tokens and the model that reads them")
    kept_by = next(iter(counted.axis))
    active = counted.active.astype(np.int32)
    return xr.Dataset(
        {
            "active": (("layer", kept_by, "expert"), active, {"units": "tokens"}),
            "tokens": (kept_by, counted.tokens, {"units": "tokens"}),
        },
        coords={
            "layer": partition["layer"],
            "stack": partition["stack"],
            "stack_layer": partition["stack_layer"],
            **counted.axis,
        },
        attrs={**counted.labels, "source": "section 3, cross-layer expert selection"},
    ).transpose(kept_by, ...)


def _members(partition: xr.DataArray, experts: int) -> Members:
    return [
        measure.members(expert[expert != measure.NO_EXPERT], experts) for expert in partition.values
    ]


def _of_all_layers(active: NDArray[np.integer], partition: xr.DataArray) -> NDArray[np.integer]:
    """Put counts of layers with real experts among all layers; others have none."""
    routed = (partition != measure.NO_EXPERT).any("neuron").values
    whole = np.zeros((len(routed), *active.shape[1:]), active.dtype)
    whole[routed] = active
    return whole


def _axis(segments: Sequence[str], places: NDArray[np.int64], drawn: int) -> dict[str, Any]:
    """Name what counts are kept by: the segments of a parallel corpus, or folds of segments."""
    if drawn:
        ids = np.array(segments, object)
        return {"segment": ("segment", ids), "segment_place": ("segment", places)}
    return {"fold": np.arange(min(FOLDS, len(segments)))}


def _from_rows(rows: Path, members: Members, settings: RoutingSettings) -> Counted:
    [recorded] = open_recorded([rows])
    count, drawn = recorded.counts["rows"], recorded.counts["drawn"]
    segment = recorded.data["segment_index"].values
    firsts = recorded.data.isel(row=np.flatnonzero(np.diff(segment, prepend=-1)))
    axis = _axis(firsts["segment"].values.tolist(), firsts["segment_place"].values, drawn)
    fold = segment if drawn else segment % FOLDS
    tokens = np.bincount(fold)
    total = np.zeros((len(members), len(tokens), len(members[0])), np.int32)
    for start in range(0, count, ROWS):
        chunk = slice(start, min(start + ROWS, count))
        z = [
            measure.standardise(
                measure.expert_scores(recorded.rows("act", layer, chunk), of_layer, settings.score)
            )
            for layer, of_layer in enumerate(members)
        ]
        folds = np.unique(fold[chunk])
        of_fold = (folds[:, None] == fold[chunk]).astype(np.float32)
        total[:, folds] += measure.active_count(
            np.stack(z, axis=1), settings.active_fraction, of_fold
        )
    labels = {"language": recorded.language, "corpus": recorded.corpus}
    return Counted(total, tokens, axis, labels)


def _from_forward(
    model: Path, text: Path, work: Work, recording: "Recording", settings: RoutingSettings
) -> Counted:
    from neuroglot.capture.engine import Engine
    from neuroglot.models.load import load

    tokens = read_tokens(text)
    engine = Engine(load(model, settings.device, settings.dtype), work.execution)
    by_fold = np.bincount(tokens.folds[tokens.segment])
    statistic = "active" if recording.cross_layer else "chosen_count"
    origin = store.read_completion(text).origin
    label = f"{origin['model']} experts {origin['language']}"
    # An interrupted pass stores its counts under the fingerprint of the recording.
    sums = engine.run(tokens, recording, work.progress, label)
    active = (
        store.read_sums(work.progress, f"{statistic}{BY_SEGMENT}")
        if tokens.drawn
        else sums[f"{statistic}{BY_FOLD}"][:, : len(by_fold)]
    )
    labels = {name: origin[name] for name in ("language", "corpus")}
    axis = _axis(tokens.segment_ids, tokens.places, tokens.drawn)
    return Counted(active, by_fold, axis, labels)


def _chosen() -> "Recording":
    """Count how often each expert of a mixture is chosen."""
    from neuroglot.capture.blocks import Recording
    from neuroglot.capture.collectors import chosen_collector

    return Recording(over="every token", collectors=(chosen_collector(),))


def _most_active(members: Members, settings: RoutingSettings) -> "Recording":
    from neuroglot.capture.blocks import Recording

    return Recording(over="every token", cross_layer=(_collector(members, settings),))


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
