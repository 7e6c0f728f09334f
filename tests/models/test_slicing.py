"""Sliced weights compute what deactivated neurons compute, and everything comes back."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuroglot.capture.generation import generate
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import deactivated
from neuroglot.models.slicing import parameters_saved, sliced
from support.tiny_models import CAUSAL, HIDDEN, NAMES, NEURONS, tiny_inputs, tiny_model

torch.set_num_threads(1)

model_of = cache(tiny_model)  # tests leave the model as they found it
every_architecture = pytest.mark.parametrize("name", NAMES)


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(**tiny_inputs(model)).logits


def some(model: Any, seed: int = 0) -> list[np.ndarray]:
    """Neurons to keep, in no order: none, all, then other numbers by layer."""
    generator = np.random.default_rng(seed)
    return [
        generator.permutation(ffn.neurons)[: [0, ffn.neurons][ffn.index]]
        if ffn.index < 2
        else generator.permutation(ffn.neurons)[: 7 * ffn.index % ffn.neurons]
        for ffn in ffns(model)
    ]


def parts(model: Any, seed: int = 1) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.permutation(f.neurons)[: 5 + 3 * f.index] for f in ffns(model)]


def others(model: Any, keep: list[np.ndarray]) -> dict[int, np.ndarray]:
    return {f.index: np.setdiff1d(np.arange(f.neurons), keep[f.index]) for f in ffns(model)}


def state(model: nn.Module) -> dict[str, tuple[int, Tensor]]:
    return {
        f"{name}.{key}": (id(parameter), parameter.detach().clone())
        for name, module in model.named_modules()
        for key, parameter in module._parameters.items()
        if parameter is not None
    }


def sizes(model: nn.Module) -> list[tuple[str, str, int]]:
    return [
        (name, key, getattr(module, key))
        for name, module in model.named_modules()
        for key in ("in_features", "out_features", "nf", "nx")
        if hasattr(module, key)
    ]


@every_architecture
@pytest.mark.parametrize("choose", [some, parts])
def test_equal_to_deactivating_all_other_neurons(name: str, choose: Any):
    model = model_of(name)
    keep = choose(model)
    before, lengths = state(model), sizes(model)
    with deactivated(model, others(model, keep)):
        expected = logits(model)
    with sliced(model, keep):
        found = logits(model)
        assert sizes(model) != lengths
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    assert (found - logits(model)).abs().max() > 1e-3
    after = state(model)
    assert sizes(model) == lengths
    assert list(after) == list(before)
    assert all(after[key][0] == before[key][0] for key in before)
    assert all(torch.equal(after[key][1], before[key][1]) for key in before)


@every_architecture
def test_with_all_neurons_nothing_changes(name: str):
    model = model_of(name)
    whole = logits(model)
    keep = [np.arange(ffn.neurons) for ffn in ffns(model)]
    with sliced(model, keep):
        assert torch.equal(logits(model), whole)
    assert parameters_saved(model, keep).ffn == 0
    assert parameters_saved(model, keep).all == 0


@every_architecture
def test_the_forward_pass_is_smaller_and_its_weights_contiguous(name: str):
    model = model_of(name)
    keep = parts(model)
    widths: dict[int, int] = {}
    first = {ffn.stack: ffn.index for ffn in reversed(ffns(model))}

    def sink(_site: str, stack: str, layer: int, value: Tensor) -> None:
        widths[first[stack] + layer] = value.shape[-1]

    with sliced(model, keep), record(model, {"act"}, sink):
        logits(model)
        for ffn in ffns(model):
            for module in (ffn.w_in, ffn.w_gate or ffn.w_in, ffn.w_out):
                assert module.weight.is_contiguous()
                assert isinstance(module.weight, nn.Parameter)
                assert not module.weight.is_inference()
    assert widths == {layer: len(indices) for layer, indices in enumerate(keep)}


@every_architecture
def test_parameters_saved_are_those_missing_inside_the_block(name: str):
    model = model_of(name)
    keep = some(model)

    def count() -> tuple[int, int]:
        projections = {
            id(parameter): parameter.numel()
            for ffn in ffns(model)
            for module in (ffn.w_in, ffn.w_gate or ffn.w_in, ffn.w_out)
            for parameter in module.parameters()
        }
        return sum(projections.values()), sum(p.numel() for p in model.parameters())

    whole = count()
    with sliced(model, keep):
        left = count()
    saved = parameters_saved(model, keep)
    assert saved.ffn == pytest.approx(1 - left[0] / whole[0])
    assert saved.all == pytest.approx(1 - left[1] / whole[1])


def test_parameters_saved_by_hand():
    model = model_of("gpt2")
    saved = parameters_saved(model, [np.arange(NEURONS), np.arange(NEURONS - 6)])
    ffn = 2 * (2 * HIDDEN * NEURONS + NEURONS + HIDDEN)
    vocabulary, positions, attention, norms = 40 * HIDDEN, 64 * HIDDEN, 4, 5 * 2 * HIDDEN
    everything = ffn + vocabulary + positions + norms + 2 * attention * (HIDDEN * HIDDEN + HIDDEN)
    assert saved.ffn == pytest.approx(6 * (2 * HIDDEN + 1) / ffn)
    assert saved.all == pytest.approx(6 * (2 * HIDDEN + 1) / everything)


@pytest.mark.parametrize("name", CAUSAL)
def test_generates_with_a_cache_what_deactivation_generates(name: str):
    model = model_of(name)
    keep = parts(model)
    with deactivated(model, others(model, keep)):
        expected = generate(model, [[5, 6, 7]], 8)
    with sliced(model, keep):
        assert generate(model, [[5, 6, 7]], 8) == expected


class Subclass(nn.Linear):
    """A Linear with another forward pass, as libraries have them."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clone())


