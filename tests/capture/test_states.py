"""Hidden states of segments: equal to the model's own, stored, read back and under edits."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroglot import store
from neuroglot.analyses.transfer.states import open_states, state_axis, states_after
from neuroglot.capture.blocks import Recording
from neuroglot.capture.engine import Engine
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import CaptureSettings, ExecutionSettings, StatesGroup
from neuroglot.capture.states import represent, represent_variants
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, final_norms
from neuroglot.models.intervene import Edit
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising, Tokens
from support import tiny_models
from support.calls import Killed, count_calls
from support.random_tokens import random_tokens
from support.tiny_checkpoints import write_checkpoint

LENGTHS = (5, 1, 9, 3)
SITES = ("act", "mid", "state", "mean")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def text(before: int = 1, after: int = 0, lengths: tuple[int, ...] = LENGTHS) -> Tokens:
    """Segments of which no token ends a prefix."""
    tokens = random_tokens(lengths, before, after, least=5)
    return replace(tokens, ends_prefix=np.zeros(sum(lengths), bool))


def recorded(model, tokens, folder: Path, tokens_per_batch: int = 64) -> dict[str, np.ndarray]:
    store.begin(folder, "activations", {"test": 1}, resume=True)
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch))
    recording = Recording(SITES, "last token of each segment", (), "float32")
    engine.run(tokens, recording, folder)
    return {site: store.read_rows(folder, site) for site in SITES}


def alone(model, sequence: np.ndarray, tokens: Tokens) -> dict[str, torch.Tensor]:
    """The model's inputs for one segment without padding."""
    inputs = {"input_ids": torch.from_numpy(sequence)[None]}
    if model.config.is_encoder_decoder:
        plain = sequence[len(tokens.before) : len(sequence) - len(tokens.after)]
        start = model.config.decoder_start_token_id
        inputs["decoder_input_ids"] = torch.from_numpy(np.r_[start, plain])[None]
    return inputs


def plain_states(model, tokens: Tokens, change=None) -> list[list[np.ndarray]]:
    """``[segment][state]``: [token of the text, hidden], by the model's own account.

    All but a stack's last state are its ``hidden_states``; the last is what its final norm reads.
    With ``change(segment, layer, act)`` the output projections read what it returns.
    """
    found = []
    for segment, sequence in enumerate(tokens.sequences()):
        length = len(sequence) - len(tokens.before) - len(tokens.after)
        last: dict[str, torch.Tensor] = {}
        with ExitStack() as hooks, torch.inference_mode():
            for stack, norm in final_norms(model).items():
                if norm is not None:

                    def keep(_module, args, stack=stack, last=last):
                        last[stack] = args[0].clone()

                    hooks.callback(norm.register_forward_pre_hook(keep).remove)
            for ffn in ffns(model) if change else ():

                def edit(_module, args, ffn=ffn, segment=segment):
                    act = args[0] if args[0].ndim == 3 else args[0][None]
                    return change(segment, ffn, act.clone()).view_as(args[0])

                hooks.callback(ffn.w_out.register_forward_pre_hook(edit).remove)
            out = model(**alone(model, sequence, tokens), output_hidden_states=True)
        states = []
        translates = len(stacks(model)) == 2
        for stack in final_norms(model):
            own = out[f"{stack}_hidden_states" if translates else "hidden_states"]
            begin = 1 if translates and stack == "decoder" else len(tokens.before)
            kept = [*own[:-1], last.get(stack, own[-1])]
            states += [state[0, begin : begin + length].numpy() for state in kept]
        found.append(states)
    return found


def stacks(model) -> set[str]:
    return {ffn.stack for ffn in ffns(model)}


