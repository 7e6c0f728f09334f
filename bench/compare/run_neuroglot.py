"""Dumps act and out of every token with neuroglot's capture engine."""

from pathlib import Path
from typing import Any

import measure
import numpy as np

from neuroglot import store
from neuroglot.capture.blocks import Recording
from neuroglot.capture.engine import Engine
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.models.ffn import backbone
from neuroglot.models.load import load as load_model
from neuroglot.tokens import Tokens


def load(folder: Path) -> tuple[Any, Any]:
    model = load_model(folder, "cpu")
    return model, model


def every_token(sequences: measure.Sequences) -> Tokens:
    """All tokens as rows to record; special tokens count as ordinary tokens."""
    lengths = [len(sequence) for sequence in sequences]
    position = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    return Tokens(
        token_id=np.concatenate(sequences).astype(np.int32),
        segment=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        position=position,
        end=position + 1,
        ends_prefix=np.ones(len(position), bool),
        segment_ids=[str(index) for index in range(len(lengths))],
        before=[],
        after=[],
    )


def dump(model: Any, sequences: measure.Sequences, batch_tokens: int, folder: Path) -> None:
    tokens = every_token(sequences)
    recording = Recording(("act", "out"), "every token")
    place = folder / "rows.zarr"
    store.begin(place, "activations", {}, resume=True)
    Engine(model, ExecutionSettings(batch_tokens=batch_tokens)).run(tokens, recording, place)


def read(model: Any, inputs: dict[str, Any]) -> None:
    import torch

    with torch.inference_mode():
        backbone(model)(**inputs, use_cache=False)


if __name__ == "__main__":
    measure.run("neuroglot", ("neuroglot", "torch", "transformers"), load, dump, read)
