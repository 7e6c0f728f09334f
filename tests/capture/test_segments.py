"""Sums of a parallel text by segment: those of the raw rows, whatever the blocks, and after a kill.

Of more segments than there are folds.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from neuroglot import store
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import (
    CrossLayerCollector,
    Totals,
    firing_collectors,
    role_collectors,
)
from neuroglot.capture.engine import Engine
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.measures import kernels
from neuroglot.measures.folds import FOLDS
from neuroglot.models.ffn import ffns
from neuroglot.tokens import Tokens
from support import tiny_models
from support.calls import Killed, count_calls
from support.random_tokens import random_tokens

LENGTHS = (5, 1, 9, 3, 12) * 8
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def text(lengths: tuple[int, ...] = LENGTHS) -> Tokens:
    """A parallel text that lacks its first segment."""
    places = np.arange(1, len(lengths) + 1)
    return random_tokens(lengths, places=places, drawn=len(lengths) + 1)


def strongest(largest: torch.Tensor, folds: torch.Tensor) -> dict[str, torch.Tensor]:
    """Rows in which a layer has the largest activation of all, ``[layer, fold]``."""
    wins = largest[:, :, 0].argmax(1) == torch.arange(largest.shape[1])[:, None]
    return {"strongest_by_fold": (wins.float() @ folds.T).int()}


RECORDINGS = {
    "roles": Recording((), "prefixes", tuple(role_collectors("positive", 0.0))),
    "firing": Recording((), "every token", tuple(firing_collectors(gated=True))),
    "layers": Recording(
        over="every token",
        cross_layer=(
            CrossLayerCollector("act", lambda _, act: act.amax(1, keepdim=True), strongest),
        ),
    ),
}
STATISTICS = {
    "roles": [
        *("act_count", "act_sum", "act_flatness_sum"),
        *("out_count", "out_sum", "out_flatness_sum", "out_gelu_count"),
    ],
    "firing": ["act_positive", "gate_positive"],
    "layers": ["strongest"],
}


def widened(model):
    """One layer has more neurons than the others."""
    mlp, neurons = model.model.layers[1].mlp, tiny_models.NEURONS + 7
    generator = torch.Generator().manual_seed(0)
    for name, shape in {
        "gate_proj": (neurons, tiny_models.HIDDEN),
        "up_proj": (neurons, tiny_models.HIDDEN),
        "down_proj": (tiny_models.HIDDEN, neurons),
    }.items():
        linear = torch.nn.Linear(shape[1], shape[0], bias=False)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(shape, generator=generator) / 3)
        setattr(mlp, name, linear)
    return model


def recorded(
    tokens: Tokens, folder: Path, tokens_per_batch: int = 64, more: dict | None = None
) -> dict[str, np.ndarray]:
    """The sums by segment, and ``{statistic} in all`` of the totals that there are."""
    model = widened(tiny_models.tiny_model("llama"))
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch))
    totals = engine.run_together(tokens, RECORDINGS | (more or {}), folder)
    sums = {}
    for name, statistics in STATISTICS.items():
        for statistic in statistics:
            sums[statistic] = store.read_sums(folder / name, f"{statistic}_by_segment")
            if statistic in totals[name]:
                sums[f"{statistic} in all"] = totals[name][statistic]
    return sums


def blocks_of(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: size)


@pytest.fixture
def expected() -> dict[str, list[list[np.ndarray]]]:
    """Sums of the raw rows, by statistic ``[layer][segment]``."""
    model, tokens = widened(tiny_models.tiny_model("llama")), text()
    recording = Recording(("act", "out", "gate"), "every token", store_dtype="float32")
    rows = Engine(model, ExecutionSettings(batch_tokens=64)).rows(tokens, recording)
    sums: dict[str, list[list[np.ndarray]]] = {}
    for layer, ffn in enumerate(ffns(model)):
        act, gate = (rows[site][layer, :, : ffn.neurons] for site in ("act", "gate"))
        largest = np.nanmax(rows["act"], axis=2)
        of_layer: dict[str, list[np.ndarray]] = {}
        for segment in range(len(LENGTHS)):
            whole = tokens.segment == segment
            prefixes = whole & tokens.ends_prefix
            for site, values in (("act", act), ("out", rows["out"][layer])):
                of_rows = kernels.row_statistics(values[prefixes], "positive")
                for name in ("count", "sum", "flatness_sum"):
                    of_layer.setdefault(f"{site}_{name}", []).append(of_rows[name])
            fired = {
                "out_gelu_count": kernels.gelu(rows["out"][layer, prefixes]) > 0,
                "act_positive": act[whole] > 0,
                "gate_positive": gate[whole] > 0,
                "strongest": largest[:, whole].argmax(0) == layer,
            }
            for name, values in fired.items():
                of_layer.setdefault(name, []).append(values.sum(0))
        for name, by_segment in of_layer.items():
            sums.setdefault(name, []).append(by_segment)
    return sums


@pytest.mark.parametrize(
    ("size", "tokens_per_batch"),
    [(1000, 64), (4, 64), (7, 9), (32, 17)],
    ids=["one block", "blocks shorter than segments", "small batches", "several blocks"],
)
def test_sums_by_segment_are_those_of_the_raw_rows(
    size: int, tokens_per_batch: int, expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(LENGTHS) > FOLDS
    blocks_of(monkeypatch, size)
    sums = recorded(text(), tmp_path, tokens_per_batch)
    for name, by_layer in expected.items():
        found = sums[name]
        for layer, by_segment in enumerate(by_layer):
            own = np.stack(by_segment)
            wide = own.shape[1:]
            np.testing.assert_allclose(found[layer][(..., *map(slice, wide))], own, **NEAR)
            assert not found[layer][(..., *(slice(n, None) for n in wide))].any() or not wide
        counts = own.dtype.kind in "iu"
        assert found.dtype == (np.uint8 if counts else np.float64 if "flat" in name else np.float32)
        if f"{name} in all" in sums:
            in_all = np.nan_to_num(sums[f"{name} in all"])
            np.testing.assert_allclose(in_all, found.sum(1, dtype=np.float64), **NEAR)


def test_counts_of_long_segments_take_wider_numbers(tmp_path: Path) -> None:
    sums = recorded(text((300, 4)), tmp_path)
    assert sums["gate_positive"].dtype == np.uint16
    assert sums["strongest"][:, 0].sum() == 300


def test_the_order_of_segments_plays_no_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(monkeypatch, 32)
    tokens = text()
    order = np.random.default_rng(1).permutation(len(LENGTHS))
    rows = np.concatenate([np.flatnonzero(tokens.segment == segment) for segment in order])
    turned = replace(
        tokens,
        **{name: getattr(tokens, name)[rows] for name in ("token_id", "position", "end")},
        ends_prefix=tokens.ends_prefix[rows],
        segment=np.repeat(np.arange(len(order)), np.array(LENGTHS)[order]).astype(np.int32),
        segment_ids=[tokens.segment_ids[segment] for segment in order],
        places=tokens.places[order],
    )
    sums, other = (recorded(t, tmp_path / str(i)) for i, t in enumerate((tokens, turned)))
    for statistics in STATISTICS.values():
        for name in statistics:
            np.testing.assert_allclose(other[name], sums[name][:, order], **NEAR)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and store.PROGRESS not in path.parts
    }


@pytest.mark.parametrize("kill_at", [2, 7, 12])
@pytest.mark.parametrize("beside_rows", [False, True])
def test_a_killed_recording_goes_on_to_the_same_bytes(
    kill_at: int, beside_rows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of shards that several blocks write to; a block that was written is not computed again."""
    blocks_of(monkeypatch, 16)
    more = {"rows": Recording(("act",), "every token")} if beside_rows else {}
    whole = recorded(text(), tmp_path / "whole", more=more)
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at)
        with pytest.raises(Killed):
            recorded(text(), tmp_path / "killed", more=more)
    passes = count_calls(monkeypatch, Engine, "_forward")
    sums = recorded(text(), tmp_path / "killed", more=more)
    gone_on = len(passes)
    passes.clear()
    recorded(text(), tmp_path / "again", more=more)
    assert len(passes) - gone_on >= kill_at - 1 - 2 * 2, "two blocks of at most two batches"
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert sums.keys() == whole.keys()
    for name, values in sums.items():
        assert np.array_equal(values, whole[name], equal_nan=True), name


