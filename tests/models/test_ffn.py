"""Every claim the architecture table makes, checked on a tiny model of every architecture."""

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.describe import architecture, check_supported, describe
from neuroglot.models.ffn import (
    FFN,
    GATED_SITES,
    SITES,
    backbone,
    ffns,
    final_norms,
    record,
)
from support.tiny_mixtures import MIXTURES
from support.tiny_models import NAMES, tiny_config, tiny_inputs, tiny_model, written_scale

torch.set_num_threads(1)

Values = dict[tuple[str, str, int], Tensor]

model_of = cache(tiny_model)  # tests leave the model as they found it
every_architecture = pytest.mark.parametrize("name", NAMES)


def sites_of(model: Any) -> list[str]:
    return [site for site in SITES if describe(model.config)["gated"] or site not in GATED_SITES]


def capture(model: Any, layers: list[int] | None = None) -> tuple[Values, Any]:
    values: Values = {}

    def sink(site: str, stack: str, layer: int, value: Tensor) -> None:
        assert (site, stack, layer) not in values, "one forward pass reached a place twice"
        values[site, stack, layer] = value.clone()

    with torch.no_grad(), record(model, sites_of(model), sink, layers):
        output = backbone(model)(**tiny_inputs(model))
    return values, output


@cache
def captured(name: str) -> tuple[Values, Any]:
    return capture(model_of(name))


def hidden_of(output: Any) -> list[Tensor]:
    encoder = getattr(output, "encoder_last_hidden_state", None)
    return [state for state in (encoder, output.last_hidden_state) if state is not None]


def inputs_of(ffn: FFN, model: Any) -> Tensor:
    seen: list[Tensor] = []
    handle = ffn.w_in.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.no_grad():
        backbone(model)(**tiny_inputs(model))
    handle.remove()
    return seen[0]


def input_bias(ffn: FFN, part: int) -> Tensor | float:
    """The bias of the gate (part 0) or of the other input projection (part 1)."""
    module = ffn.w_gate if part == 0 else ffn.w_in
    bias = getattr(module, "bias", None)
    if bias is None:
        return 0.0
    return bias.detach().chunk(2)[part] if ffn.architecture.fused else bias.detach()


def gate_multiplier(model: Any) -> float:
    """Falcon-H1's factor of the gate, before the activation function."""
    return float(getattr(model.config, "mlp_multipliers", [1.0])[0])


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_every_architecture_in_the_table_is_tested():
    tested = {name.split(":")[0] for name in (*NAMES, *MIXTURES)}
    assert tested == set(ARCHITECTURES)
    mixtures = {name for name, entry in ARCHITECTURES.items() if entry.mixture}
    assert mixtures <= {name.split(":")[0] for name in MIXTURES}


@every_architecture
def test_configuration_alone_describes_the_model(name: str):
    model = model_of(name)
    found, described = ffns(model), describe(model.config)
    assert described["layers"] == len(found)
    assert described["stacks"] == {
        stack: sum(ffn.stack == stack for ffn in found) for stack in described["stacks"]
    }
    assert [ffn.index for ffn in found] == list(range(len(found)))
    assert [(ffn.stack, ffn.layer) for ffn in found] == [
        (stack, layer) for stack, depth in described["stacks"].items() for layer in range(depth)
    ]
    for ffn in found:
        assert ffn.gated == described["gated"]
        assert ffn.output_matrix().shape == (described["hidden"], described["neurons"][ffn.index])
        assert ffn.input_matrix().shape == (described["neurons"][ffn.index], described["hidden"])
    assert described["hidden"] not in described["neurons"]


@every_architecture
def test_named_activation_is_the_modules(name: str):
    model = model_of(name)
    x = torch.linspace(-3, 3, 50)
    activation = describe(model.config)["activation"]
    for ffn in ffns(model):
        expected = (
            xielu(x, ffn.activation)
            if activation == "xielu"
            else transformers.activations.ACT2FN[activation](x)
        )
        torch.testing.assert_close(ffn.activation(x), expected)


def xielu(x: Tensor, module: Any) -> Tensor:
    """xIELU (arXiv 2411.13010) with the layer's own two parameters and beta = 1/2."""
    positive, negative = (
        torch.log1p(torch.exp(parameter.detach())) for parameter in (module.alpha_p, module.alpha_n)
    )
    below = (torch.exp(x.clamp(max=0)) - 1 - x) * (0.5 + negative) + x / 2
    return torch.where(x > 0, positive * x**2 + x / 2, below)


