"""What is recorded is kept: each group on its own, alone or beside others bit for bit the same."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from numcodecs.bitround import BitRound

import neuroglot
from neuroglot import store
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import firing_collectors, role_collectors
from neuroglot.capture.engine import Engine
from neuroglot.capture.record import Wanted, missing, record
from neuroglot.capture.recorded import open_recorded
from neuroglot.capture.settings import (
    GROUPS,
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    Group,
    PromptsGroup,
    RolesGroup,
    RowsGroup,
    SampleGroup,
    StatesGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tasks.base import Item, TaskReading, write_items
from neuroglot.tokens import Tokenising, read_tokens
from support import tiny_models
from support.calls import Killed, count_calls
from support.random_tokens import random_tokens
from support.tiny_checkpoints import TEXTS, write_checkpoint

ROLES = RolesGroup(rule="nonzero", threshold=0.0)
FIRING, SAMPLE, ROWS = FiringGroup(), SampleGroup(segments=3), RowsGroup()
ALL = (ROLES, FIRING, SAMPLE, ROWS)
SETTINGS = CaptureSettings(device="cpu", store_dtype="float32")
EXECUTION = ExecutionSettings(batch_tokens=48)


class Place:
    """A model and a text of which groups are recorded."""

    def __init__(self, folder: Path, model_type: str = "llama") -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        write_checkpoint(folder / "checkpoint", model_type)
        normalise(ModelSettings(source=str(folder / "checkpoint")), self.model)
        segments = [Segment(f"s{i}", text) for i, text in enumerate(TEXTS)]
        segments.insert(2, Segment("short", "a"))  # a single token, which ends no prefix
        self.text = folder / "corpora" / "plain" / "en.parquet"
        places = tuple(range(len(segments)))  # of a parallel text that has one segment more
        write_parquet(Reading(tuple(segments), (), places, len(segments) + 1), self.text)
        self.tokens = folder / "tokens" / "one" / "plain" / "en.zarr"
        chosen = Tokenising(prefix="word", long_segments="truncate")
        write_tokens(self.model, self.text, self.tokens, chosen)
        items = [Item(f"q{i}", text, ("a",), ("a", "b")) for i, text in enumerate(TEXTS)]
        self.task = folder / "tasks" / "facts" / "en.parquet"
        write_items(TaskReading(tuple(items)), self.task)

    def record(self, name: str, *groups: Group, keys: Mapping[str, str] = {}, **settings) -> Path:
        """Record groups of the text in a store of this name, under the key ``1`` or their own."""
        path = self.folder / "results" / "activations" / "one" / name / "en.zarr"
        wanted = {group: keys.get(group.name, "1") for group in groups}
        used = SETTINGS.model_copy(update=settings)
        record(self.model, [Wanted(self.tokens, "tokens", path, wanted)], used, EXECUTION)
        return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 tokens, so that a text has several and segments straddle two."""
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 32)


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file in a folder."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def content(folder: Path) -> dict[str, bytes]:
    return {name: both[0] for name, both in files(folder).items()}


# --- kept, added, removed, replaced ---------------------------------------------------------


@pytest.mark.parametrize("order", [ALL, ALL[::-1]])
def test_together_and_apart_are_the_same_bytes(place: Place, order, tmp_path: Path) -> None:
    together = place.record(f"together-{order[0].name}", *order)
    for number, group in enumerate(order):
        apart = place.record(f"apart-{order[0].name}", *order[number:])
        assert group.name in store.held(apart)
    for group in ALL:
        alone = place.record(f"alone-{group.name}", group)
        assert set(store.held(alone)) == {group.name}
        for other in (together, place.folder / "results/activations/one" / apart.parent.name):
            own = content((other if other.suffix else other / "en.zarr") / group.name)
            assert own == content(alone / group.name)


