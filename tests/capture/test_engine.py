"""One forward pass, recorded: equal to the literal procedure, whatever the batches and shards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroglot import store
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import (
    CrossLayerCollector,
    firing_collectors,
    role_collectors,
)
from neuroglot.capture.engine import Engine
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.measures import kernels
from neuroglot.measures.folds import FOLDS
from neuroglot.models.ffn import ffns, record
from neuroglot.store import shard_rows
from neuroglot.tokens import Tokens
from support import tiny_models
from support.calls import Killed, count_calls
from support.random_tokens import random_tokens

LENGTHS = (5, 9, 3, 12, 7, 4)
SITES = ("act", "out")
COLLECTORS = tuple(role_collectors("nonzero", 0.0))


def text(lengths: tuple[int, ...] = LENGTHS, before: int = 1, after: int = 0) -> Tokens:
    return random_tokens(lengths, before, after)


def run(model, tokens, folder: Path, sites=SITES, segments=None, tokens_per_batch=64):
    store.begin(folder, "activations", {"test": 1}, resume=True)
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch, risk_megabytes=512))
    recordings = {
        "roles": Recording((), "prefixes", COLLECTORS),
        "sample": Recording(sites, "prefixes", (), "float32", segments=segments),
    }
    sums = engine.run_together(tokens, recordings, folder)
    return sums["roles"], {site: store.read_rows(folder / "sample", site) for site in sites}


def literal(model, tokens: Tokens, site: str) -> np.ndarray:
    """One forward pass per recorded prefix, as the paper did; the last position of each."""
    found = []
    for segment, sequence in enumerate(tokens.sequences()):
        recorded = tokens.position[(tokens.segment == segment) & tokens.ends_prefix]
        for position in recorded:
            seen: dict[tuple[str, int], np.ndarray] = {}

            def sink(_site, stack, layer, value, seen=seen):
                seen[stack, layer] = value[0, -1].numpy().copy()

            with torch.inference_mode(), record(model, {site}, sink):
                model(torch.from_numpy(sequence[: position + 1])[None])
            found.append(np.stack(list(seen.values())))
    return np.stack(found, axis=1)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt2", "gpt_neox", "opt", "bloom"])
def test_one_pass_equals_one_pass_per_prefix(name: str, tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model(name), text()
    sites = ("act", "out", "state")
    _, rows = run(model, tokens, tmp_path / "s.zarr", sites)
    for site in sites:
        np.testing.assert_allclose(rows[site], literal(model, tokens, site), rtol=1e-4, atol=1e-4)


def test_streamed_sums_equal_those_of_the_raw_rows(tmp_path: Path) -> None:
    sums, rows = run(tiny_models.tiny_model("llama"), text(), tmp_path / "s.zarr")
    for site in SITES:
        for layer, values in enumerate(rows[site]):
            for name, expected in kernels.row_statistics(values, "nonzero").items():
                found = sums[f"{site}_{name}"][layer]
                np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)
    gelu = [(kernels.gelu(values) != 0).sum(0) for values in rows["out"]]
    np.testing.assert_array_equal(sums["out_gelu_count"], gelu)


@pytest.mark.parametrize(("tokens_per_batch", "shard_bytes"), [(1, 1 << 28), (17, 2048), (64, 512)])
def test_batches_and_shards_change_nothing(
    tokens_per_batch: int, shard_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    expected_sums, expected = run(model, tokens, tmp_path / "a.zarr")
    rows_per_shard = store.shard_rows
    monkeypatch.setattr(
        "neuroglot.capture.engine.shard_rows",
        lambda n, size, _: rows_per_shard(n, size, shard_bytes),
    )
    sums, rows = run(model, tokens, tmp_path / "b.zarr", tokens_per_batch=tokens_per_batch)
    for site in SITES:
        np.testing.assert_allclose(rows[site], expected[site], rtol=1e-4, atol=1e-4)
    for name, value in sums.items():
        np.testing.assert_allclose(value, expected_sums[name], rtol=1e-4, atol=1e-4)


def test_padding_on_the_left_gives_the_same_rows(tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    _, rows = run(model, tokens, tmp_path / "s.zarr")
    sequences = tokens.sequences()
    width = max(map(len, sequences))
    ids = torch.zeros((len(sequences), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence) :] = torch.from_numpy(sequence)
        mask[row, width - len(sequence) :] = 1
    seen = {}

    def sink(_site, _stack, layer, value):
        seen[layer] = value.clone()

    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode(), record(model, {"act"}, sink):
        model(ids, attention_mask=mask, position_ids=positions)
    at = tokens.position + np.array([width - len(s) for s in sequences])[tokens.segment]
    for layer, value in seen.items():
        left = value[tokens.segment, at][tokens.ends_prefix]
        np.testing.assert_allclose(rows["act"][layer], left, rtol=1e-4, atol=1e-4)


def test_both_stacks_of_an_encoder_decoder_read_the_segment(tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model("m2m_100"), text(before=1, after=1)
    sums, rows = run(model, tokens, tmp_path / "s.zarr", ("act", "out", "state"))
    depth = len(ffns(model))
    stacks = len({block.stack for block in ffns(model)})
    assert rows["act"].shape[0] == depth == sums["act_count"].shape[0]
    assert rows["state"].shape[0] == depth + stacks == depth + 2
    expected: dict[tuple[str, int], list[np.ndarray]] = {}
    for segment, sequence in enumerate(tokens.sequences()):
        start = model.config.decoder_start_token_id
        decoder = np.r_[start, sequence[1:-1]]

        def sink(_site, stack, layer, value, segment=segment):
            at = tokens.position[(tokens.segment == segment) & tokens.ends_prefix]
            expected.setdefault((stack, layer), []).append(value[0, at].numpy().copy())

        with torch.inference_mode(), record(model, {"act"}, sink):
            model(
                input_ids=torch.from_numpy(sequence)[None],
                decoder_input_ids=torch.from_numpy(decoder)[None],
            )
    for block in ffns(model):
        np.testing.assert_allclose(
            rows["act"][block.index],
            np.concatenate(expected[block.stack, block.layer]),
            rtol=1e-4,
            atol=1e-4,
            err_msg=f"{block.stack} {block.layer}",
        )


def test_only_the_first_segments_rows_are_stored_raw(tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    all_sums, rows = run(model, tokens, tmp_path / "all.zarr")
    sums, some = run(model, tokens, tmp_path / "some.zarr", segments=3, tokens_per_batch=20)
    assert some["act"].shape[1] == 7
    np.testing.assert_allclose(some["act"], rows["act"][:, :7], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sums["act_sum"], all_sums["act_sum"], rtol=1e-4, atol=1e-4)
    assert run(model, tokens, tmp_path / "none.zarr", ())[0]["act_sum"].shape == (
        all_sums["act_sum"].shape
    )


def test_an_interrupted_recording_goes_on_with_the_shard_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 4)
    expected_sums, expected = run(model, tokens, tmp_path / "a.zarr")
    passes = count_calls(monkeypatch, Engine, "_forward", kill_at=3)
    with pytest.raises(Killed):
        run(model, tokens, tmp_path / "b.zarr")
    [saved] = (tmp_path / "b.zarr" / "progress").rglob("0*.npz")
    assert int(saved.stem) == sum(LENGTHS[:2]), "of two blocks, each of them a segment"
    sums, rows = run(model, tokens, tmp_path / "b.zarr")
    assert len(passes) == 3 + len(LENGTHS) - 2, "finished blocks are not computed again"
    for site in SITES:
        assert np.array_equal(rows[site], expected[site])
    for name, value in sums.items():
        assert np.array_equal(value, expected_sums[name])


def test_an_interrupted_recording_may_go_on_with_other_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    expected_sums, expected = run(model, tokens, tmp_path / "a.zarr")
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 4)
    count_calls(monkeypatch, Engine, "_forward", kill_at=3)
    with pytest.raises(Killed):
        run(model, tokens, tmp_path / "b.zarr")
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 8)
    sums, rows = run(model, tokens, tmp_path / "b.zarr")
    for site in SITES:
        np.testing.assert_allclose(rows[site], expected[site], rtol=1e-4, atol=1e-4)
    assert len(list((tmp_path / "b.zarr" / "progress").iterdir())) == 1
    np.testing.assert_array_equal(
        sums["act_argmax_count"].sum(1), expected_sums["act_argmax_count"].sum(1)
    )


@pytest.mark.parametrize("message", ["out of memory", "can't allocate memory"])
def test_out_of_memory_halves_the_batch_and_counts_nothing_twice(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    expected_sums, expected = run(model, tokens, tmp_path / "a.zarr")
    error = torch.OutOfMemoryError(message) if message.startswith("out") else RuntimeError(message)
    last = ffns(model)[-1].block

    def limited(_module, inputs):
        if inputs[0].shape[0] > 1:
            raise error

    handle = last.register_forward_pre_hook(limited)  # fails when earlier layers were recorded
    sums, rows = run(model, tokens, tmp_path / "b.zarr")
    handle.remove()
    for site in SITES:
        np.testing.assert_allclose(rows[site], expected[site], rtol=1e-4, atol=1e-4)
    for name, value in sums.items():
        np.testing.assert_allclose(value, expected_sums[name], rtol=1e-4, atol=1e-4)


def batched(model, over: str, folder: Path, risk: int, dtype: str) -> tuple[list, np.ndarray]:
    """The sizes of the batches of a recording, and its rows."""
    read: list[tuple[int, ...]] = []
    first = ffns(model)[0].block
    engine = Engine(model, ExecutionSettings(batch_tokens=24, risk_megabytes=risk))
    recording = Recording(("act",), over, store_dtype=dtype)
    with first.register_forward_pre_hook(lambda _, x: read.append(tuple(x[0].shape[:2]))):
        engine.run(text(LENGTHS * 3), recording, folder / "rows")
    return read, store.read_rows(folder / "rows", "act").astype(np.float16)


@pytest.mark.parametrize("over", ["every token", "last token of each segment"])
def test_in_half_precision_no_batch_depends_on_shards(
    over: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on how many rows may be lost, nor on how wide they are stored: the bits are the same."""
    really = shard_rows
    monkeypatch.setattr(  # for tiny rows, tiny shards
        "neuroglot.capture.engine.shard_rows",
        lambda rows, row_bytes, shard_bytes: really(rows, row_bytes, shard_bytes >> 17),
    )
    single, half = (
        tiny_models.tiny_model("llama").to(one) for one in (torch.float32, torch.bfloat16)
    )
    how = {"a": (1, "float16"), "b": (1 << 20, "float16"), "c": (1 << 10, "float32")}
    in_single = {name: batched(single, over, tmp_path / name, *how[name]) for name in how}
    in_half = {name: batched(half, over, tmp_path / f"half {name}", *how[name]) for name in how}
    assert in_single["a"][0] != in_single["b"][0], "here they do"
    for batches, rows in in_half.values():
        assert batches == in_half["a"][0]
        np.testing.assert_array_equal(rows, in_half["a"][1])
    assert len({batches for batches, _ in in_half["a"][0]}) > 1