BARE = [name for name in NAMES if architecture(tiny_config(name)).bare]


@pytest.mark.parametrize("name", BARE)
def test_a_bare_function_becomes_a_module_without_a_bit_of_difference(name: str):
    """LFM2's layers call silu themselves; a copy of the model calls its own modules."""
    plain, model = tiny_model(name), tiny_model(name)
    with torch.no_grad():
        expected = plain(**tiny_inputs(plain)).logits
        activation = ffns(model)[0].activation
        assert ffns(model)[0].activation is activation
        twin = deepcopy(model)
        assert torch.equal(model(**tiny_inputs(model)).logits, expected)
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(twin(**tiny_inputs(twin)).logits, expected)
    assert plain.state_dict().keys() == model.state_dict().keys()


@every_architecture
def test_the_backbone_has_the_same_ffns(name: str):
    model = model_of(name)
    base = backbone(model)
    assert base is not model
    assert not any("lm_head" in key for key, _ in base.named_modules())
    assert [id(ffn.w_out) for ffn in ffns(base)] == [id(ffn.w_out) for ffn in ffns(model)]
    assert backbone(base) is base
    assert not base.training


@every_architecture
def test_the_backbone_computes_what_the_whole_model_computes(name: str):
    model = model_of(name)
    _, output = captured(name)
    with torch.no_grad():
        whole = model(**tiny_inputs(model), output_hidden_states=True)
    states = getattr(whole, "decoder_hidden_states", None) or whole.hidden_states
    assert torch.equal(output.last_hidden_state, states[-1])


@every_architecture
def test_shapes(name: str):
    model = model_of(name)
    values, _ = captured(name)
    described = describe(model.config)
    inputs = tiny_inputs(model)
    two_stacks = len(described["stacks"]) == 2
    expected = {
        (site, stack, layer)
        for stack, depth in described["stacks"].items()
        for site in sites_of(model)
        for layer in range(depth + (site == "state"))
    }
    assert set(values) == expected
    for (site, stack, layer), value in values.items():
        tokens = inputs["decoder_input_ids" if two_stacks and stack == "decoder" else "input_ids"]
        layers = {(ffn.stack, ffn.layer): ffn.neurons for ffn in ffns(model)}
        of_neurons = site not in ("out", "state", "mid")
        width = layers[stack, layer] if of_neurons else described["hidden"]
        assert value.shape == (*tokens.shape, width)


@every_architecture
def test_act_through_the_output_matrix_is_out(name: str):
    values, _ = captured(name)
    for ffn in ffns(model_of(name)):
        bias = ffn.output_bias()
        out = values["act", ffn.stack, ffn.layer] @ ffn.output_matrix().T
        out = out if bias is None else out + bias
        torch.testing.assert_close(out, values["out", ffn.stack, ffn.layer])


@every_architecture
def test_input_and_gate_matrices_reproduce_act(name: str):
    model = model_of(name)
    values, _ = captured(name)
    for ffn in ffns(model):
        x = inputs_of(ffn, model)
        act = values["act", ffn.stack, ffn.layer]
        inner = (x @ ffn.input_matrix().T + input_bias(ffn, 1)).view_as(act)
        if ffn.gated:
            before = x @ ffn.gate_matrix().T + input_bias(ffn, 0)
            gate = ffn.activation(before * gate_multiplier(model))
            torch.testing.assert_close(gate, values["gate", ffn.stack, ffn.layer])
            torch.testing.assert_close(inner, values["up", ffn.stack, ffn.layer])
            torch.testing.assert_close(gate * inner, act)
        else:
            torch.testing.assert_close(ffn.activation(inner), act)
            with pytest.raises(NeuroglotError, match="not gated"):
                ffn.gate_matrix()


@every_architecture
def test_act_is_gate_times_up(name: str):
    values, _ = captured(name)
    for ffn in ffns(model_of(name)):
        if ffn.gated:
            gate, up, act = (values[s, ffn.stack, ffn.layer] for s in ("gate", "up", "act"))
            assert torch.equal(gate * up, act)


