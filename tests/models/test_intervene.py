"""Edited neurons: changed where they are chosen and nowhere else, in every architecture."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import (
    Edit,
    changed,
    deactivated,
    edited_rows,
    intervened,
    side_by_side,
)
from support.tiny_models import (
    CAUSAL,
    LAYERS,
    NAMES,
    NEURONS,
    own_neurons,
    tiny_inputs,
    tiny_model,
)

torch.set_num_threads(1)

GATED = [name for name in NAMES if ffns(tiny_model(name))[0].gated]

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


def recorded(model: Any, site: str = "act", **inputs: Any) -> dict[tuple[str, int], Tensor]:
    found: dict[tuple[str, int], Tensor] = {}

    def sink(_site: str, stack: str, layer: int, value: Tensor) -> None:
        found[stack, layer] = value.clone()

    with record(model, {site}, sink):
        logits(model, **inputs)
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
    for ffn in (ffns(model)[0], ffns(model)[-1]):
        before = recorded(model)[ffn.stack, ffn.layer]
        chosen = before.abs().sum((0, 1)).topk(2).indices.numpy()  # with ReLU², some are silent
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


@pytest.mark.parametrize("name", CAUSAL)
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


EDITS = {
    "set": lambda act: np.full_like(act, 0.75),
    "scale": lambda act: np.float32(0.75) * act,
    "add": lambda act: np.float32(0.75) + act,
}


def chosen_neurons(model: Any, items: int = 2, share: float = 0.4, seed: int = 0) -> np.ndarray:
    """Neurons of their own for each item, [item, layer, neuron]."""
    own = own_neurons(model)
    return (np.random.default_rng(seed).random((items, *own.shape)) < share) & own


def only(neurons: np.ndarray, layer: int) -> np.ndarray:
    return neurons & (np.arange(neurons.shape[-2]) == layer)[:, None]


@every_architecture
@pytest.mark.parametrize("kind", EDITS)
def test_edits_each_items_own_neurons_at_the_chosen_positions(name: str, kind: Any):
    model = model_of(name)
    neurons, original = chosen_neurons(model), recorded(model)
    for ffn in (ffns(model)[0], ffns(model)[-1]):
        edit = Edit(only(neurons, ffn.index), kind, 0.75)
        before = original[ffn.stack, ffn.layer].numpy()
        items, time, _ = before.shape
        mask = np.random.default_rng(1).random((items, time)) < 0.5
        last = np.arange(time) == time - 1
        places = {
            "all": np.ones((items, time), bool),
            "last": np.broadcast_to(last, (items, time)),
            "mask": mask,
        }
        for positions, where in places.items():
            given: Any = torch.from_numpy(mask) if positions == "mask" else positions
            with intervened(model, [edit], given):
                after = recorded(model)[ffn.stack, ffn.layer].numpy()
            expected = before.copy()
            for item, position in np.argwhere(where):
                row = before[item, position]
                own = neurons[item, ffn.index, : ffn.neurons]
                expected[item, position, own] = EDITS[kind](row)[own]
            np.testing.assert_array_equal(after, expected)
    assert hooks_of(model) == 0


@every_architecture
def test_one_set_for_all_items_is_each_items_own(name: str):
    model = model_of(name)
    same = chosen_neurons(model, items=1)
    with intervened(model, [Edit(same[0])]):
        found = logits(model)
    with intervened(model, [Edit(same.repeat(2, axis=0))]):
        assert torch.equal(found, logits(model))
    with deactivated(model, {i: np.flatnonzero(row) for i, row in enumerate(same[0])}):
        assert torch.equal(found, logits(model))


@pytest.mark.parametrize("name", ["llama", "bloom", "opt", "t5", "bart"])
def test_each_item_as_if_it_were_alone(name: str):
    model, edit = model_of(name), Edit(chosen_neurons(model_of(name)), "add", 1.5)
    with intervened(model, [edit]):
        together = logits(model)
    for item in (0, 1):
        inputs = {key: value[[item]] for key, value in tiny_inputs(model).items()}
        with intervened(model, [edit.rows(np.array([item]))]):
            torch.testing.assert_close(
                logits(model, **inputs)[0], together[item], rtol=1e-4, atol=1e-4
            )


def test_rows_repeat_items_and_leave_common_sets_alone():
    neurons = chosen_neurons(model_of("llama"), items=3)
    picked = Edit(neurons, "scale", 2.0).rows(np.array([2, 0, 2]))
    np.testing.assert_array_equal(picked.neurons, neurons[[2, 0, 2]])
    assert (picked.operation, picked.value) == ("scale", 2.0)
    common = Edit(neurons[0])
    assert common.rows(np.array([2, 0, 2])) is common


def test_parts_of_a_batch_have_edits_of_their_own():
    """Against each part by itself, with operations in several orders and values of every kind."""
    model: Any = tiny_model("llama")
    ids = tiny_inputs(model, batch=5)["input_ids"]
    own, generator = own_neurons(model), np.random.default_rng(0)
    values = generator.normal(size=(2, len(own))).astype(np.float32)

    def some(*items: int) -> np.ndarray:
        return (generator.random((*items, *own.shape)) < 0.5) & own

    parts = [
        (np.array([4, 1]), [Edit(some(2), "add", 0.5), Edit(some(2), "set", 0.7)]),
        (np.array([0]), [Edit(some(), "set", 0.7)]),
        (np.array([3, 2]), [Edit(some(2), "set", values), Edit(some(), "set", 0.7, "gate")]),
    ]
    more = [*parts[:2], (parts[2][0], [*parts[2][1], Edit(some(2), "add", 0.5)])]
    for of in (parts, more, more[::-1]):
        with torch.no_grad(), intervened(model, side_by_side(of, 5)):
            together = model(input_ids=ids).logits
        for here, edits in of:
            with torch.no_grad(), intervened(model, edits):
                alone = model(input_ids=ids[here]).logits
            torch.testing.assert_close(together[here], alone, rtol=1e-5, atol=1e-5)


def test_an_order_that_no_two_parts_share():
    """Of two edits that do not commute, the second part has only the later one."""
    model: Any = tiny_model("llama")
    ids, own = tiny_inputs(model, batch=3)["input_ids"], own_neurons(model)
    twice, seven = Edit(own, "scale", 2.0), Edit(own, "set", 0.7)
    parts = [
        (np.array([0]), [twice, seven]),
        (np.array([1]), [Edit(own, "add", 0.1)]),
        (np.array([2]), [Edit(own, "add", 0.1), seven]),
    ]
    with torch.no_grad(), intervened(model, side_by_side(parts, 3)):
        together = model(input_ids=ids).logits
    with torch.no_grad(), intervened(model, [seven]):
        torch.testing.assert_close(together[[0, 2]], model(input_ids=ids[[0, 2]]).logits)


def test_which_items_are_edited():
    none, one = np.zeros((3, 2, 4), bool), np.zeros((3, 2, 4), bool)
    one[2, 1, 3] = True
    assert edited_rows([], 3).tolist() == [False] * 3
    assert edited_rows([Edit(none), Edit(one)], 3).tolist() == [False, False, True]
    assert edited_rows([Edit(none), Edit(one[2])], 3).all()


def test_parts_with_neurons_for_other_items_are_refused():
    neurons = np.zeros((3, 2, 4), bool)
    with pytest.raises(NeuroglotError, match="neurons for 3 items, and the batch has 2"):
        side_by_side([(np.array([0, 1]), [Edit(neurons)])], 4)


def test_edits_of_a_layer_are_made_in_their_order():
    model = model_of("llama")
    neurons = only(chosen_neurons(model), 0)
    before = recorded(model)["decoder", 0].numpy()
    with intervened(model, [Edit(neurons, "add", 1.0), Edit(neurons, "scale", 3.0)]):
        after = recorded(model)["decoder", 0].numpy()
    expected = np.where(neurons[:, :1], (before + 1) * 3, before)
    np.testing.assert_allclose(after, expected, rtol=1e-6)


def test_two_stacks_at_positions_of_their_own():
    model = model_of("t5")
    neurons = chosen_neurons(model)
    encoder, decoder = only(neurons, 0), only(neurons, LAYERS)
    before, last, first = recorded(model), torch.zeros(2, 5, dtype=bool), torch.zeros(2, 4) == 1
    last[:, -1], first[:, 0] = True, True
    with intervened(model, [Edit(encoder)], last):
        read = recorded(model)
        with intervened(model, [Edit(decoder)], first):
            both = recorded(model)
    assert torch.equal(both["encoder", 0], read["encoder", 0])
    assert torch.equal(both["encoder", 0][:, :-1], before["encoder", 0][:, :-1])
    assert not both["encoder", 0][:, -1].numpy()[encoder[:, 0]].any()
    assert torch.equal(both["decoder", 0][:, 1:], read["decoder", 0][:, 1:])
    assert not both["decoder", 0][:, 0].numpy()[decoder[:, LAYERS]].any()


@every_architecture
def test_an_edit_without_neurons_touches_nothing(name: str):
    model, whole = model_of(name), logits(model_of(name))
    for edits in ([], [Edit(np.zeros_like(chosen_neurons(model)), "add", 3.0)]):
        with intervened(model, edits):
            assert hooks_of(model) == 0
            assert torch.equal(logits(model), whole)


@pytest.mark.parametrize("name", CAUSAL)
def test_generation_edits_the_last_prompt_token_and_every_generated_one(name: str):
    model = tiny_model(name)
    ids, edit = tiny_inputs(model)["input_ids"], Edit(chosen_neurons(model), "add", 1.0)
    model.generation_config.update(eos_token_id=None, pad_token_id=0)
    with intervened(model, [edit], "last"):
        found = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=4,
            do_sample=False,
            use_cache=True,  # MPT's default is to read everything again
        )
    written = ids
    for _ in range(4):
        mask = torch.zeros(written.shape, dtype=torch.bool)
        mask[:, ids.shape[1] - 1 :] = True
        with intervened(model, [edit], mask):
            read = logits(model, input_ids=written, attention_mask=torch.ones_like(written))
        written = torch.cat([written, read[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(found, written)


def upward(model: Any) -> dict[tuple[str, int], Tensor]:
    """``W_up x`` of an unedited pass."""
    return recorded(model, "up")


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("kind", EDITS)
def test_edits_of_the_gate_change_act_by_what_the_model_multiplies(name: str, kind: Any):
    """act = edited gate x up at the chosen neurons and positions, and is the same elsewhere."""
    model = model_of(name)
    neurons, gates, acts, up = (
        chosen_neurons(model),
        recorded(model, "gate"),
        recorded(model),
        upward(model),
    )
    for ffn in (ffns(model)[0], ffns(model)[-1]):
        key = ffn.stack, ffn.layer
        edit = Edit(only(neurons, ffn.index), kind, 0.75, "gate")
        items, time, _ = acts[key].shape
        mask = np.random.default_rng(1).random((items, time)) < 0.5
        with intervened(model, [edit], torch.from_numpy(mask)):
            found = recorded(model)[key]
        with intervened(model, [edit], torch.from_numpy(mask)):
            gate = recorded(model, "gate")[key].numpy()
        there = mask[:, :, None] & neurons[:, None, ffn.index, : ffn.neurons]
        expected = np.where(there, EDITS[kind](gates[key].numpy()), gates[key].numpy())
        np.testing.assert_array_equal(gate, expected)
        product = torch.from_numpy(expected) * up[key]
        np.testing.assert_array_equal(found[there], product[there])
        np.testing.assert_array_equal(found[~there], acts[key][~there])
        assert (np.abs(found - acts[key])[there] > 1e-4).any()
    assert hooks_of(model) == 0


@pytest.mark.parametrize("name", GATED)
def test_an_edit_of_no_gate_touches_nothing(name: str):
    model, whole = model_of(name), logits(model_of(name))
    with intervened(model, [Edit(np.zeros_like(chosen_neurons(model)), "set", 3.0, "gate")]):
        assert hooks_of(model) == 0
        assert torch.equal(logits(model), whole)


@pytest.mark.parametrize("name", GATED)
def test_a_gate_of_zero_is_a_deactivated_neuron(name: str):
    model, neurons = model_of(name), chosen_neurons(model_of(name))
    with intervened(model, [Edit(neurons, "set", 0.0, "gate")]):
        found = logits(model)
    with intervened(model, [Edit(neurons)]):
        torch.testing.assert_close(found, logits(model), rtol=0, atol=0)


@pytest.mark.parametrize("name", GATED)
def test_gates_of_each_item_as_if_it_were_alone_and_whatever_the_padding(name: str):
    model, inputs = model_of(name), tiny_inputs(model_of(name))
    value = np.array([[0.3] * len(ffns(model)), [1.5] * len(ffns(model))], np.float32)
    edit = Edit(chosen_neurons(model), "set", value, "gate")
    ids, real = inputs["input_ids"], inputs["attention_mask"].clone()
    real[0, 3:] = 0  # the first item is shorter
    with intervened(model, [edit]):
        together = logits(model, attention_mask=real)
    for item, length in ((0, 3), (1, 5)):
        alone = {key: one[[item]] for key, one in inputs.items()}
        alone |= {"input_ids": ids[[item], :length], "attention_mask": real[[item], :length]}
        with intervened(model, [edit.rows(np.array([item]))]):
            found = logits(model, **alone)[0]
        torch.testing.assert_close(together[item, : len(found)], found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GATED)
def test_each_layer_has_an_activation_function_of_its_own(name: str):
    """Were a module shared, a hook on one layer's gate would run in the other layers too."""
    modules = [ffn.activation for ffn in ffns(model_of(name))]
    assert len(set(map(id, modules))) == len(modules)


