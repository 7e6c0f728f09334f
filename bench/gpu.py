"""Compares recordings, losses and generated tokens of a GPU and the CPU: `python bench/gpu.py`.

Tiny random models of three types run in float32. Sums and rows must agree to 1e-4. Counts may
differ by 1, because a value next to zero may change its sign. Losses with and without neurons and
generated tokens must agree too. Prints a line for each comparison and exits with status 1 if one
fails.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import xarray as xr

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from neuroglot import store
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    RolesGroup,
    RowsGroup,
    SampleGroup,
    StatesGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.models.card import read_card
from neuroglot.models.intervene import deactivated
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising
from support.tiny_checkpoints import TEXTS, write_checkpoint

MODELS = ("llama", "gemma3_text", "m2m_100")
GROUPS = (
    RolesGroup(rule="positive", threshold=0.0),
    FiringGroup(),
    SampleGroup(segments=3),
    RowsGroup(),
)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
Compared = Iterator[tuple[str, bool, float]]


def recorded(folder: Path, model: Path, tokens: Path, device: str) -> dict[str, Path]:
    """Record every group on a device; return the groups' folders by name."""
    place = folder / device
    settings = CaptureSettings(device=device, dtype="float32", store_dtype="float32")
    wanted = [
        Wanted(tokens, "tokens", place / "text.zarr", dict.fromkeys(GROUPS, "key")),
        Wanted(tokens, "tokens", place / "states.zarr", {StatesGroup(): "key"}),
    ]
    record(model, wanted, settings, ExecutionSettings())
    return {name: want.store / name for want in wanted for name in store.held(want.store)}


def compare_recordings(folder: Path, model: Path, tokens: Path) -> Compared:
    """Compare every array of every group."""
    cpu, gpu = (recorded(folder, model, tokens, device) for device in ("cpu", "cuda"))
    for group, path in cpu.items():
        a, b = (xr.open_zarr(place, chunks=None).load() for place in (path, gpu[group]))
        for name in a.data_vars:
            if a[name].dtype.kind not in "fiu":
                continue
            x, y = (data[name].values.astype(np.float64) for data in (a, b))
            off = float(np.abs(x - y).max(initial=0.0))
            counts = a[name].dtype.kind in "iu" or "count" in name or "positive" in name
            same = off <= 1 if counts else np.allclose(x, y, **CLOSE)
            yield f"{group}/{name}", bool(same), off


def compare_models(model: Path) -> Compared:
    """Compare losses with and without a layer's first neurons, and greedy decoding."""
    segments = list(np.random.default_rng(0).integers(5, 300, (4, 12)))
    off = {0: np.arange(3), 1: np.arange(2)}
    by_device = {}
    for device in ("cpu", "cuda"):
        loaded = load(model, device, "float32")
        plain = negative_log_likelihood(loaded, segments, [1], None)
        with deactivated(loaded, off):
            without = negative_log_likelihood(loaded, segments, [1], None)
        written = generate(loaded, [[1, *row[:4].tolist()] for row in segments], 6)
        by_device[device] = plain, without, written
    *losses, written = zip(*by_device.values(), strict=True)
    for name, (x, y) in zip(("loss", "loss without neurons"), losses, strict=True):
        yield name, bool(np.allclose(x, y, **CLOSE)), float(np.abs(x - y).max())
    same = sum(x == y for x, y in zip(*written, strict=True))
    yield f"texts written alike, {same} of {len(segments)}", same == len(segments), 0.0


def compare(folder: Path, model_type: str) -> Compared:
    """Make all comparisons for one model type."""
    write_checkpoint(folder / "checkpoint", model_type)
    model, text = folder / "models" / "one", folder / "texts" / "en.parquet"
    normalise(ModelSettings(source=str(folder / "checkpoint")), model)
    segments = tuple(Segment(f"s{i}", line) for i, line in enumerate(TEXTS))
    parallel = Reading(segments, (), tuple(range(len(TEXTS))), len(TEXTS))
    write_parquet(parallel, text)
    tokens = folder / "tokens" / "texts" / "en.zarr"
    write_tokens(model, text, tokens, Tokenising(prefix="word", long_segments="truncate"))
    yield from compare_recordings(folder, model, tokens)
    if "encoder" not in read_card(model).stacks:
        yield from compare_models(model)


def main() -> None:
    """Compare models of all MODELS' types."""
    print(torch.cuda.get_device_name())
    failed = 0
    for model_type in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            for name, same, off in compare(Path(folder), model_type):
                failed += not same
                print(f"{'ok' if same else 'DIFFERS'} {model_type} {name} (largest {off:.2g})")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