@every_architecture
def test_zeroing_a_neuron_is_zeroing_its_value_vector(name: str):
    model = model_of(name)
    values, output = captured(name)
    base, inputs = backbone(model), tiny_inputs(model)
    for ffn in ffns(model):
        neuron = int(values["act", ffn.stack, ffn.layer].abs().sum(dim=(0, 1)).argmax())

        def silence(_module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            act = args[0].clone()
            act[..., neuron] = 0  # noqa: B023
            return (act,)

        handle = ffn.w_out.register_forward_pre_hook(silence)
        with torch.no_grad():
            without_act = hidden_of(base(**inputs))
            handle.remove()
            column = ffn.output_matrix()[:, neuron]
            kept = column.clone()
            column.zero_()
            without_column = hidden_of(base(**inputs))
            column.copy_(kept)
        torch.testing.assert_close(without_act, without_column)
        assert not torch.allclose(without_act[-1], output.last_hidden_state, atol=1e-6)


@every_architecture
def test_recording_changes_no_bit(name: str):
    model = model_of(name)
    inputs = tiny_inputs(model)
    hooks = hooks_of(model)
    with torch.no_grad():
        plain = model(**inputs).logits
        with record(model, sites_of(model), lambda *_: None):
            recorded = model(**inputs).logits
    assert torch.equal(plain, recorded)
    assert hooks_of(model) == hooks


@every_architecture
def test_nothing_overwrites_a_value_after_it_was_recorded(name: str):
    model = model_of(name)
    live: Values = {}
    with torch.no_grad(), record(model, sites_of(model), lambda *a: live.update({a[:3]: a[3]})):
        backbone(model)(**tiny_inputs(model))
    values, _ = captured(name)
    assert live.keys() == values.keys()
    assert all(torch.equal(live[key], values[key]) for key in values)


@every_architecture
def test_final_norm_of_the_last_state_is_the_output(name: str):
    model = model_of(name)
    values, output = captured(name)
    norms, stacks = final_norms(model), describe(model.config)["stacks"]
    assert list(norms) == list(stacks)
    for (stack, depth), hidden in zip(stacks.items(), hidden_of(output), strict=True):
        norm, state = norms[stack], values["state", stack, depth]
        with torch.no_grad():
            assert torch.equal(norm(state) if norm else state, hidden)
        assert norm is None or not torch.allclose(state, hidden, atol=1e-3)


@every_architecture
def test_states_are_what_the_library_calls_hidden_states(name: str):
    model = model_of(name)
    values, _ = captured(name)
    with torch.no_grad():
        output = backbone(model)(**tiny_inputs(model), output_hidden_states=True)
    for stack, depth in describe(model.config)["stacks"].items():
        listed = getattr(output, f"{stack}_hidden_states", None) or output.hidden_states
        for state in range(depth):  # the library's last entry is after the final norm
            assert torch.equal(values["state", stack, state], listed[state])


@every_architecture
def test_a_layer_adds_the_ffns_contribution_to_mid(name: str):
    model = model_of(name)
    values, _ = captured(name)
    per_layer = per_layer_inputs(model)
    for ffn in ffns(model):
        mid, out = (values[site, ffn.stack, ffn.layer] for site in ("mid", "out"))
        with torch.no_grad():
            contribution = written_scale(name) * (ffn.norm_after(out) if ffn.norm_after else out)
            state = mid + contribution
            state = ffn.norm_sum(state) if ffn.norm_sum else state
            state = behind(ffn.block, state, per_layer.get(ffn.index))
        torch.testing.assert_close(state, values["state", ffn.stack, ffn.layer + 1])
        assert ffn.scale == written_scale(name)


def per_layer_inputs(model: Any) -> dict[int, Tensor]:
    """What Gemma 4 gives each layer beside the stream, by ``FFN.index``; else nothing."""
    found: dict[int, Tensor] = {}

    def keep(index: int) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...]) -> None:
            if len(args) > 1 and isinstance(args[1], Tensor) and args[1].ndim == 3:
                found[index] = args[1]

        return hook

    handles = [ffn.block.register_forward_pre_hook(keep(ffn.index)) for ffn in ffns(model)]
    with torch.no_grad():
        backbone(model)(**tiny_inputs(model))
    for handle in handles:
        handle.remove()
    return found


def behind(block: Any, stream: Tensor, per_layer: Tensor | None) -> Tensor:
    """What Gemma 4 makes of the stream behind the FFN, as its paper's layers are described."""
    if per_layer is not None and hasattr(block, "per_layer_input_gate"):
        gate = nn.functional.gelu(block.per_layer_input_gate(stream), approximate="tanh")
        added = block.per_layer_projection(gate * per_layer)
        stream = stream + block.post_per_layer_input_norm(added)
    return stream * getattr(block, "layer_scalar", 1.0)