def pooled(states: list[list[np.ndarray]], pool: str) -> np.ndarray:
    """``[state, segment, hidden]``."""
    pick = (lambda own: own[-1]) if pool == "last" else (lambda own: sum(own) / len(own))
    return np.stack([[pick(state) for state in segment] for segment in states], axis=1)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_states_are_the_models_own(name: str, tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model(name), text()
    found = recorded(model, tokens, tmp_path / "s.zarr")
    expected = plain_states(model, tokens)
    np.testing.assert_allclose(found["state"], pooled(expected, "last"), **CLOSE)
    np.testing.assert_allclose(found["mean"], pooled(expected, "mean"), **CLOSE)


PER_LAYER = ("gemma4", "gemma4_text:per_layer", "gemma4_text:shared")


# Of what Gemma 4's per-layer inputs add, tests/models/test_ffn.py takes account.
@pytest.mark.parametrize("name", [name for name in tiny_models.NAMES if name not in PER_LAYER])
def test_mid_and_the_neurons_make_the_next_state(name: str, tmp_path: Path) -> None:
    model, tokens = tiny_models.tiny_model(name), text()
    found = recorded(model, tokens, tmp_path / "s.zarr")
    state = -1
    for ffn in ffns(model):
        state += 1 + (ffn.layer == 0)  # a stack's first state precedes its first layer
        out = found["act"][ffn.index][:, : ffn.neurons] @ ffn.output_matrix().numpy().T
        if (bias := ffn.output_bias()) is not None:
            out = out + bias.numpy()
        with torch.inference_mode():
            added = torch.from_numpy(out)
            added = ffn.norm_after(added) if ffn.norm_after else added
            total = torch.from_numpy(found["mid"][ffn.index]) + ffn.scale * added
            total = ffn.norm_sum(total) if ffn.norm_sum else total
            total = total * getattr(ffn.block, "layer_scalar", 1)
        np.testing.assert_allclose(found["state"][state], total.numpy(), **CLOSE)


@pytest.mark.parametrize("name", ["gemma3_text", "opt", "mbart", "t5"])
@pytest.mark.parametrize("tokens_per_batch", [1, 12])
def test_batches_and_shards_change_nothing(
    name: str, tokens_per_batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokens = tiny_models.tiny_model(name), text(after=1)
    expected = recorded(model, tokens, tmp_path / "a.zarr")
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 2)
    found = recorded(model, tokens, tmp_path / "b.zarr", tokens_per_batch)
    for site in SITES:
        np.testing.assert_allclose(found[site], expected[site], **CLOSE)


@pytest.mark.parametrize("name", ["llama", "mbart"])
def test_special_tokens_belong_to_no_segment(name: str, tmp_path: Path) -> None:
    """Two after the text, of which the last token must be none, and none or three before it."""
    model = tiny_models.tiny_model(name)
    for before in (0, 3):
        tokens = text(before, after=2)
        found = recorded(model, tokens, tmp_path / f"{before}.zarr")
        expected = plain_states(model, tokens)
        assert [len(segment[0]) for segment in expected] == list(LENGTHS)
        np.testing.assert_allclose(found["state"], pooled(expected, "last"), **CLOSE)
        np.testing.assert_allclose(found["mean"], pooled(expected, "mean"), **CLOSE)


def test_of_one_token_the_mean_is_the_state(tmp_path: Path) -> None:
    model = tiny_models.tiny_model("t5")
    found = recorded(model, text(after=1, lengths=(1, 4, 1)), tmp_path / "s.zarr")
    np.testing.assert_allclose(found["mean"][:, [0, 2]], found["state"][:, [0, 2]], rtol=1e-6)
    assert np.abs(found["mean"][:, 1] - found["state"][:, 1]).max() > 0.1


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "t5"])
@pytest.mark.parametrize(("pool", "site"), [("last", "state"), ("mean", "mean")])
def test_without_edits_the_states_are_the_stored_ones(
    name: str, pool: str, site: str, tmp_path: Path
) -> None:
    model, tokens = tiny_models.tiny_model(name), text(after=1)
    stored = recorded(model, tokens, tmp_path / "s.zarr")[site]
    nobody = Edit(np.zeros((len(ffns(model)), tiny_models.NEURONS), bool))
    assert np.array_equal(represent(model, tokens, pool, batch_tokens=64), stored)
    assert np.array_equal(represent(model, tokens, pool, [nobody], "last", 64), stored)
    one_by_one = represent(model, tokens, pool, batch_tokens=1)
    np.testing.assert_allclose(one_by_one, stored, **CLOSE)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "opt", "gpt_neox", "mbart", "t5"])
