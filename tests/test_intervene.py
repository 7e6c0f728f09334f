"""Deactivated neurons: zero everywhere and nowhere else, in every architecture."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import changed, deactivated
from tiny_models import NAMES, NEURONS, tiny_inputs, tiny_model

torch.set_num_threads(1)

model_of = cache(tiny_model)  # tests leave the model as they found it
every_architecture = pytest.mark.parametrize("name", NAMES)


def logits(model: Any, **changes: Any) -> Tensor:
    with torch.no_grad():
        return model(**{**tiny_inputs(model), **changes}).logits


def hooks_of(model: torch.nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def some_neurons(model: Any, seed: int = 0) -> dict[int, np.ndarray]:
    """A third of every layer's neurons but the first's."""
    generator = np.random.default_rng(seed)
    return {
        ffn.index: generator.choice(ffn.neurons, ffn.neurons // 3, replace=False)
        for ffn in ffns(model)[1:]
    }


def recorded(model: Any, site: str = "act") -> dict[tuple[str, int], Tensor]:
    found: dict[tuple[str, int], Tensor] = {}

    def sink(_site: str, stack: str, layer: int, value: Tensor) -> None:
        found[stack, layer] = value.clone()

    with record(model, {site}, sink):
        logits(model)
    return found


def without_columns(name: str, neurons: dict[int, np.ndarray]) -> Any:
    """Another model, whose output projections have zeros for these neurons."""
    model = tiny_model(name)
    for ffn in ffns(model):
        ffn.output_matrix()[:, neurons.get(ffn.index, np.zeros(0, int))] = 0
    return model


@every_architecture
def test_equal_to_a_model_with_zeros_in_its_output_projections(name: str):
    model = model_of(name)
    neurons, whole = some_neurons(model), logits(model)
    expected = logits(without_columns(name, neurons))
    with deactivated(model, neurons):
        found = logits(model)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found - whole).abs().max() > 1e-3
    assert torch.equal(logits(model), whole)


@every_architecture
def test_zero_at_every_position_and_nothing_else_of_the_layer_changes(name: str):
    model = model_of(name)
    chosen = np.array([5, 2])
    for ffn in (ffns(model)[0], ffns(model)[-1]):
        before = recorded(model)[ffn.stack, ffn.layer]
        with deactivated(model, {ffn.index: chosen}):
            after = recorded(model)[ffn.stack, ffn.layer]
        assert (before[..., chosen] != 0).any()
        assert (after[..., chosen] == 0).all()
        others = np.setdiff1d(np.arange(ffn.neurons), chosen)
        assert torch.equal(after[..., others], before[..., others])


@every_architecture
def test_what_other_modules_compute_is_not_written_to(name: str):
    model = model_of(name)
    ffn = ffns(model)[0]
    kept: list[tuple[Tensor, Tensor]] = []
    sites = {"act", "gate"} if ffn.gated else {"act"}
    with (
        record(model, sites, lambda *found: kept.append((found[3], found[3].clone())), [0]),
        deactivated(model, {0: np.arange(ffn.neurons)}),
    ):
        logits(model)
    assert kept
    assert all(torch.equal(live, copy) for live, copy in kept)


@every_architecture
def test_without_neurons_nothing_is_touched(name: str):
    model = model_of(name)
    whole = logits(model)
    for nothing in ({}, {0: np.zeros(0, int), 1: np.zeros(0)}):
        with deactivated(model, nothing):
            assert hooks_of(model) == 0
            assert torch.equal(logits(model), whole)


@every_architecture
def test_nested_blocks_add_up(name: str):
    model = model_of(name)
    both = {0: np.array([1, 3]), 1: np.array([0, 2])}
    with deactivated(model, both):
        expected = logits(model)
    with deactivated(model, {0: np.array([1]), 1: np.array([0, 2])}):
        with deactivated(model, {0: np.array([3])}):
            found = logits(model)
        inner_only = logits(model)
    assert torch.equal(found, expected)
    assert not torch.equal(inner_only, expected)


@pytest.mark.parametrize("name", [n for n in NAMES if not tiny_model(n).config.is_encoder_decoder])
def test_with_a_cache_as_without(name: str):
    model = model_of(name)
    neurons = some_neurons(model)
    ids = tiny_inputs(model, time=8)["input_ids"]
    with deactivated(model, neurons), torch.no_grad():
        whole = model(input_ids=ids).logits
        start = model(input_ids=ids[:, :5], use_cache=True)
        rest = model(input_ids=ids[:, 5:6], past_key_values=start.past_key_values, use_cache=True)
    torch.testing.assert_close(start.logits, whole[:, :5], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rest.logits[:, 0], whole[:, 5], rtol=1e-4, atol=1e-4)


def test_recording_sees_the_change_only_if_it_was_entered_inside():
    model = model_of("llama")
    original = recorded(model)
    outside: dict[tuple[str, int], Tensor] = {}

    def sink(_site: str, stack: str, layer: int, value: Tensor) -> None:
        outside[stack, layer] = value.clone()

    with record(model, {"act"}, sink), deactivated(model, {0: np.arange(NEURONS)}):
        logits(model)
    with deactivated(model, {0: np.arange(NEURONS)}):
        inside = recorded(model)
    assert torch.equal(outside["decoder", 0], original["decoder", 0])
    assert (inside["decoder", 0] == 0).all()


def test_a_layer_of_zeros_leaves_the_output_bias():
    model = model_of("gpt2")
    with deactivated(model, {0: np.arange(NEURONS)}):
        found = recorded(model, "out")["decoder", 0]
    torch.testing.assert_close(found, ffns(model)[0].output_bias().expand_as(found))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_what_is_not_finite_becomes_zero_too(value: float):
    model = model_of("llama")
    whole = {1: np.array([4])}
    with deactivated(model, whole):
        expected = logits(model)

    def spoil(act: Tensor) -> Tensor:
        return act.index_fill(-1, torch.tensor([4]), value)

    with changed(model, {1: spoil}), deactivated(model, whole):
        assert torch.equal(logits(model), expected)


@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon", "phi3", "opt", "t5"])
def test_any_change_replaces_the_activations(name: str):
    model = model_of(name)
    original = recorded(model)
    with changed(model, {0: lambda act: 2 * act, 1: lambda act: act + 1}):
        found = recorded(model)
    stack = ffns(model)[0].stack
    torch.testing.assert_close(found[stack, 0], 2 * original[stack, 0])
    assert hooks_of(model) == 0


def test_restored_after_an_exception():
    model = model_of("llama")
    with pytest.raises(KeyError, match="mine"), deactivated(model, {0: np.array([1])}):
        raise KeyError("mine")
    assert hooks_of(model) == 0


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({2: np.array([0])}, "unknown layer 2; the model has layers 0 to 1"),
        ({-1: np.array([0])}, "unknown layer -1"),
        ({0: np.array([3, NEURONS])}, f"unknown neuron {NEURONS} of layer 0; .* 0 to 23"),
        ({0: np.array([-1])}, "unknown neuron -1"),
        ({0: np.array([True, False])}, "integer indices; found bool"),
        ({0: np.array([[1]])}, r"integer indices; found int64 \[1, 1\]"),
    ],
)
def test_refuses_neurons_that_do_not_exist(neurons: dict[int, np.ndarray], message: str):
    model = model_of("llama")
    with pytest.raises(NeuroglotError, match=message), deactivated(model, neurons):
        pytest.fail("was entered")
    assert hooks_of(model) == 0


def test_refuses_a_forward_pass_that_bypasses_the_output_projection():
    model = tiny_model("gpt2")
    mlp = ffns(model)[0].block.mlp
    mlp.forward = lambda x: mlp.c_proj.forward(mlp.act(mlp.c_fc(x)))  # as a fused kernel would
    with (
        pytest.raises(NeuroglotError, match="never reached"),
        deactivated(model, {0: np.array([1])}),
    ):
        logits(model)