def test_gemma4s_per_layer_inputs_and_scalars_count():
    for name in ("gemma4_text:per_layer", "gemma4_text:shared", "gemma4"):
        model = model_of(name)
        assert len(per_layer_inputs(model)) == len(ffns(model))
        assert all(abs(ffn.block.layer_scalar - 1) > 1e-3 for ffn in ffns(model))
    assert not per_layer_inputs(model_of("gemma4_text"))


def test_gemma4s_layers_that_reuse_keys_are_twice_as_wide():
    assert describe(tiny_config("gemma4_text:shared"))["neurons"] == (24, 24, 48, 48)
    assert describe(tiny_config("gemma4"))["neurons"] == (24, 24, 48, 48)
    narrow = tiny_config("gemma4_text:shared", use_double_wide_mlp=False)
    assert describe(narrow)["neurons"] == (24,) * 4


@every_architecture
def test_mid_is_the_stream_with_attention_added(name: str):
    model = model_of(name)
    for ffn in ffns(model):
        if not ffn.architecture.parallel:
            continue
        attention = next(
            child
            for key, child in ffn.block.named_children()
            if key in ("attn", "self_attn", "attention", "self_attention")
        )
        added: list[Tensor] = []
        handle = attention.register_forward_hook(lambda *a, to=added: to.append(a[2][0].clone()))
        values, _ = capture(model)
        handle.remove()
        expected = values["state", ffn.stack, ffn.layer] + added[0]
        torch.testing.assert_close(values["mid", ffn.stack, ffn.layer], expected)


@every_architecture
def test_norm_before_gives_the_ffns_input(name: str):
    model = model_of(name)
    values, _ = captured(name)
    for ffn in ffns(model):
        source = ("state" if ffn.architecture.parallel else "mid", ffn.stack, ffn.layer)
        with torch.no_grad():
            x = ffn.norm_before(values[source]) if ffn.norm_before else values[source]
        torch.testing.assert_close(inputs_of(ffn, model).view_as(x), x)


def test_some_layers_only():
    model = model_of("m2m_100")
    values, _ = capture(model, layers=[1, 2])
    assert {key for key in values if key[0] == "act"} == {
        ("act", "encoder", 1),
        ("act", "decoder", 0),
    }
    assert {key for key in values if key[0] == "state"} == {
        ("state", "encoder", 2),
        ("state", "decoder", 0),
        ("state", "decoder", 1),
    }


def test_recorded_values_are_live_tensors():
    model = model_of("llama")
    seen: list[Tensor] = []
    ffn = ffns(model)[1]
    handle = ffn.w_out.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with record(model, ["act"], lambda *a: seen.append(a[3]), layers=[1]):
        model(**tiny_inputs(model))
    handle.remove()
    assert seen[0] is seen[1]


def test_an_encoder_alone_can_be_recorded():
    model = model_of("t5")
    inputs = tiny_inputs(model)
    stacks: set[str] = set()
    with record(model, ["act"], lambda _site, stack, *_: stacks.add(stack)):
        model.get_encoder()(inputs["input_ids"])
    assert stacks == {"encoder"}


def test_the_backbone_of_t5_leaves_the_configuration_alone():
    model = tiny_model("t5")
    before = model.config.to_dict()
    backbone(model)
    assert model.config.to_dict() == before


def test_offloaded_models_are_recorded_and_their_matrices_refused():
    accelerate = pytest.importorskip("accelerate")
    model = tiny_model("llama")
    expected, _ = capture(model)
    accelerate.cpu_offload(model, execution_device="cpu")
    values, _ = capture(model)
    assert values.keys() == expected.keys()
    assert all(torch.equal(values[key], expected[key]) for key in values)
    with pytest.raises(NeuroglotError, match="without offloading"):
        ffns(model)[0].output_matrix()