def test_what_is_added_is_recorded_alone_and_the_rest_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.record("added", ROLES, SAMPLE)
    before = {name: files(path / name) for name in ("roles", "sample")}
    passes = count_calls(monkeypatch, Engine, "_forward")
    place.record("added", ROLES, SAMPLE, FIRING)
    assert passes
    assert {name for *_, recordings in passes for name in recordings} == {"firing"}
    assert {name: files(path / name) for name in before} == before
    assert set(store.held(path)) == {"roles", "sample", "firing"}
    whole = files(path)
    passes.clear()
    place.record("added", FIRING)  # taken away
    place.record("added", ROLES, SAMPLE, FIRING)  # and put back
    assert not passes
    assert files(path) == whole
    assert set(xr.open_datatree(path, engine="zarr").children) == {"roles", "sample", "firing"}


def test_what_is_out_of_date_is_replaced_and_the_rest_stays(place: Place) -> None:
    path = place.record("replaced", ROLES, FIRING)
    kept = files(path / "firing")
    other = RolesGroup(rule="above", threshold=0.01)
    place.record("replaced", other, FIRING)
    assert store.held(path)["roles"].origin["group"] == other.model_dump()
    by_rule = (path / "roles" / store.COMPLETE).stat().st_mtime_ns
    place.record("replaced", other, FIRING, keys={"roles": "2"})
    assert (path / "roles" / store.COMPLETE).stat().st_mtime_ns > by_rule
    assert store.held(path)["roles"].key == "2"
    assert files(path / "firing") == kept
    fresh = place.record("fresh", other, keys={"roles": "2"})
    assert content(path / "roles") == content(fresh / "roles")


def test_a_larger_sample_satisfies_a_smaller_wish(place: Place) -> None:
    path = place.record("sample", SampleGroup(segments=4), ROLES)
    before = files(path)
    place.record("sample", SAMPLE, ROLES)
    assert files(path) == before
    [few], [most] = (open_recorded([path / "sample"], n) for n in (3, None))
    assert few.sample["segment_index"].values.max() == 2 - 1  # of the third no prefix is recorded
    assert set(most.sample["segment"].values) == {"s0", "s1", "s2"}
    raw = few.raw("act", [1])
    assert np.array_equal(raw, most.raw("act", [1])[:, : raw.sizes["row"]])
    place.record("sample", SampleGroup(segments=5), ROLES)
    assert store.held(path)["sample"].origin["group"]["segments"] == 5
    place.record("sample", SampleGroup(segments=1000), ROLES)
    place.record("sample", SampleGroup(segments=2000), ROLES)  # there are no more
    assert store.held(path)["sample"].origin["group"]["segments"] == 1000


def test_wishes_are_satisfied_by_what_holds_them() -> None:
    def held(group: Group, drawn: int = 9, **origin) -> store.Completion:
        own = {"name": group.name, "group": group.model_dump(), "gated": False, **origin}
        return store.Completion(content="activations", origin=own, counts={"drawn": drawn}, key="k")

    assert ROLES.satisfied_by(held(ROLES))
    assert not ROLES.satisfied_by(held(RolesGroup(rule="positive", threshold=0.0)))
    assert SampleGroup(segments=100).satisfied_by(held(SampleGroup(segments=150), 1000))
    assert not SampleGroup(segments=100).satisfied_by(held(SampleGroup(segments=99), 1000))
    assert SampleGroup(segments=100).satisfied_by(held(SampleGroup(segments=99), 99))
    act, gate, auto = (PromptsGroup(site=site) for site in ("act", "gate", "auto"))
    assert auto.satisfied_by(held(gate, gated=True))
    assert not auto.satisfied_by(held(act, gated=True))
    assert auto.satisfied_by(held(act))
    assert FIRING.satisfied_by(held(FIRING))
    records = {"firing": held(FIRING), "roles": held(ROLES)}
    wanted = {FIRING: "k", ROLES: "other", ROWS: "k"}
    assert missing(records, wanted) == {ROLES: "other", ROWS: "k"}
    for group in (*ALL, auto, StatesGroup()):
        assert GROUPS[group.name].model_validate_json(group.model_dump_json()) == group