def test_in_half_precision_an_interrupted_recording_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model("llama").bfloat16(), text(LENGTHS * 3)
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 16)
    expected_sums, expected = run(model, tokens, tmp_path / "a.zarr")
    with monkeypatch.context() as killed:
        count_calls(killed, Engine, "_forward", kill_at=5)
        with pytest.raises(Killed):
            run(model, tokens, tmp_path / "b.zarr")
    sums, rows = run(model, tokens, tmp_path / "b.zarr")
    for site in SITES:
        np.testing.assert_array_equal(rows[site], expected[site])
    for name, value in sums.items():
        np.testing.assert_array_equal(value, expected_sums[name])


def test_not_even_one_segment_fits(tmp_path: Path) -> None:
    model = tiny_models.tiny_model("llama")

    def limited(*_):
        raise torch.OutOfMemoryError("out of memory")

    ffns(model)[0].block.register_forward_pre_hook(limited)
    with pytest.raises(NeuroglotError, match="not enough memory for one segment .13 tokens."):
        run(model, text(), tmp_path / "s.zarr")


def test_other_errors_are_not_taken_for_lack_of_memory(tmp_path: Path) -> None:
    model = tiny_models.tiny_model("llama")
    tokens = text()
    tokens.token_id[0] = 10_000
    with pytest.raises(IndexError):
        run(model, tokens, tmp_path / "s.zarr")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    model = tiny_models.tiny_model("llama")
    with torch.no_grad():
        ffns(model)[1].output_matrix()[3] = value
    with pytest.raises(NeuroglotError, match=r"s\.zarr: .* of layer 2 .*(NaN|finite)"):
        run(model, text(), tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr" / store.COMPLETE).exists()


def test_overflow_of_float16_is_refused_and_never_stored(tmp_path: Path) -> None:
    model, folder = tiny_models.tiny_model("llama"), tmp_path / "s.zarr"
    with torch.no_grad():
        ffns(model)[1].output_matrix().mul_(1e9)
    store.begin(folder, "activations", {"test": 1})
    with pytest.raises(NeuroglotError, match="out of layer 2 holds .*too large for float16"):
        Engine(model).run(text(), Recording(SITES, store_dtype="float16"), folder)
    Engine(model).run(text(), Recording(SITES, store_dtype="bfloat16"), folder)
    assert np.isfinite(store.read_rows(folder, "out")).all()


def test_nothing_to_record_is_said(tmp_path: Path) -> None:
    tokens = text((1, 1))
    with pytest.raises(NeuroglotError, match="no segment has a prefix of two subwords"):
        run(tiny_models.tiny_model("llama"), tokens, tmp_path / "s.zarr")


@pytest.mark.parametrize("tokens_per_batch", [7, 64])
def test_statistics_of_prefixes_are_the_same_when_every_token_is_recorded(
    tokens_per_batch: int, tmp_path: Path
) -> None:
    model, tokens = tiny_models.tiny_model("gemma3_text"), text()
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch, risk_megabytes=2))
    firing = tuple(firing_collectors(gated=True))
    prefixes = {
        "roles": Recording((), "prefixes", COLLECTORS),
        "sample": Recording(SITES, "prefixes", (), "float32"),
        "of sample": Recording((), "prefixes", firing),
    }
    every = {
        "rows": Recording(SITES, "every token", (), "float32"),
        "of rows": Recording((), "every token", firing),
    }
    alone = engine.run_together(tokens, prefixes, tmp_path / "alone")
    beside = engine.run_together(tokens, prefixes | every, tmp_path / "beside")
    rows = {name: store.read_rows(tmp_path / "beside" / name, "act") for name in ("sample", "rows")}
    assert rows["rows"].shape[1] == len(tokens.token_id)
    np.testing.assert_array_equal(rows["rows"][:, tokens.ends_prefix], rows["sample"])
    for name, own in rows.items():
        np.testing.assert_array_equal(beside[f"of {name}"]["act_positive"], (own > 0).sum(1))
    for name in prefixes:
        assert beside[name].keys() == alone[name].keys()
        for statistic, own in alone[name].items():
            np.testing.assert_array_equal(beside[name][statistic], own, err_msg=statistic)


