"""Recording, editing and forbidding routed experts, against layers computed token by token."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import describe
from neuroglot.models.experts import Routed
from neuroglot.models.ffn import FFN, ROUTED_SITES, SITES, backbone, ffns, record
from neuroglot.models.intervene import Edit, changed, deactivated, intervened
from neuroglot.models.norms import value_vectors
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


def recorded(model: Any, sites: tuple[str, ...] = ALL_SITES) -> dict[tuple[str, int], Any]:
    values: dict[tuple[str, int], Any] = {}

    def sink(site: str, _stack: str, layer: int, value: Any) -> None:
        assert (site, layer) not in values
        values[site, layer] = value

    with torch.no_grad(), record(model, sites, sink):
        backbone(model)(**tiny_inputs(model))
    return values


def routed(model: Any) -> list[FFN]:
    return [ffn for ffn in ffns(model) if ffn.experts]


def literal_of(
    name: str, ffn: FFN, values: dict[tuple[str, int], Any], off: tuple[int, ...] = ()
) -> Literal:
    """The layer, computed from what was recorded before it."""
    assert ffn.norm_before is not None
    raw = values["state" if ffn.architecture.parallel else "mid", ffn.layer].flatten(0, 1)
    return literal(name, ffn.block, ffn.norm_before(raw), raw, mixture_of(name).config, off)


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
        assert (ffn.w_out is None) == (ffn.shared == 0)


def test_which_layers_are_routed():
    experts = {name: describe(mixture_config(name))["experts"] for name in MIXTURES}
    assert experts["qwen3_moe"] == (EXPERTS, EXPERTS)
    assert experts["qwen3_moe:some_dense"] == (0, EXPERTS, 0, EXPERTS)
    assert experts["qwen3_moe:listed"] == (0, EXPERTS, EXPERTS)
    assert experts["deepseek_v3"] == (0, EXPERTS, EXPERTS)
    assert experts["cohere2_moe:averaged"] == (0, EXPERTS)


def test_shared_neurons_are_a_layers_first():
    shared = {name: ffns(mixture_of(name))[-1].shared for name in MIXTURES}
    assert {name: count for name, count in shared.items() if count} == {
        "cohere2_moe:averaged": 2 * NEURONS,
        "cohere2_moe:sigmoid": NEURONS,
        "deepseek_v2": 2 * NEURONS,
        "deepseek_v2:groups": 2 * NEURONS,
        "deepseek_v3": 2 * NEURONS,
        "gemma4_text:experts": 24,
        "glm4_moe": 2 * NEURONS,
        "granitemoehybrid": 10,
        "qwen3_5_moe": 10,
        "qwen3_5_moe_text": 10,
        "qwen3_next": 10,
    }


def test_a_granite_hybrid_without_experts_is_dense():
    model = mixture("granitemoehybrid", num_local_experts=0)
    assert describe(model.config)["neurons"] == (10, 10)
    assert not routed(model)
    values = recorded(model, sites=SITES)
    for ffn in ffns(model):
        contribution = 0.3 * values["act", ffn.layer] @ ffn.output_matrix().T
        close(values["mid", ffn.layer] + contribution, values["state", ffn.layer + 1])


@every_mixture
def test_routes_are_those_of_a_literal_router(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, values)
        close(values["router", ffn.layer].flatten(0, 1), expected.probabilities)
        close(values["weight", ffn.layer].flatten(0, 1), expected.weights)
        chosen = values["chosen", ffn.layer]
        assert torch.equal(chosen.flatten(0, 1) > 0, expected.weights != 0)
        assert bool((chosen.sum(-1) == SLOTS).all())
        assert chosen.shape == (2, 5, EXPERTS)


@every_mixture
def test_neurons_are_those_of_literal_experts(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, values)
        close(values["act", ffn.layer].whole().flatten(0, 1), expected.act)
        close(values["gate", ffn.layer].whole().flatten(0, 1), expected.gate)
        close(values["up", ffn.layer].whole().flatten(0, 1), expected.up)
        act: Routed = values["act", ffn.layer]
        assert act.shape == (2, 5)
        assert len(act.values) == SLOTS * 10
        by_expert = expected.act[:, ffn.shared :].view(10, EXPERTS, NEURONS)
        close(act.values, by_expert[act.token, act.expert])
        close(act.weight, expected.weights[act.token, act.expert])
        assert torch.equal(act.counts, torch.bincount(act.expert, minlength=EXPERTS))


def shares(ffn: FFN, values: dict[tuple[str, int], Any]) -> Tensor:
    """What multiplies each neuron's output, [item, time, neuron]."""
    of_experts = values["weight", ffn.layer].repeat_interleave(NEURONS, -1)
    one = torch.ones(2, 5, 1)
    weight = values["act", ffn.layer].shared_weight
    of_shared = (one if weight is None else weight).expand(2, 5, ffn.shared)
    return torch.cat([of_shared, of_experts], -1)