@pytest.mark.parametrize("positions", ["all", "last"])
@pytest.mark.parametrize("own", [False, True])
def test_edited_states_are_those_of_a_hooked_pass_per_segment(
    name: str, positions: str, own: bool
) -> None:
    """Of neurons in every layer, the same in all segments or each segment's own."""
    model, tokens = tiny_models.tiny_model(name), text(after=1)
    depth, segments = len(ffns(model)), len(LENGTHS)
    neurons = np.random.default_rng(0).random((segments, depth, tiny_models.NEURONS)) < 0.3
    if not own:
        neurons[:] = neurons[0]

    def change(segment, ffn, act):
        chosen = torch.from_numpy(neurons[segment, ffn.index])
        if positions == "all":
            act[..., chosen] = 0
        else:
            decodes = ffn.stack == "decoder" and "encoder" in stacks(model)
            act[:, LENGTHS[segment] - 1 + (1 if decodes else len(tokens.before)), chosen] = 0
        return act

    expected = plain_states(model, tokens, change)
    edit = Edit(neurons if own else neurons[0])
    for pool in ("last", "mean"):
        found = represent(model, tokens, pool, [edit], positions, batch_tokens=24)
        np.testing.assert_allclose(found, pooled(expected, pool), **CLOSE)
        untouched = represent(model, tokens, pool)
        assert np.abs(found - untouched).max() > 1e-2
    after = represent(model, tokens)
    assert np.array_equal(after, represent(model, tokens)), "the model is left as it was"


DECODERS = [name for name in tiny_models.NAMES if name.split(":")[0] not in tiny_models.ENCODERS]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("tokens_per_batch", [4, None])
def test_variants_go_on_from_what_was_read_before_the_last_tokens(
    name: str, tokens_per_batch: int | None
) -> None:
    model, tokens = tiny_models.tiny_model(name), text(after=1)
    there = tiny_models.own_neurons(model)
    own = (np.random.default_rng(5).random((len(LENGTHS), *there.shape)) < 0.4) & there
    variants = [[], [Edit(own[0], "scale", 3.0)], [Edit(own, "add", 1.5), Edit(own[1])]]
    found = represent_variants(model, tokens, variants, "last", "last", tokens_per_batch)
    for states, edits in zip(found, variants, strict=True):
        expected = represent(model, tokens, "last", edits, "last")
        np.testing.assert_allclose(states, expected, **CLOSE)
    pooled = represent_variants(model, tokens, variants, "mean", "all")
    np.testing.assert_array_equal(pooled[2], represent(model, tokens, "mean", variants[2]))


def test_too_little_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    edit = Edit(np.ones((2, tiny_models.NEURONS), bool), "scale", 2.0)
    expected = represent(model, tokens, "last", [edit], "last")

    def limited(_module, inputs):
        if inputs[0].shape[0] > 1:
            raise torch.OutOfMemoryError("out of memory")

    ffns(model)[-1].block.register_forward_pre_hook(limited)
    np.testing.assert_allclose(represent(model, tokens, "last", [edit], "last"), expected, **CLOSE)


def test_what_cannot_be_represented_is_said() -> None:
    model, tokens = tiny_models.tiny_model("llama"), text()
    with pytest.raises(NeuroglotError, match="pool 'lst'"):
        represent(model, tokens, "lst")
    with pytest.raises(NeuroglotError, match="positions 'lst'"):
        represent(model, tokens, positions="lst")
    few = Edit(np.zeros((3, 2, tiny_models.NEURONS), bool))
    with pytest.raises(NeuroglotError, match="for 3 segments, and the text has 4"):
        represent(model, tokens, edits=[few])
    with torch.no_grad():
        ffns(model)[1].output_matrix()[3] = float("nan")
    with pytest.raises(NeuroglotError, match="state of layer 3 is not finite"):
        represent(model, tokens)