def test_several_texts_are_recorded_with_the_model_loaded_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    load = record.__globals__["load"]
    monkeypatch.setitem(record.__globals__, "load", lambda *a: loaded.append(a) or load(*a))
    wanted = [
        Wanted(place.tokens, "tokens", tmp_path / "plain" / "en.zarr", {ROLES: "1"}),
        Wanted(place.task, "items", tmp_path / "facts" / "en.zarr", {PromptsGroup(): "1"}),
        Wanted(place.tokens, "tokens", tmp_path / "states" / "en.zarr", {StatesGroup(): "1"}),
    ]
    record(place.model, wanted, SETTINGS.model_copy(update={"store_dtype": "float16"}), EXECUTION)
    assert len(loaded) == 1
    prompts = store.held(tmp_path / "facts" / "en.zarr")["prompts"]
    assert prompts.origin["group"] == {"site": "gate"}
    assert prompts.counts == dict.fromkeys(("rows", "segments"), len(TEXTS)) | {"drawn": 0}
    states = store.held(tmp_path / "states" / "en.zarr")["states"]
    assert states.origin["settings"]["store_dtype"] == "float32"
    assert prompts.origin["settings"]["store_dtype"] == "float16"
    record(place.model, wanted, SETTINGS, EXECUTION)
    assert len(loaded) == 1


# --- killed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "function", "number"),
    [
        (Engine, "_forward", 5),
        (store, "complete", 1),
        (store, "complete", 3),
        (store, "consolidate", 2),
    ],
)
def test_a_killed_recording_goes_on_to_the_same_bytes(
    place: Place, owner, function: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{function.strip('_')}-{number}"
    quiet = place.record("quiet", *ALL)
    with monkeypatch.context() as patch:
        count_calls(patch, owner, function, kill_at=number)
        with pytest.raises(Killed):
            place.record(name, *ALL)
    passes = count_calls(monkeypatch, Engine, "_forward")
    path = place.record(name, *ALL)
    assert content(path) == content(quiet)
    every = len(passes)
    passes.clear()
    place.record(f"{name}-whole", *ALL)
    assert every < len(passes), "nothing was gone on with"
    assert owner is Engine or not every, "what was done was computed again"


def test_a_killed_recording_goes_on_with_less_than_it_was_to_record(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=5)
        with pytest.raises(Killed):
            place.record("less", *ALL)
    passes = count_calls(monkeypatch, Engine, "_forward")
    path = place.record("less", ROLES, SAMPLE)
    assert sorted(child.name for child in path.iterdir()) == ["roles", "sample", "zarr.json"]
    gone_on = len(passes)
    alone = place.record("less-alone", ROLES, SAMPLE)
    assert gone_on < len(passes) - gone_on
    for name in ("roles", "sample"):
        assert content(path / name) == content(alone / name)


def test_progress_of_other_groups_does_not_count(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=5)
        with pytest.raises(Killed):
            place.record("other", ROLES)
    path = place.record("other", ROLES, FIRING)
    alone = place.record("other-alone", ROLES, FIRING)
    assert content(path) == content(alone)


@pytest.mark.parametrize("changed", ["key", "folder"])
def test_progress_of_what_is_not_there_any_more_does_not_count(
    place: Place, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made from something else since, or removed by hand."""
    name = f"gone-{changed}"
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=6)
        with pytest.raises(Killed):
            place.record(name, ROWS, ROLES)
    path = place.folder / "results/activations/one" / name / "en.zarr"
    assert list((path / store.PROGRESS).rglob("*.npz"))
    keys = {"rows": "2", "roles": "2"} if changed == "key" else {}
    if changed == "folder":
        shutil.rmtree(path / "rows")
    passes = count_calls(monkeypatch, Engine, "_forward")
    place.record(name, ROWS, ROLES, keys=keys)
    again = len(passes)
    alone = place.record(f"{name}-alone", ROWS, ROLES, keys=keys)
    assert again == len(passes) - again, "the whole text was read again"
    assert content(path) == content(alone)


def test_while_a_group_is_replaced_the_store_shows_the_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.record("shown", ROLES, FIRING)
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=2)
        with pytest.raises(Killed):
            place.record("shown", ROLES, FIRING, keys={"firing": "2"})
    assert set(store.held(path)) == {"roles"}
    assert set(xr.open_datatree(path, engine="zarr").load().children) == {"roles"}


def test_a_recording_of_an_earlier_version_is_replaced(place: Place) -> None:
    path = place.folder / "results/activations/one/early/en.zarr"
    store.begin(path, "activations", {"plan": "old"})
    (path / "rows" / "act").mkdir(parents=True)
    store.complete(path, "activations", {"plan": "old"}, {})
    place.record("early", ROLES)
    assert sorted(child.name for child in path.iterdir()) == ["roles", "zarr.json"]


# --- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 7, 64])
@pytest.mark.parametrize("tokens_per_batch", [9, 40])
def test_numbers_do_not_depend_on_what_else_is_recorded(
    size: int, tokens_per_batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of texts whose segments straddle blocks, and of which some have no prefix."""
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: size)
    model, tokens = (
        tiny_models.tiny_model("gemma3_text"),
        random_tokens((5, 1, 9, 3, 1, 1, 12, 7, 4), every=3, seed=0),
    )
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch))
    recordings = {
        "roles": Recording((), "prefixes", tuple(role_collectors("nonzero", 0.0))),
        "sample": Recording(("act", "out"), "prefixes", (), "float16", segments=4),
        "firing": Recording((), "every token", tuple(firing_collectors(gated=True))),
        "rows": Recording(("act",), "every token", (), "bfloat16"),
    }
    beside = engine.run_together(tokens, recordings, tmp_path / "beside")
    for name, recording in recordings.items():
        folder = tmp_path / f"alone-{name}"
        alone = engine.run_together(tokens, {name: recording}, folder)[name]
        assert alone.keys() == beside[name].keys()
        for statistic, value in alone.items():
            assert np.array_equal(value, beside[name][statistic]), (name, statistic)
        for site in recording.sites:
            both = [store.read_rows(at / name, site) for at in (folder, tmp_path / "beside")]
            assert np.array_equal(*both), (name, site)