@every_mixture
def test_act_times_share_through_the_output_matrix_is_out(name: str):
    model = mixture_of(name)
    values = recorded(model)
    for ffn in routed(model):
        expected = literal_of(name, ffn, values)
        act, out = values["act", ffn.layer].whole(), values["out", ffn.layer]
        close(shares(ffn, values).flatten(0, 1), expected.share + 0 * expected.act)
        size, matrix = act * shares(ffn, values), ffn.output_matrix()
        if ffn.experts.norms:
            parts = (slice(ffn.shared), slice(ffn.shared, None))
            both = zip(ffn.experts.norms, parts, strict=True)
            through = sum(norm(size[..., part] @ matrix[:, part].T) for norm, part in both)
        else:
            through = size @ matrix.T
        if name == "gpt_oss":
            through = through + values["weight", ffn.layer] @ ffn.experts.module.down_proj_bias
        close(through, out)
        close(out.flatten(0, 1), expected.out)
        added = ffn.norm_after(out) if ffn.norm_after else out
        state = values["mid", ffn.layer] + written_scale(name) * added
        state = state * getattr(ffn.block, "layer_scalar", 1.0)
        close(state, values["state", ffn.layer + 1])
        assert ffn.scale == written_scale(name)


def written_scale(name: str) -> float:
    """The factor of a layer's output in the model's file."""
    return {"granitemoehybrid": 0.3, "cohere2_moe:averaged": 0.5}.get(name, 1.0)


@every_mixture
def test_input_and_gate_matrices_reproduce_gate_and_up(name: str):
    model = mixture_of(name)
    if name == "gpt_oss":  # it has biases and clamps: see the literal experts
        return
    values = recorded(model)
    for ffn in routed(model):
        assert ffn.norm_before is not None
        raw = values["state" if ffn.architecture.parallel else "mid", ffn.layer]
        x = of_experts = ffn.norm_before(raw)
        if "gemma4" in name:
            of_experts = ffn.block.pre_feedforward_layernorm_2(raw)
        there, parts = shares(ffn, values) != 0, (slice(ffn.shared), slice(ffn.shared, None))

        def through(
            matrix: Tensor, x: Tensor = x, of: Tensor = of_experts, at: Any = parts
        ) -> Tensor:
            return torch.cat([x @ matrix[at[0]].T, of @ matrix[at[1]].T], -1)

        close(values["up", ffn.layer].whole(), through(ffn.input_matrix()) * there)
        f = transformers.activations.ACT2FN[describe(model.config)["activation"]]
        close(values["gate", ffn.layer].whole(), f(through(ffn.gate_matrix())) * there)


def test_value_vectors_of_gemma4_have_the_gains_of_both_norms():
    model = mixture_of("gemma4_text:experts")
    for ffn in ffns(model):
        gains = [norm.weight.detach() for norm in (*ffn.experts.norms, ffn.norm_after)]
        each = torch.cat(
            [
                gains[0][:, None].expand(-1, ffn.shared),
                gains[1][:, None].expand(-1, ffn.neurons - ffn.shared),
            ],
            1,
        )
        expected = gains[2][:, None] * each * ffn.output_matrix()
        close(torch.from_numpy(value_vectors(ffn)), expected)


@every_mixture
def test_mid_is_the_stream_with_attention_added(name: str):
    """Where a layer adds attention's output as it is."""
    model = mixture_of(name)
    values: dict[tuple[str, int], Any] = {}
    for ffn in routed(model):
        attention = getattr(ffn.block, "linear_attn", None) or getattr(ffn.block, "self_attn", None)
        if name == "granitemoehybrid" or "gemma4" in name:  # Gemma's has a norm
            continue
        added: list[Tensor] = []

        def keep(_m: Any, _a: Any, out: Any, to: list[Tensor] = added) -> None:
            to.append(out[0] if isinstance(out, tuple) else out)

        handle = attention.register_forward_hook(keep)
        values = recorded(model)
        handle.remove()
        close(values["mid", ffn.layer], values["state", ffn.layer] + added[0])


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
        if act.shared_weight is not None:
            expected = act.shared_weight.flatten(0, 1)[tokens]
            assert torch.equal(some.shared_weight[0], expected)
        assert torch.equal(some.whole()[0], act.whole().flatten(0, 1)[tokens])
        assert some.counts.sum() == len(some.token) == SLOTS * len(tokens)
        assert torch.equal(some.counts, torch.bincount(some.expert, minlength=EXPERTS))


