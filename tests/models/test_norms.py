"""Value vectors and scales behind the norm that follows an FFN, against the norm itself."""

from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch

from neuroglot.analyses.sharing.measures.effective import effective_score
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import FFN, ffns
from neuroglot.models.norms import norm_scale, output_scale, value_norms, value_vectors
from support.tiny_models import HIDDEN, NEURONS, tiny_model, written_gain, written_scale

torch.set_num_threads(1)

BEHIND_FFN = [
    *("gemma2", "gemma3", "gemma3_text", "gemma4_text", "gemma4_text:per_layer"),
    *("olmo2", "olmo3", "exaone4", "glm4"),
]
SCALED = ["granite", "granite:biased", "falcon_h1", "falcon_h1:biased"]
WITHOUT = ["llama", "llama:biased", "gpt2", "bart", "t5:gated", *SCALED]


def layer_norm(bias: bool) -> FFN:
    """A biased layer that a LayerNorm follows, as no architecture of the table has it."""
    ffn = ffns(tiny_model("gpt2"))[1]
    norm = torch.nn.LayerNorm(HIDDEN, eps=0.1, bias=bias)
    generator = torch.Generator().manual_seed(3)
    for parameter in norm.parameters():
        parameter.data = torch.randn(HIDDEN, generator=generator)
    return replace(ffn, norm_after=norm)


def layers() -> list[Any]:
    named = [pytest.param(ffns(tiny_model(name))[-1], id=name) for name in (*BEHIND_FFN, *WITHOUT)]
    return [
        *named,
        pytest.param(layer_norm(bias=False), id="LayerNorm"),
        pytest.param(layer_norm(bias=True), id="biased LayerNorm"),
    ]


def activations(rows: int = 5, size: float = 1.0) -> np.ndarray:
    return size * np.random.default_rng(1).normal(size=(rows, NEURONS)).astype(np.float32)


def written(ffn: FFN, act: np.ndarray) -> np.ndarray:
    """What the layer adds to the residual stream: the model's own modules, in float64."""
    with torch.no_grad():
        out = torch.from_numpy(act).double() @ ffn.output_matrix().double().T
        if (bias := ffn.output_bias()) is not None:
            out = out + bias.double()
        if ffn.norm_after is not None:
            out = ffn.norm_after.double()(out)
            ffn.norm_after.float()
    return ffn.scale * out.numpy()


def bias_terms(ffn: FFN, act: np.ndarray) -> np.ndarray:
    """What the two biases add, [row, hidden]."""
    added = np.zeros((len(act), ffn.hidden))
    if (bias := ffn.output_bias()) is not None:
        value = bias.double().numpy()
        if ffn.norm_after is not None:  # of the layers here, a LayerNorm
            value = ffn.norm_after.weight.detach().double().numpy() * (value - value.mean())
        added += ffn.scale * output_scale(ffn, act)[:, None] * value
    shift = getattr(ffn.norm_after, "bias", None)
    return added if shift is None else added + shift.detach().double().numpy()


@pytest.mark.parametrize("ffn", layers())
@pytest.mark.parametrize("size", [1.0, 1e-3])  # the small one makes epsilon count
def test_scores_add_up_to_the_unembedding_times_the_layers_contribution(ffn: FFN, size: float):
    act = activations(size=size)
    rows = np.random.default_rng(2).normal(size=(len(act), HIDDEN)).astype(np.float32)
    score = effective_score(act, rows, value_vectors(ffn), output_scale(ffn, act))
    left = written(ffn, act) - bias_terms(ffn, act)
    expected = np.einsum("kh,kh->k", rows.astype(np.float64), left)
    np.testing.assert_allclose(score.sum(axis=1), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("ffn", layers())
def test_a_neurons_share_of_the_normed_output_is_its_own_part_of_it(ffn: FFN):
    """A neuron's part is what the normed output loses without it, at the norm's division as is."""
    act = activations(3)
    scale, values = output_scale(ffn, act), value_vectors(ffn)
    plain, bias = ffn.output_matrix().double().numpy(), ffn.output_bias()
    for row, own in enumerate(act.astype(np.float64)):
        out = plain @ own + (0 if bias is None else bias.double().numpy())
        for neuron in (0, 7, NEURONS - 1):
            part = own[neuron] * plain[:, neuron]
            if ffn.norm_after is not None:
                centre = isinstance(ffn.norm_after, torch.nn.LayerNorm)
                wide = out - out.mean() if centre else out
                # The factor of each dimension, read off the module: norm(x) is linear but for it.
                with torch.no_grad():
                    normed = ffn.norm_after.double()(torch.from_numpy(out)[None])[0].numpy()
                    ffn.norm_after.float()
                shift = getattr(ffn.norm_after, "bias", None)
                normed = normed - (0 if shift is None else shift.detach().double().numpy())
                part = normed / wide * (part - part.mean() if centre else part)
            part = ffn.scale * part
            found = scale[row] * own[neuron] * values[:, neuron]
            np.testing.assert_allclose(found, part, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", BEHIND_FFN)
def test_lengths_are_those_behind_the_norm(name: str):
    ffn = ffns(tiny_model(name))[0]
    gain = written_gain(name, ffn.norm_after).numpy()
    plain = ffn.output_matrix().double().numpy()
    expected = [sqrt(sum(float(x) ** 2 for x in gain * column)) for column in plain.T]
    np.testing.assert_allclose(value_norms(ffn), expected, rtol=1e-6)
    assert np.abs(np.linalg.norm(plain, axis=0) / expected - 1).max() > 0.05


@pytest.mark.parametrize("name", SCALED)
def test_lengths_are_scaled_where_the_layer_scales(name: str):
    ffn = ffns(tiny_model(name))[0]
    plain = np.linalg.norm(ffn.output_matrix().double().numpy(), axis=0)
    np.testing.assert_allclose(value_norms(ffn), written_scale(name) * plain, rtol=1e-6)
    assert abs(written_scale(name) - 1) > 0.5


def test_without_a_norm_value_vectors_are_the_columns():
    ffn = ffns(tiny_model("llama"))[0]
    np.testing.assert_array_equal(value_vectors(ffn), ffn.output_matrix().numpy())
    assert output_scale(ffn, activations()).tolist() == [1] * 5


def test_half_precision_weights_are_projected_in_wide_precision():
    ffn = ffns(tiny_model("gemma3_text").bfloat16())[0]
    act = activations()
    expected = act.astype(np.float64) @ ffn.output_matrix().double().numpy().T
    scale = 1 / np.sqrt(np.mean(expected**2, axis=1) + 1e-6)
    np.testing.assert_allclose(output_scale(ffn, act), scale, rtol=1e-6)


def test_norm_scale():
    out = np.array([[3, 4, 0, 0], [2, 2, 2, 2]], np.float32)
    np.testing.assert_allclose(norm_scale(out, 0), [1 / 2.5, 1 / 2], rtol=1e-15)
    variance = (25 - 49 / 4) / 4
    np.testing.assert_allclose(norm_scale(out, 0.25, True), [1 / sqrt(variance + 0.25), 2])
    with pytest.raises(NeuroglotError, match="epsilon 0"):
        norm_scale(out, 0, True)
    with pytest.raises(NeuroglotError, match="output is NaN"):
        norm_scale(out * np.nan, 1e-6)
