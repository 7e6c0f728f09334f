"""Statistics of mixtures of experts: equal to those of every segment read alone, token by token."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from neuroglot import store
from neuroglot.capture.activity import Activity
from neuroglot.capture.blocks import Recording
from neuroglot.capture.collectors import (
    firing_collectors,
    reached_collector,
    routing_collectors,
)
from neuroglot.capture.engine import Engine
from neuroglot.capture.record import Wanted
from neuroglot.capture.record import record as record_text
from neuroglot.capture.recorded import open_recorded
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    FiringGroup,
    Group,
    RolesGroup,
    RoutingGroup,
    RowsGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card
from neuroglot.models.experts import Routed
from neuroglot.models.ffn import backbone, ffns, record
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import Tokenising, Tokens, read_tokens
from support.random_tokens import random_tokens
from support.tiny_checkpoints import TEXTS, write_checkpoint
from support.tiny_mixtures import EXPERTS, MIXTURES, NEURONS, SLOTS, mixture, mixture_of

LENGTHS = (5, 9, 3, 12, 7, 4)
RECORDINGS = {
    "firing": Recording((), "every token", (*firing_collectors(gated=True), reached_collector())),
    "routing": Recording((), "every token", tuple(routing_collectors(SLOTS))),
}

Found = dict[str, dict[str, np.ndarray]]


def text(drawn: int = 0) -> Tokens:
    return random_tokens(LENGTHS, after=1, places=np.arange(len(LENGTHS)), drawn=drawn)


def streamed(model: Any, tokens: Tokens, folder: Path, tokens_per_batch: int = 64) -> Found:
    for name in RECORDINGS:
        store.begin(folder / name, "activations", {"test": 1}, resume=True)
    engine = Engine(model, ExecutionSettings(batch_tokens=tokens_per_batch))
    return engine.run_together(tokens, RECORDINGS, folder)


def literal(model: Any, tokens: Tokens) -> list[dict[tuple[str, int], np.ndarray]]:
    """By segment, which is read alone: values of each site and layer, [token, width]."""
    by_segment = []
    text_of = slice(len(tokens.before), -len(tokens.after) or None)  # without special tokens
    for sequence in tokens.sequences():
        seen: dict[tuple[str, int], np.ndarray] = {}

        def sink(site: str, _stack: str, layer: int, value: Any, seen: Any = seen) -> None:
            whole = value.whole() if isinstance(value, Routed) else value
            seen[site, layer] = whole[0, text_of].numpy().copy()

        sites = ("act", "gate", "chosen", "weight", "router")
        with torch.inference_mode(), record(model, sites, sink):
            backbone(model)(torch.from_numpy(sequence)[None])
        by_segment.append(seen)
    return by_segment


def of_router(router: np.ndarray) -> dict[str, np.ndarray]:
    """Entropy in bits, largest probability and margin of the last choice, [token]."""
    ranked = -np.sort(-router.astype(np.float64), axis=1)
    return {
        "router_entropy_sum": -(ranked * np.log2(ranked)).sum(1),
        "router_top_sum": ranked[:, 0],
        "router_margin_sum": ranked[:, SLOTS - 1] - ranked[:, SLOTS],
    }


def expected(model: Any, tokens: Tokens) -> dict[str, list[list[np.ndarray]]]:
    """Sums of every statistic by layer and segment."""
    by_segment = literal(model, tokens)
    sums: dict[str, list[list[np.ndarray]]] = {}
    for ffn in ffns(model):
        of_layer: dict[str, list[np.ndarray]] = {
            f"{site}_positive": [(seen[site, ffn.layer] > 0).sum(0) for seen in by_segment]
            for site in ("act", "gate")
        }
        choices = [seen.get(("chosen", ffn.layer)) for seen in by_segment]
        of_layer["act_reached"] = [
            reached(choice, *seen["act", ffn.layer].shape, ffn.shared)
            for choice, seen in zip(choices, by_segment, strict=True)
        ]
        if ffn.experts:
            for name, site in (("chosen_count", "chosen"), ("weight_sum", "weight")):
                of_layer[name] = [seen[site, ffn.layer].sum(0) for seen in by_segment]
            routers = [seen["router", ffn.layer] for seen in by_segment]
            of_layer["router_sum"] = [router.sum(0) for router in routers]
            for name in of_router(routers[0]):
                of_layer[name] = [of_router(router)[name].sum(0) for router in routers]
        for name, values in of_layer.items():
            sums.setdefault(name, []).append(values)
    return sums


def reached(chosen: np.ndarray | None, tokens: int, width: int, shared: int) -> np.ndarray:
    """Tokens that pass through each neuron; the first ``shared`` of a layer are of no expert."""
    counts = np.full(width, tokens)
    if chosen is not None:
        neurons = (width - shared) // chosen.shape[1]
        for expert, first in enumerate(range(shared, width, neurons)):
            counts[first : first + neurons] = sum(bool(row[expert]) for row in chosen)
    return counts


def within(values: np.ndarray, width: tuple[int, ...]) -> np.ndarray:
    return values[: width[0]] if width else values


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("tokens_per_batch", [1, 24, 64])
def test_streamed_sums_are_those_of_segments_read_alone(
    name: str, tokens_per_batch: int, tmp_path: Path
):
    model, tokens = mixture_of(name), text()
    found = streamed(model, tokens, tmp_path / "s.zarr", tokens_per_batch)
    together = found["firing"] | found["routing"]
    sums = expected(model, tokens)
    assert {key.removesuffix("_by_fold") for key in together} == set(sums)
    for statistic, layers in sums.items():
        for layer, by_segment in enumerate(layers):
            width = by_segment[0].shape
            total = within(together[statistic][layer], width)
            np.testing.assert_allclose(total, sum(by_segment), rtol=1e-5, atol=1e-6)
            for fold, of_fold in enumerate(by_segment):  # six segments, each a fold of its own
                by_fold = within(together[f"{statistic}_by_fold"][layer, fold], width)
                np.testing.assert_allclose(by_fold, of_fold, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["olmoe", "qwen3_moe:listed"])
def test_sums_by_segment_of_a_parallel_text_are_written(name: str, tmp_path: Path):
    model, tokens = mixture_of(name), text(drawn=len(LENGTHS))
    streamed(model, tokens, tmp_path / "s.zarr", 24)
    for statistic, layers in expected(model, tokens).items():
        group = "firing" if statistic.endswith(("positive", "reached")) else "routing"
        found = store.read_sums(tmp_path / "s.zarr" / group, f"{statistic}_by_segment")
        assert found.shape[:2] == (len(layers), len(LENGTHS))
        for layer, by_segment in enumerate(layers):
            for segment, of_segment in enumerate(by_segment):
                values = within(found[layer, segment], of_segment.shape)
                np.testing.assert_allclose(values, of_segment, rtol=1e-5, atol=1e-6)


def test_choices_add_up_to_the_slots_of_every_token(tmp_path: Path):
    tokens = text()
    found = streamed(mixture_of("olmoe"), tokens, tmp_path / "s.zarr")["routing"]
    assert (found["chosen_count"].sum(1) == SLOTS * len(tokens.token_id)).all()
    np.testing.assert_allclose(found["router_sum"].sum(1), len(tokens.token_id), rtol=1e-5)
    assert found["chosen_count"].shape == (2, EXPERTS)


def test_a_neuron_fires_only_where_its_expert_is_chosen(tmp_path: Path):
    found = streamed(mixture_of("mixtral"), text(), tmp_path / "s.zarr")
    fired = found["firing"]["act_positive"].reshape(2, EXPERTS, NEURONS)
    assert (fired <= found["routing"]["chosen_count"][..., None]).all()


def test_memory_does_not_grow_with_the_text(tmp_path: Path):
    """What is kept between batches are sums; no tensor in them has a dimension of tokens."""
    model, tokens = mixture("olmoe"), text()
    longer = replace(
        tokens,
        **{
            name: np.tile(getattr(tokens, name), 3)
            for name in ("token_id", "position", "end", "ends_prefix")
        },
        segment=np.concatenate([tokens.segment + 6 * i for i in range(3)]),
        segment_ids=[f"s{i}" for i in range(18)],
    )
    short = streamed(model, tokens, tmp_path / "a.zarr")
    long = streamed(model, longer, tmp_path / "b.zarr")
    for group, sums in short.items():
        for name, values in sums.items():
            assert long[group][name].shape == values.shape
            if not name.endswith("_by_fold"):
                np.testing.assert_allclose(long[group][name], 3 * values, rtol=1e-5)


# --- a checkpoint, its text and the store ---------------------------------------------------


class Place:
    """A checkpoint of a mixture and a parallel text."""

    def __init__(self, folder: Path, model_type: str) -> None:
        self.folder, self.model = folder, folder / "models" / "one"
        write_checkpoint(folder / "checkpoint", model_type)
        normalise(ModelSettings(source=str(folder / "checkpoint")), self.model)
        segments = [Segment(f"s{i}", text) for i, text in enumerate(TEXTS)]
        text_file = folder / "corpora" / "plain" / "en.parquet"
        write_parquet(Reading(tuple(segments), (), tuple(range(7)), 7), text_file)
        self.tokens = folder / "tokens" / "one" / "plain" / "en.zarr"
        chosen = Tokenising(prefix="word", long_segments="truncate")
        write_tokens(self.model, text_file, self.tokens, chosen)

    def record(self, *groups: Group) -> Path:
        path = self.folder / "results" / "activations" / "one" / "plain" / "en.zarr"
        wanted = [Wanted(self.tokens, "tokens", path, dict.fromkeys(groups, "1"))]
        record_text(self.model, wanted, CaptureSettings(device="cpu"), ExecutionSettings())
        return path


@pytest.mark.parametrize("model_type", ["deepseek_v3", "gpt_oss", "mixtral", "olmoe", "qwen3_moe"])
def test_a_mixtures_groups_are_recorded_and_opened(model_type: str, tmp_path: Path):
    place = Place(tmp_path, model_type)
    card, model = read_card(place.model), load(place.model, "cpu")
    dense = model_type in ("deepseek_v3", "qwen3_moe")  # their first layer
    assert card.experts == ((0, 4) if dense else (4, 4))
    assert (card.expert_neurons, card.slots) == (12, 2)
    assert card.routed == ((1,) if dense else (0, 1))
    path = place.record(FiringGroup(), RoutingGroup())
    tokens = read_tokens(place.tokens)
    sums = expected(model, tokens)
    firing, routing = (open_recorded([path / name])[0] for name in ("firing", "routing"))
    assert routing.data["layer"].values.tolist() == [*card.routed]
    assert routing.data["chosen_count"].dims == ("layer", "expert")
    assert routing.data["expert"].values.tolist() == [0, 1, 2, 3]
    assert routing.data["router_top_sum"].dims == ("layer",)
    assert routing.summed_rows() == len(tokens.token_id)
    for statistic, layers in sums.items():
        recorded = firing if statistic.endswith(("positive", "reached")) else routing
        with xr.open_zarr(recorded.path) as stored:
            assert stored[f"{statistic}_by_segment"].attrs["long_name"].endswith("of each segment")
        for layer, by_segment in enumerate(layers):
            total = within(recorded.total(statistic).values[layer], by_segment[0].shape)
            np.testing.assert_allclose(total, sum(by_segment), rtol=1e-4)
            by_fold = recorded.by_fold(statistic, layer)
            np.testing.assert_allclose(by_fold, np.stack(by_segment), rtol=1e-4)


@pytest.mark.parametrize("name", MIXTURES)
def test_rows_at_last_tokens_are_those_of_segments_read_alone(name: str):
    """Rows of act are what multiplies value vectors; peaks are over all tokens of a segment."""
    model, tokens = mixture_of(name), text()
    last = "last token of each segment"
    recording = Recording(("act", "gate", "peak"), last, (), "float32", peak_of="gate")
    found = Engine(model, ExecutionSettings(batch_tokens=24)).rows(tokens, recording)
    for row, sequence in enumerate(tokens.sequences()):
        seen: dict[tuple[str, int], Any] = {}

        def sink(site: str, _stack: str, layer: int, value: Any, seen: Any = seen) -> None:
            seen[site, layer] = value

        with torch.inference_mode(), record(model, ("act", "gate", "weight"), sink):
            backbone(model)(torch.from_numpy(sequence)[None])
        for ffn in ffns(model):
            act, gate = (seen[site, ffn.layer] for site in ("act", "gate"))
            if ffn.experts:
                of_shared = 1.0 if act.shared_weight is None else act.shared_weight
                weight = seen["weight", ffn.layer].repeat_interleave(NEURONS, -1)
                share = torch.cat([of_shared * torch.ones(*act.shape, ffn.shared), weight], -1)
                act, gate = act.whole() * share, gate.whole()
            width = slice(ffn.neurons)
            expected = {"act": act[0, -2], "gate": gate[0, -2], "peak": gate[0, 1:-1].amax(0)}
            for site, values in expected.items():
                of_row = found[site][ffn.index, row, width]
                np.testing.assert_allclose(of_row, values, rtol=1e-4, atol=1e-5)


def test_rows_of_every_token_of_mixtures_are_refused(tmp_path: Path):
    place = Place(tmp_path, "olmoe")
    for group in (RowsGroup(), RolesGroup(rule="nonzero", threshold=0.0)):
        message = f"one is a mixture of experts, of which {group.name} of plain cannot be recorded"
        with pytest.raises(NeuroglotError, match=message):
            place.record(group)


def test_routing_of_dense_models_is_refused(tmp_path: Path):
    with pytest.raises(NeuroglotError, match="one is no mixture of experts"):
        Place(tmp_path, "llama").record(RoutingGroup())


@pytest.mark.parametrize("name", ["qwen3_moe:some_dense", "qwen3_next", "deepseek_v3"])
@pytest.mark.parametrize("site", ["act", "gate"])
def test_activity_is_that_of_every_token(name: str, site: Any):
    """Firing, and |act| times what multiplies the output, token by token of texts of two groups."""
    model = mixture_of(name)
    ids = torch.randint(3, 39, (3, 6), generator=torch.Generator().manual_seed(0))
    real = torch.arange(6) < torch.tensor([[6], [3], [5]])
    real[:, 0] = False  # a special token
    values: dict[tuple[str, int], Any] = {}

    def sink(of_site: str, _stack: str, layer: int, value: Any) -> None:
        values[of_site, layer] = value

    activity = Activity(model, site, np.array([1, 0, 1, 1]))
    with torch.inference_mode(), record(model, ("act", "gate", "weight"), sink):
        model(ids)
    with torch.inference_mode(), activity.reading(model, np.array([0, 1, 3]), real):
        model(ids)
    assert activity.tokens.tolist() == [2, 9]
    fired, contribution = np.zeros_like(activity.magnitude), np.zeros_like(activity.magnitude)
    for ffn in ffns(model):
        act, of_site = values["act", ffn.layer], values[site, ffn.layer]
        share = torch.ones(3, 6, ffn.neurons)
        if ffn.experts:
            weight = values["weight", ffn.layer].repeat_interleave(NEURONS, -1)
            of_shared = 1.0 if act.shared_weight is None else act.shared_weight
            share = torch.cat([of_shared * torch.ones(3, 6, ffn.shared), weight], -1)
            act, of_site = act.whole(), of_site.whole()
        norms = torch.linalg.vector_norm(ffn.output_matrix().double(), dim=0).numpy()
        for text, group in enumerate((1, 0, 1)):
            for token in np.flatnonzero(real[text]):
                place = group, ffn.index, slice(ffn.neurons)
                fired[place] += (of_site[text, token] > 0).numpy()
                size = (act[text, token].abs() * share[text, token]).double().numpy()
                contribution[place] += size * norms
    tokens = activity.tokens[:, None, None]
    np.testing.assert_allclose(activity.frequency(), fired / tokens)
    np.testing.assert_allclose(activity.contribution(), contribution / tokens, rtol=1e-5)