def widen(model, layer: int, neurons: int) -> None:
    """Give one layer of a Llama more neurons than the others."""
    mlp = model.model.layers[layer].mlp
    generator = torch.Generator().manual_seed(layer)
    for name, shape in {
        "gate_proj": (neurons, tiny_models.HIDDEN),
        "up_proj": (neurons, tiny_models.HIDDEN),
        "down_proj": (tiny_models.HIDDEN, neurons),
    }.items():
        linear = torch.nn.Linear(shape[1], shape[0], bias=False)
        with torch.no_grad():
            linear.weight.copy_(torch.randn(shape, generator=generator) / 3)
        setattr(mlp, name, linear)


@pytest.mark.parametrize(
    ("dtype", "keep_bits"),
    [("float16", None), ("float16", 7), ("bfloat16", None), ("bfloat16", 6), ("float32", None)],
)
def test_layers_may_differ_in_width(
    dtype: store.StoreDtype,
    keep_bits: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, tokens = tiny_models.tiny_model("llama"), random_tokens((5, 9, 3, 12), every=3, seed=0)
    narrow, wide = tiny_models.NEURONS, tiny_models.NEURONS + 7
    widen(model, 1, wide)
    assert [ffn.neurons for ffn in ffns(model)] == [narrow, wide]
    engine = Engine(model, ExecutionSettings(batch_tokens=20))
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 8)
    recordings = {
        "roles": Recording((), "prefixes", tuple(role_collectors("positive", 0.0))),
        "firing": Recording((), "every token", tuple(firing_collectors(gated=True))),
        "rows": Recording(("act", "out"), "every token", (), dtype, keep_bits=keep_bits),
    }
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=3)
        with pytest.raises(Killed):
            engine.run_together(tokens, recordings, tmp_path)
    sums = engine.run_together(tokens, recordings, tmp_path)
    act, out = (store.read_rows(tmp_path / "rows", site) for site in ("act", "out"))
    assert act.shape == (2, len(tokens.token_id), wide)
    assert np.isnan(act[0, :, narrow:]).all()
    assert np.isfinite(act[0, :, :narrow]).all()
    assert np.isfinite(act[1]).all()
    assert np.isfinite(out).all()
    for name, rows in {"act_count": act[:, tokens.ends_prefix], "act_positive": act}.items():
        group = "roles" if name == "act_count" else "firing"
        count = sums[group][name]
        assert np.isnan(count[0, narrow:]).all()
        assert np.array_equal(count[0, :narrow], (rows[0, :, :narrow] > 0).sum(0))
        assert np.array_equal(count[1], (rows[1] > 0).sum(0))
        by_fold = sums[group][f"{name}_by_fold"]
        assert np.array_equal(by_fold.sum(1), count, equal_nan=True)
    flat = sums["roles"]["act_flatness_sum"]
    assert flat.shape == (2,)
    assert np.isfinite(flat).all()
    in_memory = engine.rows(tokens, replace(recordings["rows"], store_dtype="float32"))["act"]
    assert np.isnan(in_memory[0, :, narrow:]).all()
    np.testing.assert_allclose(in_memory, act, rtol=1e-2, atol=1e-2)