def test_subclasses_of_linear_stay_what_they_are():
    model = tiny_model("llama")
    down = ffns(model)[0].w_out
    down.__class__ = Subclass
    keep = parts(model)
    with deactivated(model, others(model, keep)):
        expected = logits(model)
    with sliced(model, keep):
        torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)
        assert down.in_features == len(keep[0])
    assert type(down) is Subclass


@pytest.mark.parametrize("tied", ["module", "parameter"])
def test_layers_that_share_weights(tied: str):
    model = tiny_model("gpt2")
    first, second = (ffn.block for ffn in ffns(model))
    if tied == "module":
        second.mlp = first.mlp
    else:
        for part in ("c_fc", "c_proj"):
            getattr(second.mlp, part).weight = getattr(first.mlp, part).weight
    kept = np.array([9, 3, 4, 20])
    with deactivated(model, others(model, [kept, kept])):
        expected = logits(model)
    weights = [ffn.w_in.weight for ffn in ffns(model)]
    with sliced(model, [kept, kept]):
        torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)
        inside = [ffn.w_in.weight for ffn in ffns(model)]
        assert inside[0] is inside[1]
        left = sum(parameter.numel() for parameter in model.parameters())
    everything = sum(parameter.numel() for parameter in model.parameters())
    assert parameters_saved(model, [kept, kept]).all == pytest.approx(1 - left / everything)
    assert all(a is b.w_in.weight for a, b in zip(weights, ffns(model), strict=True))
    with (
        pytest.raises(NeuroglotError, match="layers 0 and 1 share their weights"),
        sliced(model, [kept, kept[:2]]),
    ):
        pytest.fail("was entered")


def test_restored_after_an_exception():
    model = model_of("phi3")
    before, lengths = state(model), sizes(model)
    with pytest.raises(KeyError, match="mine"), sliced(model, parts(model)):
        raise KeyError("mine")
    assert {key: value[0] for key, value in state(model).items()} == {
        key: value[0] for key, value in before.items()
    }
    assert sizes(model) == lengths


def test_trainable_or_not_stays():
    model = tiny_model("llama").requires_grad_(False)
    with sliced(model, parts(model)):
        assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([np.arange(3)], "has 2 layers, but neurons to keep were given for 1"),
        ([np.arange(3), np.array([1, 1])], "layer 1: .* more than once"),
        ([np.arange(3), np.array([NEURONS])], f"unknown neuron {NEURONS} of layer 1"),
        ([np.arange(3), np.array([0.5])], "integer indices; found float64"),
    ],
)
def test_refuses_neurons_that_cannot_be_kept(keep: list[np.ndarray], message: str):
    model = model_of("llama")
    with pytest.raises(NeuroglotError, match=message), sliced(model, keep):
        pytest.fail("was entered")
    with pytest.raises(NeuroglotError, match=message):
        parameters_saved(model, keep)


def test_refuses_quantised_weights():
    model = tiny_model("llama")
    down = ffns(model)[0].w_out
    del down.weight
    down.weight = nn.Parameter(torch.zeros(HIDDEN, NEURONS, dtype=torch.int8), requires_grad=False)
    with (
        pytest.raises(NeuroglotError, match="without quantisation"),
        sliced(model, [np.arange(3), np.arange(3)]),
    ):
        pytest.fail("was entered")