def test_a_statistic_of_prefixes_needs_one(tmp_path: Path) -> None:
    tokens = replace(text(), ends_prefix=np.zeros(sum(LENGTHS), bool))
    store.begin(tmp_path / "s", "activations", {"test": 1}, resume=True)
    recording = Recording((), "prefixes", COLLECTORS)
    with pytest.raises(NeuroglotError, match="no segment has a prefix of two subwords"):
        Engine(tiny_models.tiny_model("llama")).run(tokens, recording, tmp_path / "s")


@pytest.mark.parametrize("tokens_per_batch", [7, 64])
def test_a_statistic_over_all_layers_sees_every_layer_of_a_row(
    tokens_per_batch: int, tmp_path: Path
) -> None:
    """Counted: how often a layer has a row's largest activation, by fold and in all."""

    def strongest(largest: torch.Tensor, folds: torch.Tensor) -> dict[str, torch.Tensor]:
        winner = largest[:, :, 0].argmax(1)
        wins = winner == torch.arange(largest.shape[1])[:, None]  # [layer, row]
        return {"strongest": wins.sum(1), "strongest_by_fold": wins.float() @ folds.T}

    model, tokens = tiny_models.tiny_model("gemma3_text"), text()
    collector = CrossLayerCollector("act", lambda _, act: act.amax(1, keepdim=True), strongest)
    store.begin(tmp_path / "s", "activations", {"test": 1}, resume=True)
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch, risk_megabytes=2))
    recording = Recording((), "prefixes", cross_layer=(collector,))
    counted = engine.run(tokens, recording, tmp_path / "s")
    act = literal(model, tokens, "act")  # [layer, row, neuron]
    expected = np.zeros((len(act), FOLDS), int)
    np.add.at(expected, (act.max(2).argmax(0), tokens.segment[tokens.ends_prefix]), 1)
    np.testing.assert_array_equal(counted["strongest_by_fold"], expected)
    np.testing.assert_array_equal(counted["strongest"], expected.sum(1))
    assert len(set(expected.sum(1))) > 1