# --- the step and its reader ----------------------------------------------------------------

SEGMENTS = {
    "en": {"c": "They are free.", "a": "All human beings are born free.", "b": "Reason"},
    "de": {"b": "Vernunft", "x": "Und noch", "c": "Sie sind frei.", "a": "Alle Menschen sind."},
}


def write_text(folder: Path, segments: dict[str, dict[str, str]]) -> list[Path]:
    paths = [folder / "results" / "corpora" / "text" / f"{one}.parquet" for one in segments]
    for path, own in zip(paths, segments.values(), strict=True):
        write_parquet(Reading(tuple(Segment(*pair) for pair in own.items())), path)
    return paths


def tokens_of(model: Path, corpus: Path) -> Path:
    return model.parent / "tokens" / corpus.parent.name / f"{corpus.stem}.zarr"


def record_states(model: Path, corpus: Path, long_segments: str = "truncate", **settings) -> Path:
    output = model.parent / "states" / corpus.parent.name / f"{corpus.stem}.zarr"
    tokens = tokens_of(model, corpus)
    write_tokens(model, corpus, tokens, Tokenising(prefix="subword", long_segments=long_segments))
    wanted = Wanted(tokens, "tokens", output, {StatesGroup(): "key"})
    record(model, [wanted], CaptureSettings(device="cpu", **settings), ExecutionSettings())
    return output / "states"