def test_each_layers_and_items_own_value():
    model = model_of("llama")
    value = np.array([[1, 2], [3, 4]], np.float32)
    edit = Edit(np.ones((2, 2, NEURONS), bool), "set", value)
    with intervened(model, [edit]):
        found = recorded(model)
    for layer in (0, 1):
        assert (found["decoder", layer] == torch.tensor(value[:, layer])[:, None, None]).all()
    picked = edit.rows(np.array([1, 1, 0]))
    assert isinstance(picked.value, np.ndarray)
    assert picked.value.tolist() == [[3, 4], [3, 4], [1, 2]]


def test_edits_of_the_gate_come_before_those_of_act():
    model, gate, up = model_of("llama"), 0.5, upward(model_of("llama"))["decoder", 0].numpy()
    neurons = only(chosen_neurons(model), 0)
    edits = [Edit(neurons, "add", 1.0), Edit(neurons, "set", gate, "gate")]
    before = recorded(model)["decoder", 0].numpy()
    with intervened(model, edits):
        after = recorded(model)["decoder", 0].numpy()
    np.testing.assert_array_equal(after, np.where(neurons[:, :1], gate * up + 1, before))


def test_what_is_not_finite_is_set_too():
    model = model_of("llama")
    neurons = only(chosen_neurons(model), 1)
    with intervened(model, [Edit(neurons)]):
        expected = logits(model)
    with intervened(model, [Edit(neurons, "set", float("nan")), Edit(neurons)]):
        assert torch.equal(logits(model), expected)


