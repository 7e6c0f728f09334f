"""Recording compared with the bare forward pass of the same batches, without hooks and LM head."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from comparing import compared, sized
from neuroglot import store
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import role_collectors
from neuroglot.capture.context import pad
from neuroglot.capture.engine import Engine
from neuroglot.models.ffn import backbone, record
from neuroglot.tokens import Tokens

BATCH_TOKENS = 256  # the engine's default on a CPU
LAYER = sized(9, 1)  # in which values are compared
SUMS = Recording((), "prefixes", tuple(role_collectors("nonzero", 0.0)))


def bare_pass(model: torch.nn.Module, tokens: Tokens):
    """Run only the forward pass, on the engine's batches."""
    sequences = sorted(tokens.sequences(), key=len, reverse=True)
    batches = []
    while sequences:
        size = max(1, BATCH_TOKENS // len(sequences[0]))
        batches.append(pad(sequences[:size]))
        sequences = sequences[size:]
    body = backbone(model)

    def run() -> None:
        with torch.inference_mode():
            for ids, mask in batches:
                body(input_ids=ids, attention_mask=mask, use_cache=False)

    return run


def recording_pass(model: torch.nn.Module, tokens: Tokens, *recordings: Recording):
    """Make several recordings in one pass."""
    engine = Engine(model)
    together = {f"recording-{number}": recording for number, recording in enumerate(recordings)}

    def run() -> None:
        folder = Path(tempfile.mkdtemp())
        engine.run_together(tokens, together, folder)
        shutil.rmtree(folder)

    return run


@pytest.mark.parametrize(
    "recordings",
    [
        pytest.param([SUMS], id="all_collectors"),
        pytest.param([Recording(("act", "out"), "every token")], id="raw_rows_of_every_token"),
        pytest.param([SUMS, Recording(("act", "out"), "prefixes")], id="default_run"),
    ],
)
def test_recording(benchmark, model, tokens, recordings: list[Recording]) -> None:
    compared(benchmark, recording_pass(model, tokens, *recordings), bare_pass(model, tokens))


def test_prefix_rows(benchmark, model, tokens) -> None:
    """One pass per segment compared with one pass per prefix; their values must be equal."""
    segments = sized(6, 2)
    keep = tokens.segment < segments
    few = Tokens(
        **{
            name: getattr(tokens, name)[keep]
            for name in ("token_id", "segment", "position", "end", "ends_prefix")
        },
        segment_ids=tokens.segment_ids[:segments],
        before=tokens.before,
        after=tokens.after,
    )
    body = backbone(model)

    def literal() -> np.ndarray:
        rows: list[np.ndarray] = []

        def sink(_site: str, _stack: str, layer: int, value: torch.Tensor) -> None:
            if layer == LAYER:
                rows.append(value[0, -1].numpy().copy())

        with torch.inference_mode(), record(body, {"act", "out"}, sink):
            for segment, sequence in enumerate(few.sequences()):
                for position in few.position[(few.segment == segment) & few.ends_prefix]:
                    ids = torch.from_numpy(sequence[: position + 1])[None]
                    body(input_ids=ids, use_cache=False)
        return np.stack(rows[0::2])

    recording = Recording(("act", "out"), "prefixes", store_dtype="float32")
    folder = Path(tempfile.mkdtemp())
    store.begin(folder / "s.zarr", "activations", {}, resume=True)
    Engine(model).run(few, recording, folder / "s.zarr")
    np.testing.assert_allclose(
        store.read_rows(folder / "s.zarr", "act", LAYER), literal(), rtol=1e-3, atol=1e-3
    )
    compared(benchmark, recording_pass(model, few, recording), literal, rounds=3)