@pytest.mark.parametrize("name", ["llama", "opt", "m2m_100", "t5"])
@pytest.mark.parametrize("tokens_per_batch", [7, 64])
def test_the_peak_of_a_prompt_is_the_largest_activation_at_any_of_its_tokens(
    name: str, tokens_per_batch: int, tmp_path: Path
) -> None:
    """Each prompt alone, without padding; a decoder that answers reads its start token only."""
    model, tokens = tiny_models.tiny_model(name), text(before=1, after=1)
    last = np.diff(tokens.segment, append=-1) != 0
    tokens = replace(tokens, ends_prefix=last)
    store.begin(tmp_path / "s", "activations", {"test": 1}, resume=True)
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch, risk_megabytes=2))
    recording = Recording(("act", "peak"), "last prompt token", store_dtype="float32")
    engine.run(tokens, recording, tmp_path / "s")
    found = {site: store.read_rows(tmp_path / "s", site) for site in ("act", "peak")}
    for item, sequence in enumerate(tokens.sequences()):
        seen: dict[tuple[str, int], np.ndarray] = {}

        def sink(_site, stack, layer, value, seen=seen):
            seen[stack, layer] = value.detach().numpy()[0]

        inputs = {"input_ids": torch.from_numpy(sequence[None])}
        if model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id]])
        with torch.inference_mode(), record(model, {"act"}, sink):
            model(**inputs)
        for layer, block in enumerate(ffns(model)):
            act = seen[block.stack, block.layer]
            whole = len(act) == len(sequence)  # not the decoder's single position
            act = act[1:-1] if whole else act
            close = {"rtol": 1e-4, "atol": 1e-5}
            np.testing.assert_allclose(found["act"][layer, item], act[-1], **close)
            np.testing.assert_allclose(found["peak"][layer, item], act.max(0), **close)