# --- opened with one call -------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(place: Place, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store of each kind."""
    folder = tmp_path_factory.mktemp("stores")
    stores = {kind: folder / kind / "en.zarr" for kind in ("corpus", "task", "states")}
    sources = {
        "corpus": (place.tokens, "tokens"),
        "task": (place.task, "items"),
        "states": (place.tokens, "tokens"),
    }
    groups = {"corpus": ALL, "task": (PromptsGroup(),), "states": (StatesGroup(),)}
    wanted = [
        Wanted(*sources[kind], path, dict.fromkeys(groups[kind], "1"))
        for kind, path in stores.items()
    ]
    record(place.model, wanted, SETTINGS, EXECUTION)
    data = xr.Dataset(
        {"value": (("language", "layer"), np.ones((2, 3))), "kind": ("language", ["a", "ü"])},
        coords={"language": ["en", "中文"]},
    )
    reduction = folder / "reduction.zarr"
    store.begin(reduction, "reduction", {})
    store.write_dataset(reduction, data)
    store.complete(reduction, "reduction", {}, {})
    return {**stores, "tokenised": place.tokens, "reduction": reduction}


RAW = {
    "sample": {"act": "neuron", "out": "hidden"},
    "rows": {"act": "neuron"},
    "prompts": {"act": "neuron", "gate": "neuron", "peak": "neuron"},
    "states": {"act": "neuron", "mid": "hidden", "state": "hidden", "mean": "hidden"},
}
SAMPLED_OVER = {
    "roles": "prefixes",
    "sample": "prefixes",
    "firing": "every token",
    "rows": "every token",
    "prompts": "last prompt token",
    "states": "last token of each segment",
}


