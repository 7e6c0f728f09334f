"""Counts how often each expert is among a token's most active experts, by fold (section 3)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.analyses.base import Work
from neuroglot.analyses.experts.measures import experts as measure
from neuroglot.analyses.experts.partitions import read_partition
from neuroglot.analyses.experts.settings import RoutingInputs, RoutingSettings
from neuroglot.capture.recorded import open_recorded
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.tokens import read_tokens

if TYPE_CHECKING:
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

ROWS = 512  # rows of stored activations per chunk

Members = Sequence[NDArray[np.int64]]
"""The neurons of each expert, by layer: results of ``measures.experts.members``."""

Counted = tuple[NDArray[np.int64], NDArray[np.int64], str]
"""Numbers of tokens: activating experts, [layer, fold, expert]; all, [fold]; and the language."""

VARIABLES: Mapping[str, str] = {
    "active": "tokens of the fold's segments at which the expert is among the most active",
    "tokens": "tokens of the fold's segments, all of which are counted",
}


def compute(inputs: RoutingInputs, settings: RoutingSettings) -> xr.Dataset:
    """Count on recorded rows or, if there are none, during a forward pass."""
    partition = read_partition(inputs.partition)
    experts_of = (own[own != measure.NO_EXPERT] for own in partition.values)
    members = [measure.members(own, settings.experts_per_layer) for own in experts_of]
    match inputs.text:
        case Path() as rows:
            active, tokens, language = _from_rows(rows, members, settings)
        case model, text:
            active, tokens, language = _from_forward(model, text, inputs.work, members, settings)
    return xr.Dataset(
        {
            "active": (("layer", "fold", "expert"), active, {"units": "tokens"}),
            "tokens": ("fold", tokens, {"units": "tokens"}),
        },
        coords={
            "layer": partition["layer"],
            "stack": partition["stack"],
            "stack_layer": partition["stack_layer"],
            "fold": np.arange(len(tokens)),
        },
        attrs={"language": language, "source": "section 3, cross-layer expert selection"},
    ).transpose("fold", ...)


def _from_rows(rows: Path, members: Members, settings: RoutingSettings) -> Counted:
    [recorded] = open_recorded([rows])
    count = recorded.counts["rows"]
    segment = recorded.data["segment_index"].values[:count]
    tokens = measure.tokens_by_fold(segment, recorded.counts["segments"])
    folds = len(tokens)
    total = np.zeros((len(members), folds, settings.experts_per_layer), np.int64)
    for start in range(0, count, ROWS):
        chunk = slice(start, min(start + ROWS, count))
        z = [
            measure.standardise(
                measure.expert_scores(recorded.rows("act", layer, chunk), own, settings.score)
            )
            for layer, own in enumerate(members)
        ]
        of_fold = np.arange(folds)[:, None] == segment[chunk] % FOLDS
        total += measure.active_count(
            np.stack(z, axis=1), settings.active_fraction, of_fold.astype(np.float32)
        )
    return total, tokens, recorded.language


def _from_forward(
    model: Path, text: Path, work: Work, members: Members, settings: RoutingSettings
) -> Counted:
    from neuroglot.capture.blocks import Recording
    from neuroglot.capture.engine import Engine
    from neuroglot.models.load import load

    read = read_tokens(text)
    engine = Engine(load(model, settings.device, settings.dtype), work.execution)
    tokens = measure.tokens_by_fold(read.segment, len(read.segment_ids))
    counter = _collector(members, settings)
    recording = Recording(over="every token", cross_layer=(counter,))
    origin = store.read_completion(text).origin
    label = f"{origin['model']} experts {origin['language']}"
    # An interrupted pass stores its counts under the fingerprint of the recording.
    sums = engine.run(read, recording, work.progress, label)
    return sums["active_by_fold"][:, : len(tokens)], tokens, origin["language"]


def _collector(members: Members, settings: RoutingSettings) -> "CrossLayerCollector":
    """Count active experts in a forward pass: ``active_by_fold`` ``[layer, fold, expert]``."""
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

    on_cpu = [torch.from_numpy(own) for own in members]

    def layer(index: int, act: "torch.Tensor") -> "torch.Tensor":
        own = on_cpu[index].to(act.device)
        z: torch.Tensor = measure.standardise(measure.expert_scores(act, own, settings.score))
        return z

    def rows(z: "torch.Tensor", folds: "torch.Tensor") -> "dict[str, torch.Tensor]":
        return {"active_by_fold": measure.active_count(z, settings.active_fraction, folds)}

    return CrossLayerCollector("act", layer, rows)