def test_quantised_matrices_are_refused():
    model = tiny_model("llama")
    ffn = ffns(model)[0]
    ffn.w_out.weight = nn.Parameter(ffn.w_out.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(NeuroglotError, match=r"decoder layer 0.*int8.*quantisation"):
        ffn.output_matrix()


def test_hooks_are_removed_when_the_body_fails():
    model = model_of("gpt2")
    hooks = hooks_of(model)
    with pytest.raises(ZeroDivisionError), record(model, ["act", "mid", "state"], lambda *_: None):
        _ = 1 / 0
    assert hooks_of(model) == hooks


def test_hooks_are_removed_when_the_sink_fails():
    model = model_of("gptj")
    hooks = hooks_of(model)

    def sink(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), record(model, ["mid"], sink):
        model(**tiny_inputs(model))
    assert hooks_of(model) == hooks


def test_a_site_that_was_never_reached_is_an_error():
    model = tiny_model("llama")
    mlp = model.model.layers[1].mlp
    mlp.forward = lambda x: nn.functional.linear(x, mlp.gate_proj.weight) @ mlp.up_proj.weight
    with (
        pytest.raises(NeuroglotError, match="'act' of decoder layer 1"),
        record(model, ["act"], lambda *_: None),
    ):
        model(**tiny_inputs(model))


def test_a_replaced_parallel_ffn_is_an_error_for_mid():
    model = tiny_model("gptj")
    model.transformer.h[0].mlp.forward = torch.zeros_like
    with (
        pytest.raises(NeuroglotError, match="'mid' of decoder layer 0"),
        record(model, ["mid"], lambda *_: None),
    ):
        model(**tiny_inputs(model))


def test_no_forward_pass_is_no_error():
    with record(model_of("llama"), ["act"], lambda *_: None):
        pass


@pytest.mark.parametrize(
    ("sites", "layers", "message"),
    [
        (["acts"], None, "unknown site 'acts'; did you mean 'act'"),
        (["gate"], None, "gated models only"),
        (["up"], None, "gated models only"),
        (["act"], [2], "unknown layer 2; the model has layers 0 to 1"),
    ],
)
def test_wrong_requests_are_refused(sites: list[str], layers: list[int] | None, message: str):
    with (
        pytest.raises(NeuroglotError, match=message),
        record(model_of("gpt2"), sites, print, layers),
    ):
        pass


def test_training_mode_is_refused():
    model = tiny_model("gpt2").train()
    with pytest.raises(NeuroglotError, match="evaluation mode"), record(model, ["act"], print):
        pass


def test_unknown_architectures_are_refused_by_name():
    with pytest.raises(NeuroglotError, match=r"unknown architecture 'albert'.*architectures\.py"):
        check_supported(transformers.AlbertConfig())


@pytest.mark.parametrize("changes", [{"is_decoder": True}, {"chunk_size_feed_forward": 4}])
def test_berts_that_decode_or_cut_texts_are_refused(changes: dict[str, Any]):
    [key] = changes
    with pytest.raises(NeuroglotError, match=key):
        check_supported(tiny_config("bert", **changes))


@pytest.mark.parametrize(
    "config",
    [
        transformers.JambaConfig(),
        transformers.DbrxConfig(),
        transformers.LlamaConfig(num_local_experts=8),
    ],
    ids=lambda config: config.model_type,
)
def test_mixtures_of_experts_are_refused_by_name(config: Any):
    with pytest.raises(NeuroglotError, match=f"'{config.model_type}' is a mixture of experts"):
        check_supported(config)


def test_blooms_sliced_output_projection_is_refused():
    config = tiny_config("bloom", slow_but_exact=True, pretraining_tp=2)
    with pytest.raises(NeuroglotError, match="slow_but_exact"):
        describe(config)
    check_supported(tiny_config("bloom", slow_but_exact=True, pretraining_tp=1))


def test_stacks_of_different_width():
    model = tiny_model("bart", decoder_ffn_dim=40)
    assert describe(model.config)["neurons"] == (24, 24, 40, 40, 40)
    values, _ = capture(model)
    assert [values["act", ffn.stack, ffn.layer].shape[-1] for ffn in ffns(model)] == [
        *(24, 24),
        *(40, 40, 40),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gemma3n", "several residual streams"),
        ("gemma3n_text", "several residual streams"),
        ("llama4", "multiply what an expert reads"),
        ("llama4_text", "multiply what an expert reads"),
        ("nllb-moe", "modules of their own"),
    ],
)
def test_what_no_entry_can_describe_is_refused_with_the_reason(name: str, reason: str):
    with pytest.raises(NeuroglotError, match=f"'{name}' .*{reason}"):
        check_supported(transformers.AutoConfig.for_model(name))


def test_other_language_models_in_a_multimodal_model_are_refused():
    config = tiny_config("mistral3")
    config.text_config = transformers.GPT2Config()
    with pytest.raises(NeuroglotError, match=r"'mistral3' .*must be mistral or ministral3"):
        check_supported(config)


def test_half_a_model_is_refused():
    config = tiny_config("t5")
    with pytest.raises(NeuroglotError, match="T5EncoderModel has no 'decoder'"):
        ffns(transformers.T5EncoderModel(config))