@pytest.mark.parametrize("kind", ["corpus", "task", "states"])
def test_a_recording_opens_with_one_call(opened: dict[str, Path], kind: str, place: Place) -> None:
    tree = xr.open_datatree(opened[kind], engine="zarr")
    assert set(tree.children) == set(store.held(opened[kind]))
    tokens = read_tokens(place.tokens)
    for name, node in tree.children.items():
        data = node.to_dataset().load()
        xr.testing.assert_identical(data, xr.open_zarr(opened[kind] / name).load())
        for label in ("model", "corpus", "language", "neuroglot", "group"):
            assert data.attrs[label], label
        for variable in data.variables.values():
            assert variable.attrs["units"]
            assert len(variable.attrs["long_name"].split()) > 2
        assert all(data[one].attrs["over"] == SAMPLED_OVER[name] for one in data.data_vars)
        assert data["stack"].values.tolist() == ["decoder"] * 2
        assert data["stack_layer"].values.tolist() == data["layer"].values.tolist() == [0, 1]
        assert "from 0" in data["layer"].attrs["long_name"]
        if name not in RAW:
            assert data["segment_rows"].sum() == store.held(opened[kind])[name].counts["rows"]
            assert data["segment"].values.tolist() == tokens.segment_ids
            assert data["segment_place"].values.tolist() == tokens.places.tolist()
            statistic = "act_positive" if name == "firing" else "act_sum"
            by_segment = data[f"{statistic}_by_segment"]
            assert by_segment.dims == ("layer", "segment", "neuron")
            np.testing.assert_allclose(by_segment.sum("segment"), data[statistic], atol=1e-5)
            continue
        for site, width in RAW[name].items():
            plane = "depth" if site in ("state", "mean") else "layer"
            assert data[site].dims == (plane, "row", width)
            assert np.array_equal(data[site], store.read_rows(opened[kind] / name, site))
        assert {"token_id", "token", "segment", "position"} <= set(data.coords)
        assert all(data[one].dims == ("row",) for one in ("token_id", "token", "segment"))
        if kind == "corpus":
            rows = tokens.ends_prefix & (tokens.segment < 3) if name == "sample" else slice(None)
            assert np.array_equal(data["token_id"], tokens.token_id[rows])
            assert np.array_equal(data["position"], tokens.position[rows])
            ids = [tokens.segment_ids[s] for s in tokens.segment[rows]]
            assert data["segment"].values.tolist() == ids
    if kind == "states":
        assert data["depth"].values.tolist() == data["stack_depth"].values.tolist() == [0, 1, 2]


def test_tokens_and_reductions_open_with_one_call(opened: dict[str, Path], place: Place) -> None:
    data = xr.open_zarr(opened["tokenised"]).load()
    first = data.isel(row=np.flatnonzero(data["segment"].values == "s0"))
    text = "".join(first["token"].values.tolist()).replace("␣", " ")
    assert text == TEXTS[0]
    assert (first["segment_index"] == 0).all()
    reduction = xr.open_zarr(opened["reduction"]).load()
    assert reduction["language"].values.tolist() == ["en", "中文"]
    assert reduction["kind"].values.tolist() == ["a", "ü"]
    assert set(reduction.data_vars) == {"value", "kind"}


def test_text_is_stored_as_other_readers_of_zarr_know_it(opened: dict[str, Path]) -> None:
    """zarrita.js reads ``string`` with ``vlen-utf8``; and no fixed-width text."""
    checked = 0
    for path in opened.values():
        for meta in (json.loads(found.read_text()) for found in path.rglob("zarr.json")):
            if meta["node_type"] == "array":
                assert isinstance(meta["data_type"], str), "an extension that others may lack"
                assert "utf32" not in meta["data_type"]
                if meta["data_type"] == "string":
                    assert meta["codecs"][0]["name"] == "vlen-utf8"
                    names = {codec["name"] for codec in meta["codecs"]}
                    assert names <= {"vlen-utf8", "zstd", "crc32c"}
                    checked += 1
    assert checked > 15


