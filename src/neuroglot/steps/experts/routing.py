"""Counts how often each expert is among the most active of a token, by fold (section 3)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.recorded import open_recorded
from neuroglot.measures import experts as measure
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.steps.experts.experts import read_partition
from neuroglot.steps.inputs import Inputs
from neuroglot.tokens import read_tokens

if TYPE_CHECKING:
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

ROWS = 512  # of stored activations that are looked at together


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Count during a forward pass, or on stored rows where the inputs hold an activation store."""
    partition = read_partition(inputs)
    count = _from_rows if inputs.stores("activations") else _from_forward
    active, tokens, language = count(inputs, settings, partition)
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


def _from_rows(
    inputs: Inputs, settings: dict[str, Any], partition: xr.DataArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    [recorded] = open_recorded(inputs, "rows")
    rows = recorded.counts["rows"]
    segment, folds = recorded.data["segment_index"].values, _folds(recorded.counts["segments"])
    members = _members(partition, settings)
    total = np.zeros((len(members), folds, settings["experts_per_layer"]), np.int64)
    for start in range(0, rows, ROWS):
        chunk = slice(start, min(start + ROWS, rows))
        z = [
            measure.standardise(
                measure.expert_scores(
                    store.read_rows(recorded.path, "act", layer, chunk), own, settings["score"]
                )
            )
            for layer, own in enumerate(members)
        ]
        of_fold = np.arange(folds)[:, None] == segment[chunk] % FOLDS
        total += measure.active_count(
            np.stack(z, axis=1), settings["active_fraction"], of_fold.astype(np.float32)
        )
    return total, _tokens(segment[:rows], folds), recorded.language


def _from_forward(
    inputs: Inputs, settings: dict[str, Any], partition: xr.DataArray
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    from neuroglot.capture.engine import Engine, Recording
    from neuroglot.models.load import load

    [path] = inputs.stores("tokens")
    tokens = read_tokens(path)
    engine = Engine(load(inputs.model, settings["device"], settings["dtype"]), inputs.execution)
    folds = _folds(len(tokens.segment_ids))
    counter = expert_collector(partition, settings)
    recording = Recording(over="every token", cross_layer=(counter,))
    origin = store.read_record(path).origin
    label = f"{origin['model']} experts {origin['language']}"
    # What an interrupted pass has counted lies under the fingerprint of what it counted.
    sums = engine.run(tokens, recording, inputs.progress, label)
    return sums["active_by_fold"][:, :folds], _tokens(tokens.segment, folds), origin["language"]


def expert_collector(partition: xr.DataArray, settings: dict[str, Any]) -> "CrossLayerCollector":
    """Count active experts while a model reads: ``active_by_fold`` ``[layer, fold, expert]``."""
    import torch

    from neuroglot.capture.collectors import CrossLayerCollector

    members = [torch.from_numpy(own) for own in _members(partition, settings)]

    def layer(index: int, act: "torch.Tensor") -> "torch.Tensor":
        own = members[index].to(act.device)
        z: torch.Tensor = measure.standardise(measure.expert_scores(act, own, settings["score"]))
        return z

    def rows(z: "torch.Tensor", folds: "torch.Tensor") -> "dict[str, torch.Tensor]":
        return {"active_by_fold": measure.active_count(z, settings["active_fraction"], folds)}

    return CrossLayerCollector("act", layer, rows)


def _folds(segments: int) -> int:
    """Folds that hold any segment."""
    return min(FOLDS, segments)


def _tokens(segment: NDArray[np.integer], folds: int) -> NDArray[np.int64]:
    return np.bincount(segment % FOLDS, minlength=folds).astype(np.int64)


def _members(partition: xr.DataArray, settings: dict[str, Any]) -> list[NDArray[np.int64]]:
    experts = settings["experts_per_layer"]
    return [measure.members(own, experts) for own in partition.values]