def strongest(values: dict[tuple[str, int], Any], ffn: FFN) -> list[int]:
    """The neuron of an expert that is most active, and the shared one, if there are any."""
    size = values["act", ffn.layer].whole().abs().sum((0, 1))
    of_expert = ffn.shared + int(size[ffn.shared :].argmax())
    return [of_expert, *([int(size[: ffn.shared].argmax())] if ffn.shared else [])]


def value_vector(ffn: FFN, neuron: int) -> Tensor:
    """A neuron's column in the parameters themselves."""
    if neuron < ffn.shared:
        return ffn.w_out.weight[:, neuron]
    expert, within = divmod(neuron - ffn.shared, NEURONS)
    stored: Tensor = ffn.experts.module.down_proj[expert]
    return stored[within] if ffn.experts.module.is_transposed else stored[:, within]


@every_mixture
def test_zeroing_a_neuron_is_zeroing_its_value_vector(name: str):
    model = mixture(name)
    values, plain = recorded(model), logits(model)
    for ffn in routed(model):
        for neuron in strongest(values, ffn):
            with deactivated(model, {ffn.index: np.array([neuron])}):
                without = logits(model)
            column = value_vector(ffn, neuron)
            kept = column.detach().clone()
            assert torch.equal(ffn.output_matrix()[:, neuron], kept)
            with torch.no_grad():
                column.zero_()
                close(without, logits(model))
                column.copy_(kept)
            assert not torch.allclose(without, plain, atol=1e-6)


@pytest.mark.parametrize("site", ["act", "gate"])
@pytest.mark.parametrize("operation", ["set", "scale", "add"])
@pytest.mark.parametrize("positions", ["all", "last", "mask"])
@pytest.mark.parametrize("name", ["qwen3_moe", "qwen3_next", "cohere2_moe:sigmoid"])
def test_edits_reach_the_chosen_neurons_where_they_are_routed(
    name: str, site: Any, operation: Any, positions: Any
):
    """By items, with a value for each: as an edit of values that are written out whole."""
    model = mixture_of(name)
    values, ffn = recorded(model), ffns(model)[0]
    generator = np.random.default_rng(0)
    neurons = generator.random((2, 2, ffn.neurons)) < 0.3
    neurons[:, 1] = False
    value = generator.normal(size=(2, 2)).astype(np.float32)
    mask = torch.tensor([[True, False, False, True, True], [False, True, True, False, False]])
    where = {
        "all": torch.ones(2, 5, dtype=torch.bool),
        "last": torch.arange(5).expand(2, 5) == 4,
        "mask": mask,
    }[positions]
    before = values[site, 0].whole()
    by_item = torch.from_numpy(value[:, 0])[:, None, None]
    edited = {
        "set": by_item.expand(before.shape),
        "scale": before * by_item,
        "add": before + by_item,
    }[operation]
    there = shares(ffn, values) != 0
    at = there & where[..., None] & torch.from_numpy(neurons[:, 0])[:, None]
    expected = torch.where(at, edited, before)
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
    through = (found["act", 0].whole() * shares(ffn, values)) @ ffn.output_matrix().T
    close(through, found["out", 0])


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
@pytest.mark.parametrize("off", [(1, 4), (0, 3, 4)])
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
    layers = [ffn.layer for ffn in routed(model)]
    assert any(before["chosen", layer][..., list(off)].any() for layer in layers)
    assert torch.equal(recorded(model)["out", layers[0]], before["out", layers[0]])


def test_groups_that_are_left_too_few_experts_are_an_error():
    """Of the one group that is chosen, one expert is left, and a token passes through two."""
    model = mixture("deepseek_v2:groups", n_group=2, topk_group=1)
    experts = np.zeros((3, EXPERTS), bool)
    experts[1, [1, 2, 4, 5]] = True
    with (
        pytest.raises(NeuroglotError, match="router of layer 1 chooses within groups"),
        forbidden(model, experts),
    ):
        logits(model)


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
        (np.zeros((2, EXPERTS)), r"bool \[layer, expert\] with 4 layers of 6 experts"),
        (np.zeros((4, EXPERTS + 1), bool), r"found bool \[4, 7\]"),
        (np.arange(24).reshape(4, 6) == 0, "layer 0 is dense"),
        (np.arange(24).reshape(4, 6) // 6 == 1, "through 2 experts, and 0 of 6 would be left"),
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