def test_values_of_bfloat16_are_read_by_everybody_and_take_two_bytes(place: Place) -> None:
    path = place.record("brain", ROWS, store_dtype="bfloat16") / "rows"
    exact = store.read_rows(place.record("exact", ROWS) / "rows", "act")
    found = xr.open_zarr(path)["act"].values
    assert np.array_equal(found, torch.from_numpy(exact).bfloat16().float().numpy())
    values = torch.randn(64, 512, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    array = store.create_rows(path.parent, "act", (1, 64, 512), 64, "bfloat16", "every token")
    array[:] = values.numpy()[None]
    stored = sum(file.stat().st_size for file in (path.parent / "act" / "c").rglob("*"))
    assert stored < 2.1 * values.numel()
    assert zarr.open_array(path.parent / "act", mode="r").dtype == np.float32


@pytest.mark.parametrize(
    ("keep_bits", "store_dtype"), [(4, "float16"), (4, "bfloat16"), (10, "float32")]
)
def test_rounded_rows_open_rounded_and_say_so(
    place: Place, keep_bits: int, store_dtype: str
) -> None:
    """As whoever opens them with xarray alone sees them; sums are of the exact values."""
    name = f"{store_dtype}-{keep_bits}"
    exact = place.record(f"exact-{name}", *ALL, store_dtype=store_dtype)
    path = place.record(name, *ALL, store_dtype=store_dtype, keep_bits=keep_bits)
    for group in (SAMPLE.name, ROWS.name):
        found, whole = (xr.open_zarr(folder / group) for folder in (path, exact))
        assert found["act"].attrs["keep_bits"] == keep_bits
        assert "keep_bits" not in whole["act"].attrs
        rounded = BitRound(keepbits=keep_bits).encode(whole["act"].values)
        assert np.array_equal(found["act"].values, rounded.view(whole["act"].dtype))
        assert not np.array_equal(found["act"].values, whole["act"].values)
        assert np.array_equal(store.read_rows(path / group, "act"), found["act"].values)
    for group in (ROLES.name, FIRING.name):
        assert content(path / group) == content(exact / group)
    act = xr.open_datatree(path, engine="zarr")["rows"]["act"]
    assert np.array_equal(act.values, xr.open_zarr(path / "rows")["act"].values)


def test_bits_that_a_precision_lacks_are_all_kept(place: Place) -> None:
    path = place.record("all-bits", ROWS, store_dtype="float16", keep_bits=10)
    assert content(path) == content(place.record("float16", ROWS, store_dtype="float16"))


def test_how_rows_are_rounded_counts_where_rows_are() -> None:
    coarse = CaptureSettings(keep_bits=10, store_dtype="float16")
    fine = CaptureSettings(keep_bits=10, store_dtype="float32")
    groups = (*ALL, PromptsGroup(), StatesGroup())
    assert {group.name: group.kept_bits(coarse) for group in groups} == {
        **dict.fromkeys(("roles", "firing", "sample", "rows", "prompts")),
        "states": 10,
    }
    assert [group.kept_bits(fine) for group in groups] == [None, None, 10, 10, 10, 10]
    assert {group.kept_bits(CaptureSettings()) for group in groups} == {None}


def test_a_killed_recording_of_rounded_rows_goes_on_to_the_same_bytes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = place.record("rounded", *ALL, keep_bits=6)
    with monkeypatch.context() as patch:
        count_calls(patch, Engine, "_forward", kill_at=5)
        with pytest.raises(Killed):
            place.record("rounded-killed", *ALL, keep_bits=6)
    passes = count_calls(monkeypatch, Engine, "_forward")
    assert content(place.record("rounded-killed", *ALL, keep_bits=6)) == content(quiet)
    every = len(passes)
    place.record("rounded-whole", *ALL, keep_bits=6)
    assert every < len(passes) - every, "nothing was gone on with"


def test_which_token_fires_a_neuron_most_is_three_lines(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.record("plain", *ALL)
    monkeypatch.chdir(place.folder)

    act = neuroglot.open_activations("one", "plain", "en").act
    fired = act.sel(layer=1, neuron=17)[act.segment == "s1"]
    token = fired.token[fired.argmax("row")].item()

    tokens = read_tokens(place.tokens)
    rows = np.flatnonzero(tokens.segment == tokens.segment_ids.index("s1"))
    raw = store.read_rows(place.folder / "results/activations/one/plain/en.zarr/rows", "act")
    best = rows[raw[1, rows, 17].argmax()]
    labels = xr.open_zarr(place.tokens)["token"].values
    assert token == labels[best]
    assert fired.position[fired.argmax("row")] == tokens.position[best]


def test_what_was_not_recorded_is_said_with_what_was(place: Place) -> None:
    place.record("plain", *ALL)
    place.record("sums", ROLES)
    results = place.folder / "results"
    with pytest.raises(NeuroglotError, match=r"xx\.zarr holds no recording; .*plain en"):
        neuroglot.open_activations("one", "plain", "xx", results)
    with pytest.raises(NeuroglotError, match=r"holds no raw rows, only statistics \(roles\)"):
        neuroglot.open_activations("one", "sums", "en", results)
    place.record("sampled", SAMPLE)
    assert neuroglot.open_activations("one", "sampled", "en", results).attrs["group"] == "sample"