def test_half_precision_stays_half():
    model = tiny_model("llama").bfloat16()
    for kind in ("set", "scale", "add"):
        with intervened(model, [Edit(chosen_neurons(model), kind, 0.1)]):
            assert logits(model).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("edit", "positions", "message"),
    [
        (Edit(np.ones((2, 24), bool), "zero"), "all", "unknown operation 'zero'"),
        (Edit(np.ones((2, 24), bool), "set", 0.0, "gates"), "all", "unknown site 'gates'"),
        (
            Edit(np.ones((2, 24), bool), "set", np.ones(2)),
            "all",
            r"found \[2\] for neurons \[2, 24",
        ),
        (Edit(np.ones((2, 24), int)), "all", r"2 layers of 24 neurons; found int64 \[2, 24\]"),
        (Edit(np.ones((3, 24), bool)), "all", r"found bool \[3, 24\]"),
        (Edit(np.ones(24, bool)), "all", r"found bool \[24\]"),
        (Edit(np.ones((2, 24), bool)), "lst", "unknown positions 'lst'; did you mean 'last'"),
        (Edit(np.ones((2, 24), bool)), torch.ones(2, 5), r"bool mask .*float32 \[2, 5\]"),
        (Edit(np.ones((2, 24), bool)), torch.ones(2, 4) > 0, r"passes of \[2, 4\] .* \[2, 5\]"),
        (Edit(np.ones((3, 2, 24), bool)), "all", "neurons for 3 items, and the batch has 2"),
    ],
)
def test_refuses_edits_that_do_not_fit(edit: Edit, positions: Any, message: str):
    model = model_of("llama")
    with pytest.raises(NeuroglotError, match=message), intervened(model, [edit], positions):
        logits(model)
    assert hooks_of(model) == 0


@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon", "phi3", "opt", "t5"])
def test_any_change_replaces_the_activations(name: str):
    model = model_of(name)
    original = recorded(model)
    with changed(model, {0: lambda act: 2 * act, 1: lambda act: act + 1}):
        found = recorded(model)
    stack = ffns(model)[0].stack
    torch.testing.assert_close(found[stack, 0], 2 * original[stack, 0])
    assert hooks_of(model) == 0


def test_refuses_the_gate_of_a_plain_model():
    model = model_of("gpt2")
    edit = Edit(chosen_neurons(model), "set", 1.0, "gate")
    with pytest.raises(NeuroglotError, match="'gpt2' is not gated"), intervened(model, [edit]):
        pytest.fail("was entered")


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