@pytest.fixture(scope="module", params=["llama", "m2m_100"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, texts and their states."""
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = write_checkpoint(folder / "checkpoint", request.param)
    normalise(ModelSettings(source=str(checkpoint)), folder / "model")
    for path in write_text(folder, SEGMENTS):
        record_states(folder / "model", path)
    return folder


def recordings(place: Path) -> dict[str, Path]:
    """The languages' recorded groups."""
    return {one: place / "states" / "text" / f"{one}.zarr" / "states" for one in SEGMENTS}


def test_states_are_read_back_in_the_pivots_order(place: Path) -> None:
    for pivot, order in {"en": ["c", "a", "b"], "de": ["b", "c", "a"]}.items():
        for languages in (["en", "de"], ["de", "en"]):
            found = open_states(recordings(place), languages, pivot)
            assert list(found) == languages
            for language, own in found.items():
                assert own.segments == order
                rows = [list(SEGMENTS[language]).index(segment) for segment in order]
                for read, site in (
                    (own.act(slice(None)), "act"),
                    (own.mid(slice(None)), "mid"),
                    (own.states("last"), "state"),
                    (own.states("mean"), "mean"),
                ):
                    assert read.dtype == np.float32
                    expected = store.read_rows(recordings(place)[language], site)[:, rows]
                    assert np.array_equal(read, expected)
                assert np.array_equal(own.states("mean", 1), own.states("mean")[1])
                assert np.array_equal(own.act(1), own.act(slice(None))[1])
                assert np.array_equal(own.mid(slice(1, 2))[0], own.mid(1))


def test_the_axes_count_layers_and_states_of_each_stack(place: Path) -> None:
    own = open_states(recordings(place), ["en", "de"], "en")["en"]
    axis = state_axis(own)
    translates = "encoder" in own.stack
    assert len(own.stack) == len(own.act(slice(None))) == (5 if translates else 2)
    expected = [("encoder", 3), ("decoder", 4)] if translates else [("decoder", 3)]
    pairs = [(stack, state) for stack, states in expected for state in range(states)]
    assert list(zip(axis["stack"][1], axis["stack_state"][1], strict=True)) == pairs
    assert len(axis["state"]) == len(pairs) == len(own.states("mean"))
    assert states_after(own) == [i for i, (_, state) in enumerate(pairs) if state > 0]


def test_the_tokens_of_the_recorded_segments_give_the_recorded_states(place: Path) -> None:
    from neuroglot.models.load import load

    texts = {path.stem: path for path in (place / "results").rglob("*.parquet")}
    model = load(place / "model", "cpu", "auto")
    for language, own in open_states(recordings(place), ["en", "de"], "en").items():
        tokens = own.tokens(tokens_of(place / "model", texts[language]))
        assert tokens.segment_ids == own.segments
        for pool in ("last", "mean"):
            np.testing.assert_allclose(represent(model, tokens, pool), own.states(pool), **CLOSE)


def test_what_cannot_be_compared_is_said(place: Path, tmp_path: Path) -> None:
    paths = recordings(place)
    with pytest.raises(NeuroglotError, match="states of 'fr' are not among"):
        open_states(paths, ["en", "fr"], "en")
    with pytest.raises(NeuroglotError, match="pivot 'fr'"):
        open_states(paths, ["en", "de"], "fr")
    own = open_states(paths, ["en", "de"], "en")["en"]
    (german,) = (place / "results").rglob("de.parquet")
    with pytest.raises(NeuroglotError, match=r"recorded of other tokens than .*de\.zarr"):
        own.tokens(tokens_of(place / "model", german))


def test_languages_need_two_segments_in_common(place: Path, tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(place / "model")
    texts = write_text(tmp_path, {"en": {"a": "One", "b": "Two"}, "de": {"b": "Zwei", "c": "Drei"}})
    found = {path.stem: record_states(tmp_path / "model", path) for path in texts}
    with pytest.raises(NeuroglotError, match=r"1 segment\(s\) stand in all of en, de"):
        open_states(found, ["en", "de"], "en")


def test_states_are_stored_as_float32_whatever_else_is(place: Path) -> None:
    texts = sorted((place / "results").rglob("*.parquet"))
    for path in texts:  # complete, so made from the same
        record_states(place / "model", path, store_dtype="bfloat16")
    array = np.asarray(open_states(recordings(place), ["en", "de"], "en")["en"].mid(0))
    assert (array.view(np.uint32) & 0xFFFF).any(), "more digits than bfloat16 has"
    found = store.read_completion(recordings(place)["en"], "activations")
    assert found.counts["rows"] == found.counts["segments"] == 3
    assert not (recordings(place)["en"].parent / "progress").exists()


def test_long_segments_are_cut_with_a_warning_or_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").symlink_to(place / "model")
    (path,) = write_text(tmp_path, {"en": {"a": "free and equal in dignity " * 60, "b": "Short"}})
    with pytest.raises(NeuroglotError, match=r"en\.parquet: segment a has \d+ tokens"):
        record_states(tmp_path / "model", path, "refuse")
    output = record_states(tmp_path / "model", path)
    assert "warning: 1 segments of" in capsys.readouterr().out
    data = store.open_dataset(output, "activations")
    assert data["position"].values[0] in (126, 127)  # the last that the window holds


def test_a_killed_recording_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {site: store.read_rows(recordings(place)["de"], site) for site in SITES}
    (tmp_path / "model").symlink_to(place / "model")
    path = write_text(tmp_path, {"de": SEGMENTS["de"]})[0]
    monkeypatch.setattr("neuroglot.capture.engine.shard_rows", lambda *_: 1)
    passes = count_calls(monkeypatch, Engine, "_forward", kill_at=3)
    with pytest.raises(Killed):
        record_states(tmp_path / "model", path)
    output = record_states(tmp_path / "model", path)
    assert len(passes) == 3 + 2, "two of four segments were done"
    for site in SITES:
        np.testing.assert_allclose(store.read_rows(output, site), expected[site], **CLOSE)


def test_last_tokens_are_recorded_whatever_ends_a_prefix() -> None:
    tokens = text(lengths=(2, 1, 3))
    recording = Recording((), "last token of each segment")
    assert recording.rows(tokens).tolist() == [1, 2, 5]
    everywhere = replace(tokens, ends_prefix=np.ones(6, bool))
    assert recording.rows(everywhere).tolist() == [1, 2, 5]
