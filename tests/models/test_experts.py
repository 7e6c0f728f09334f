"""Recording, editing and forbidding routed experts, against layers computed token by token."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import describe
from neuroglot.models.experts import Routed
from neuroglot.models.ffn import FFN, ROUTED_SITES, SITES, backbone, ffns, record
from neuroglot.models.intervene import Edit, changed, deactivated, intervened
from neuroglot.models.routers import forbidden
from support.tiny_mixtures import (
    EXPERTS,
    MIXTURES,
    NEURONS,
    SLOTS,
    Literal,
    literal,
    mixture,
    mixture_config,
    mixture_of,
)
from support.tiny_models import HIDDEN, tiny_inputs, tiny_model

torch.set_num_threads(1)

every_mixture = pytest.mark.parametrize("name", MIXTURES)
ALL_SITES = (*SITES, *ROUTED_SITES)


def recorded(model: Any, inputs: dict[str, Tensor] | None = None) -> dict[tuple[str, int], Any]:
    values: dict[tuple[str, int], Any] = {}

    def sink(site: str, _stack: str, layer: int, value: Any) -> None:
        assert (site, layer) not in values
        values[site, layer] = value

    with torch.no_grad(), record(model, ALL_SITES, sink):
        backbone(model)(**(inputs or tiny_inputs(model)))
    return values


def routed(model: Any) -> list[FFN]:
    return [ffn for ffn in ffns(model) if ffn.experts]


def literal_of(
    name: str, ffn: FFN, values: dict[tuple[str, int], Any], off: tuple[int, ...] = ()
) -> Literal:
    """The layer, computed from what was recorded before it."""
    assert ffn.norm_before is not None
    x = ffn.norm_before(values["mid", ffn.layer]).flatten(0, 1)
    return literal(name, ffn.block, x, off)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-5, atol=1e-5)


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(**tiny_inputs(model)).logits
    return found


@every_mixture
def test_configuration_alone_describes_the_model(name: str):
    model = mixture_of(name)
    found, described = ffns(model), describe(model.config)
    assert described["neurons"] == tuple(ffn.neurons for ffn in found)
    assert described["experts"] == tuple(ffn.experts.count if ffn.experts else 0 for ffn in found)
    assert (described["expert_neurons"], described["slots"]) == (NEURONS, SLOTS)
    for ffn in found:
        assert ffn.output_matrix().shape == (HIDDEN, ffn.neurons)
        assert ffn.input_matrix().shape == ffn.gate_matrix().shape == (ffn.neurons, HIDDEN)
        assert (ffn.w_out is None) == (ffn.experts is not None)


def test_which_layers_are_routed():
    experts = {name: describe(mixture_config(name))["experts"] for name in MIXTURES}
    assert experts["qwen3_moe"] == (EXPERTS, EXPERTS)
    assert experts["qwen3_moe:some_dense"] == (0, EXPERTS, 0, EXPERTS)
    assert experts["qwen3_moe:listed"] == (0, EXPERTS, EXPERTS)


@every_mixture
def test_routes_are_those_of_a_literal_router(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, values)
        close(values["router", ffn.layer].flatten(0, 1), expected.probabilities)
        close(values["weight", ffn.layer].flatten(0, 1), expected.weights)
        chosen = values["chosen", ffn.layer]
        assert torch.equal(chosen.flatten(0, 1) > 0, expected.weights > 0)
        assert bool((chosen.sum(-1) == SLOTS).all())
        assert chosen.shape == (2, 5, EXPERTS)


@every_mixture
def test_neurons_of_chosen_experts_are_those_of_literal_experts(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, values)
        for site, of_literal in (
            ("gate", expected.gate),
            ("up", expected.up),
            ("act", expected.act),
        ):
            found: Routed = values[site, ffn.layer]
            whole = torch.zeros(10, EXPERTS, NEURONS, dtype=torch.float64)
            for (token, expert), neurons in of_literal.items():
                whole[token, expert] = neurons
            close(found.whole().flatten(0, 1), whole.flatten(1))
            assert found.shape == (2, 5)
            for row in range(len(found.values)):
                token, expert = int(found.token[row]), int(found.expert[row])
                close(found.values[row], of_literal[token, expert])
                close(found.weight[row], expected.weights[token, expert])


@every_mixture
def test_act_times_weight_through_the_output_matrix_is_out(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        act = values["act", ffn.layer].whole()
        weight = values["weight", ffn.layer].repeat_interleave(NEURONS, -1)
        out = values["out", ffn.layer]
        close((act * weight) @ ffn.output_matrix().T, out)
        close(out.flatten(0, 1), literal_of(name, ffn, values).out)
        close(values["mid", ffn.layer] + out, values["state", ffn.layer + 1])


@every_mixture
def test_input_and_gate_matrices_reproduce_gate_and_up(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        assert ffn.norm_before is not None
        x = ffn.norm_before(values["mid", ffn.layer])
        there = values["chosen", ffn.layer].repeat_interleave(NEURONS, -1)
        close(values["up", ffn.layer].whole(), (x @ ffn.input_matrix().T) * there)
        gate = nn.functional.silu(x @ ffn.gate_matrix().T)
        close(values["gate", ffn.layer].whole(), gate * there)


@every_mixture
def test_recording_changes_no_bit(name: str):
    model = mixture_of(name)
    before = model.config.to_dict(), ffns(model)[-1].experts.module.config
    plain = logits(model)
    with record(model, ALL_SITES, lambda *_: None):
        assert torch.equal(logits(model), plain)
    assert model.config.to_dict() == before[0]
    assert ffns(model)[-1].experts.module.config is before[1]


@every_mixture
def test_the_librarys_eager_experts_give_the_same(name: str):
    model = mixture(name)
    with record(model, ["act"], lambda *_: None):
        found = logits(model)
    model.set_experts_implementation("eager")
    close(found, logits(model))


@every_mixture
def test_rows_of_some_tokens(name: str):
    model = mixture_of(name)
    values = recorded(model)
    tokens = torch.tensor([7, 0, 3])
    for ffn in routed(model):
        act: Routed = values["act", ffn.layer]
        some = act.at(tokens)
        assert torch.equal(some.whole()[0], act.whole().flatten(0, 1)[tokens])
        assert some.counts.sum() == len(some.token) == SLOTS * len(tokens)
        assert torch.equal(some.counts, torch.bincount(some.expert, minlength=EXPERTS))


def strongest(values: dict[tuple[str, int], Any], layer: int) -> int:
    return int(values["act", layer].whole().abs().sum((0, 1)).argmax())


@every_mixture
def test_zeroing_a_neuron_is_zeroing_its_value_vector(name: str):
    model = mixture(name)
    values, plain = recorded(model), logits(model)
    for ffn in routed(model):
        neuron = strongest(values, ffn.layer)
        with deactivated(model, {ffn.index: np.array([neuron])}):
            without = logits(model)
        column = ffn.experts.module.down_proj[neuron // NEURONS, :, neuron % NEURONS]
        kept = column.detach().clone()
        with torch.no_grad():
            column.zero_()
            close(without, logits(model))
            column.copy_(kept)
        assert not torch.allclose(without, plain, atol=1e-6)


@pytest.mark.parametrize("site", ["act", "gate"])
@pytest.mark.parametrize("operation", ["set", "scale", "add"])
@pytest.mark.parametrize("positions", ["all", "last", "mask"])
def test_edits_reach_the_chosen_neurons_where_they_are_routed(
    site: Any, operation: Any, positions: Any
):
    """By items, with a value for each: as an edit of values that are written out whole."""
    model = mixture_of("qwen3_moe")
    values = recorded(model)
    generator = np.random.default_rng(0)
    neurons = generator.random((2, 2, EXPERTS * NEURONS)) < 0.3
    neurons[:, 1] = False
    value = generator.normal(size=(2, 2)).astype(np.float32)
    mask = torch.tensor([[True, False, False, True, True], [False, True, True, False, False]])
    where = {
        "all": torch.ones(2, 5, dtype=torch.bool),
        "last": torch.arange(5).expand(2, 5) == 4,
        "mask": mask,
    }[positions]
    before: Routed = values[site, 0]
    by_item = torch.from_numpy(value[:, 0])[:, None, None]
    edited = {
        "set": by_item.expand(2, 5, EXPERTS * NEURONS),
        "scale": before.whole() * by_item,
        "add": before.whole() + by_item,
    }[operation]
    there = values["chosen", 0].repeat_interleave(NEURONS, -1) > 0
    at = there & where[..., None] & torch.from_numpy(neurons[:, 0])[:, None]
    expected = torch.where(at, edited, before.whole())
    with intervened(
        model, [Edit(neurons, operation, value, site)], mask if positions == "mask" else positions
    ):
        found = recorded(model)
    close(found[site, 0].whole(), expected)
    untouched = {"act": ("gate", "up"), "gate": ("up",)}[site]
    for other in untouched:
        assert torch.equal(found[other, 0].values, values[other, 0].values)
    if site == "gate":
        close(found["act", 0].whole(), expected * values["up", 0].whole())
    weight = values["weight", 0].repeat_interleave(NEURONS, -1)
    close((found["act", 0].whole() * weight) @ ffns(model)[0].output_matrix().T, found["out", 0])


def test_edits_of_all_items_alike_and_of_none():
    model = mixture_of("qwen3_moe:some_dense")
    plain = logits(model)
    with intervened(model, [Edit(np.zeros((4, EXPERTS * NEURONS), bool))]):
        assert torch.equal(logits(model), plain)
    neurons = np.zeros((4, EXPERTS * NEURONS), bool)
    neurons[:, ::3] = True
    neurons[[0, 2], 24:] = False  # a dense layer has 24 neurons
    with intervened(model, [Edit(neurons, "scale", 1.0)]):
        assert torch.equal(logits(model), plain)
    with intervened(model, [Edit(neurons)]):
        found = recorded(model)
        silenced = logits(model)
    for ffn in ffns(model):
        act = found["act", ffn.layer]
        act = act.whole() if isinstance(act, Routed) else act
        assert not act[..., neurons[ffn.index, : ffn.neurons]].any()
    assert not torch.allclose(silenced, plain, atol=1e-6)


def test_edits_of_another_number_of_items_are_refused():
    model = mixture_of("qwen3_moe")
    neurons = np.ones((3, 2, EXPERTS * NEURONS), bool)
    with (
        pytest.raises(NeuroglotError, match="for 3 items, and the batch has 2"),
        intervened(model, [Edit(neurons)]),
    ):
        logits(model)


def test_blocks_can_be_nested_and_record_sees_what_comes_before_it():
    model = mixture_of("olmoe")
    values = recorded(model)
    doubled = lambda routed: routed.values * 2  # noqa: E731
    added = lambda routed: routed.values + 1  # noqa: E731
    with changed(model, {0: doubled}):
        within = recorded(model)
        with changed(model, {0: added}):
            nested = recorded(model)
    assert torch.equal(within["act", 0].values, values["act", 0].values * 2)
    assert torch.equal(nested["act", 0].values, values["act", 0].values * 2 + 1)
    outside: list[Any] = []
    with record(model, ["act"], lambda *a: outside.append(a[3]), [0]), changed(model, {0: added}):
        logits(model)
    assert torch.equal(outside[0].values, values["act", 0].values)


def test_looks_are_taken_away_when_a_pass_fails():
    model = mixture("mixtral")
    plain, config = logits(model), ffns(model)[0].experts.module.config

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), record(model, ["up"], fail):
        logits(model)
    assert ffns(model)[0].experts.module.config is config
    assert torch.equal(logits(model), plain)


@every_mixture
@pytest.mark.parametrize("off", [(1, 3), (0, 2, 4)])
def test_forbidden_experts_are_replaced_by_the_next(name: str, off: tuple[int, ...]):
    model = mixture_of(name)
    before = recorded(model)
    experts = np.zeros((len(ffns(model)), EXPERTS), bool)
    for ffn in routed(model):
        experts[ffn.index, list(off)] = True
    with forbidden(model, experts):
        found = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, found, off)
        close(found["weight", ffn.layer].flatten(0, 1), expected.weights)
        close(found["out", ffn.layer].flatten(0, 1), expected.out)
        assert not found["chosen", ffn.layer][..., list(off)].any()
    first = routed(model)[0].layer
    assert before["chosen", first][..., list(off)].any()
    assert torch.equal(recorded(model)["out", first], before["out", first])


def test_nothing_forbidden_changes_no_bit():
    model = mixture_of("olmoe")
    plain = logits(model)
    with forbidden(model, np.zeros((2, EXPERTS), bool)):
        assert torch.equal(logits(model), plain)


def test_nested_blocks_forbid_both():
    model = mixture_of("olmoe")
    one, other = np.zeros((2, 2, EXPERTS), bool)
    one[0, 1] = other[0, 3] = True
    with forbidden(model, one), forbidden(model, other):
        nested = logits(model)
    with forbidden(model, one | other):
        assert torch.equal(logits(model), nested)


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        (np.zeros((2, EXPERTS)), r"bool \[layer, expert\] with 4 layers of 5 experts"),
        (np.zeros((4, EXPERTS + 1), bool), r"found bool \[4, 6\]"),
        (np.arange(20).reshape(4, 5) == 0, "layer 0 is dense"),
        (np.arange(20).reshape(4, 5) // 5 == 1, "through 2 experts, and 0 of 5 would be left"),
    ],
)
def test_wrong_experts_to_forbid_are_refused(experts: Any, message: str):
    with (
        pytest.raises(NeuroglotError, match=message),
        forbidden(mixture_of("qwen3_moe:some_dense"), experts),
    ):
        pass


def test_experts_spread_over_processes_are_refused():
    model = mixture("olmoe")
    ffns(model)[0].experts.module._is_expert_parallel = True
    with (
        pytest.raises(NeuroglotError, match="without expert parallelism"),
        record(model, ["act"], lambda *_: None),
    ):
        logits(model)


def test_routes_of_dense_models_are_refused():
    with (
        pytest.raises(NeuroglotError, match="site 'router' exists in mixtures of experts only"),
        record(tiny_model("llama"), ["router"], print),
    ):
        pass