def test_sums_in_memory_do_not_grow_with_the_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(monkeypatch, 16)
    held = []
    collect = Totals.collect

    def watched(self: Totals, *sums: Any) -> None:
        collect(self, *sums)
        held.append(sum(values.numel() for values in self.sums.values()))

    monkeypatch.setattr(Totals, "collect", watched)
    most = []
    for repeats in (1, 4):
        held.clear()
        recorded(text(LENGTHS[:10] * repeats), tmp_path / str(repeats))
        most.append(max(held))
    assert most[0] == most[1]


def test_sums_that_are_being_saved_do_not_change() -> None:
    """A thread saves them while the next block adds to the totals."""
    totals = Totals()
    for expected in (1, 2):
        totals.collect(
            {"count_by_fold": torch.ones(1, 3), "count": torch.ones(3)}, 0, torch.ones(1).int()
        )
        if expected == 1:
            saved = totals.arrays()
        assert (totals.arrays()["count/0"] == expected).all()
        assert totals.arrays()["count_by_fold/0"].tolist()[:2] == [[0] * 3, [expected] * 3]
    assert (saved["count/0"] == 1).all()
    assert saved["count_by_fold/0"].sum() == 3


def test_one_shard_holds_several_blocks_and_a_chunk_one_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that analyses read a layer without the others, and files are few."""
    blocks_of(monkeypatch, 16)
    recorded(text(), tmp_path)
    array = zarr.open_array(tmp_path / "firing" / "gate_positive_by_segment", mode="r")
    assert array.shards[0] == 2
    assert array.shards[1] >= len(LENGTHS)
    assert array.chunks[0] == 1
    assert len(list((tmp_path / "firing" / "gate_positive_by_segment").rglob("c/0/*/*"))) == 1
