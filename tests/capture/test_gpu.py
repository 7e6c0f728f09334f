"""What a GPU records, judges and writes is what the CPU does; `bench/gpu.py` runs these tests.

Tiny random models run in float32. With the environment variable ``NEUROGLOT_REHEARSE``, the CPU is
compared with itself, which only shows that the tests run.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot import store
from neuroglot.capture.answers import judge
from neuroglot.capture.blocks import Recording
from neuroglot.capture.engine import Engine
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.capture.questions import Question
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
from neuroglot.capture.states import represent_variants
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.models.ffn import backbone, ffns
from neuroglot.models.ffn import record as listening
from neuroglot.models.intervene import Edit, deactivated
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising, read_tokens
from support.tiny_checkpoints import TEXTS, write_checkpoint

REHEARSE = bool(os.environ.get("NEUROGLOT_REHEARSE"))
GPU = "cpu" if REHEARSE else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not REHEARSE and not torch.cuda.is_available(), reason="no GPU here"),
]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SUMS = {RolesGroup(rule="positive", threshold=0.0): "key", FiringGroup(): "key"}
ROWS = {SampleGroup(segments=3): "key", RowsGroup(): "key"}


class Place:
    """A model's folder, and a parallel text as its tokens."""

    def __init__(self, folder: Path, model_type: str) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        write_checkpoint(folder / "checkpoint", model_type)
        normalise(ModelSettings(source=str(folder / "checkpoint")), self.model)
        segments = tuple(Segment(f"s{i}", line) for i, line in enumerate(TEXTS))
        text = folder / "texts" / "en.parquet"
        write_parquet(Reading(segments, (), tuple(range(len(TEXTS))), len(TEXTS)), text)
        self.tokens = folder / "tokens" / "texts" / "en.zarr"
        chosen = Tokenising(prefix="word", long_segments="truncate")
        write_tokens(self.model, text, self.tokens, chosen)

    def loaded(self, device: str) -> torch.nn.Module:
        return load(self.model, device, "float32")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("llama"), "llama")


def segments() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(5, 300, (4, 12)))


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "m2m_100"])
def test_recordings_agree(model_type: str, tmp_path: Path) -> None:
    """Counts may differ by 1, because a value next to zero may change its sign."""
    place, found = Place(tmp_path, model_type), {}
    for device, name in (("cpu", "of-cpu"), (GPU, "of-gpu")):
        settings = CaptureSettings(device=device, dtype="float32", store_dtype="float32")
        wanted = [
            Wanted(place.tokens, "tokens", tmp_path / name / "text.zarr", SUMS | ROWS),
            Wanted(place.tokens, "tokens", tmp_path / name / "states.zarr", {StatesGroup(): "key"}),
        ]
        record(place.model, wanted, settings, ExecutionSettings())
        found[name] = {
            group: xr.open_zarr(each.store / group, chunks=None).load()
            for each in wanted
            for group in store.held(each.store)
        }
    compared = 0
    for group, cpu in found["of-cpu"].items():
        for name in cpu.data_vars:
            if cpu[name].dtype.kind not in "fiu":
                continue
            a, b = (data[name].values.astype(float) for data in (cpu, found["of-gpu"][group]))
            counts = cpu[name].dtype.kind in "iu" or "count" in str(name) or "positive" in str(name)
            if counts:
                assert np.abs(a - b).max(initial=0) <= 1, f"{group}/{name}"
            else:
                np.testing.assert_allclose(a, b, **CLOSE, err_msg=f"{group}/{name}")
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_are_what_plain_hooks_see(llama: Place, dtype: torch.dtype) -> None:
    """On the same device, each segment alone: nothing is lost while copies overlap the pass."""
    model, tokens = llama.loaded(GPU).to(dtype), read_tokens(llama.tokens)
    recording = Recording(("act", "out"), "every token", store_dtype="float32")
    engine = Engine(model, ExecutionSettings(batch_tokens=1))
    found, seen = engine.rows(tokens, recording), {"act": [], "out": []}

    def sink(site: str, _stack: str, layer: int, value: torch.Tensor) -> None:
        if layer == 1:
            seen[site].append(value[0].float().cpu().numpy())

    body = backbone(model)
    for number, ids in enumerate(tokens.sequences()):
        with torch.inference_mode(), listening(body, set(seen), sink):
            body(input_ids=torch.from_numpy(ids)[None].to(GPU), use_cache=False)
        places = tokens.position[tokens.segment == number]
        for rows in seen.values():
            rows[-1] = rows[-1][places]
    for site, rows in seen.items():
        np.testing.assert_array_equal(found[site][1], np.concatenate(rows), err_msg=site)


def test_losses_and_texts_agree(llama: Place) -> None:
    off = {0: np.arange(3), 1: np.arange(2)}
    found = {}
    for device, name in (("cpu", "cpu"), (GPU, "gpu")):
        model = llama.loaded(device)
        plain = negative_log_likelihood(model, segments(), [1], None)
        with deactivated(model, off):
            without = negative_log_likelihood(model, segments(), [1], None)
        texts = generate(model, [[1, *row[:4].tolist()] for row in segments()], 6)
        found[name] = plain, without, texts
    for a, b in zip(found["cpu"][:2], found["gpu"][:2], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    assert np.abs(found["cpu"][0] - found["cpu"][1]).max() > 1e-3, "the edit changed nothing"
    assert found["cpu"][2] == found["gpu"][2]


def test_answers_and_states_of_variants_agree(llama: Place) -> None:
    tokens, found = read_tokens(llama.tokens), {}
    questions = [
        Question([1, *row[:6].tolist()], [row[6:8].tolist()], [row[6:8].tolist(), [7, 9], [11]])
        for row in segments()
    ]
    for device, name in (("cpu", "cpu"), (GPU, "gpu")):
        model = llama.loaded(device)
        shape = len(ffns(model)), ffns(model)[0].neurons
        neurons = np.random.default_rng(1).random((len(questions), *shape)) < 0.3
        edits = [None, lambda items, neurons=neurons: [Edit(neurons[items])]]
        judged = judge(model, questions, edits, "whole")
        states = represent_variants(model, tokens, [[], [Edit(neurons[0])]], positions="last")
        found[name] = judged.gold_log_probability, judged.candidate_log_probability, states
    for a, b in zip(found["cpu"], found["gpu"], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
        assert np.nanmax(np.abs(a[0] - a[1])) > 1e-4, "the edit changed nothing"
