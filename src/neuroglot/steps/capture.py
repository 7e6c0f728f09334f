"""Records one model's activations over one language of a corpus."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot import store
from neuroglot.capture.collectors import Rule, role_collectors
from neuroglot.capture.engine import Engine, Recording
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card
from neuroglot.models.load import load
from neuroglot.provenance import fingerprint
from neuroglot.tokens import Tokens, read_tokens


def run(
    model: Path,
    tokens: Path,
    output: Path,
    settings: CaptureSettings,
    execution: ExecutionSettings,
    rule: Rule,
    threshold: float,
    sample_segments: int,
) -> None:
    """Write raw rows of the first segments and statistics of all; goes on where a kill left off."""
    card = read_card(model)
    source = store.read_record(tokens, "tokens")
    if source.origin["card"] != card.sha256:
        raise NeuroglotError(f"{tokens} was made with another model than {model}; make it again")
    origin = {
        **{key: source.origin[key] for key in ("model", "corpus", "language")},
        "card": card.sha256,
        "tokens": source.fingerprint,
        "settings": {
            **settings.model_dump(),
            "rule": rule,
            "threshold": threshold,
            "sample_segments": sample_segments,
        },
        "code": fingerprint(__name__),
    }
    if store.begin(output, "activations", origin, resume=True):
        return
    text = read_tokens(tokens)
    recorded = np.flatnonzero(text.snapshot)
    raw_rows = int((text.segment[recorded] < sample_segments).sum())
    engine = Engine(load(model, settings.device, settings.dtype), execution)
    recording = Recording(
        ("act", "out"), raw_rows, tuple(role_collectors(rule, threshold)), settings.store_dtype
    )
    label = f"{origin['model']} {origin['corpus']} {origin['language']}"
    sums = engine.run(text, recording, output, label)
    store.write_dataset(output, _statistics(text, recorded, sums, engine))
    counts = {"rows": len(recorded), "raw_rows": raw_rows, "segments": len(text.segment_ids)}
    store.complete(output, "activations", origin, counts)
    shutil.rmtree(output / "progress")


def _statistics(
    text: Tokens, recorded: NDArray[np.int64], sums: dict[str, NDArray[Any]], engine: Engine
) -> xr.Dataset:
    widths = {"act": "neuron", "out": "hidden"}
    data = {
        name: (("layer", widths[name.partition("_")[0]])[: value.ndim], value)
        for name, value in sums.items()
    }
    rows = {
        name: ("row", getattr(text, name)[recorded])
        for name in ("token_id", "segment", "position", "end")
    }
    return xr.Dataset(
        {**data, **rows},
        coords={
            "layer": np.arange(len(engine.ffns)),
            "stack": ("layer", [block.stack for block in engine.ffns]),
            "stack_layer": ("layer", [block.layer for block in engine.ffns]),
            "segment_id": ("segment_index", text.segment_ids),
        },
    )
