"""Top tokens of the last layer's neurons against the whole matrix, and planted language neurons."""

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from neuroglot.analyses.lexicon.measures.lexicon import (
    association,
    coverage,
    entropy,
    language_given_token,
    lowest_entropy,
)
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, final_norms
from neuroglot.models.projection import extreme_products, final_norm_gain, top_tokens
from support.tiny_models import (
    DEEP_HEADS,
    ENCODERS,
    NAMES,
    NEURONS,
    VOCABULARY,
    tiny_model,
    written_gain,
    written_scale,
)

torch.set_num_threads(1)

WITHOUT_FINAL_NORM = {"bart", "marian", "opt:post_norm"}


SHALLOW = [name for name in NAMES if name not in DEEP_HEADS]


def found_stack(name: str) -> str:
    return "encoder" if name.split(":")[0] in ENCODERS else "decoder"


def gain_behind_ffn(name: str, model: Any) -> np.ndarray | float:
    norm = ffns(model)[-1].norm_after
    scale = written_scale(name)
    return scale if norm is None else scale * written_gain(name, norm).numpy()


def dense(model: Any, gain: np.ndarray | float = 1.0) -> np.ndarray:
    """The whole matrix [neuron, token] in float64; the head as a module, less its bias."""
    head = model.get_output_embeddings()
    values = ffns(model)[-1].output_matrix().double().numpy().T * gain
    between = getattr(getattr(model.base_model, "decoder", None), "project_out", None)
    if between is not None:
        values = values @ between.weight.detach().double().numpy().T
    with torch.no_grad():
        zero = head(torch.zeros(1, values.shape[1]))
        logits = head.double()(torch.from_numpy(values)) - zero
    head.float()
    return logits.numpy()


def check(found: xr.Dataset, logit_weight: np.ndarray, k: int) -> None:
    """Tokens may differ from the reference's only where the weights are equal up to rounding."""
    for sign, order in (("positive", -logit_weight), ("negative", logit_weight)):
        expected = np.sort(order, axis=1)[:, :k] * (-1 if sign == "positive" else 1)
        weight = found["top_weight"].sel(sign=sign).to_numpy()
        token = found["top_token"].sel(sign=sign).to_numpy()
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            np.take_along_axis(logit_weight, token, 1), expected, rtol=1e-5, atol=1e-5
        )
        assert all(len(set(row)) == k for row in token.tolist())


@pytest.mark.parametrize("name", SHALLOW)
def test_top_tokens_of_every_architecture(name):
    model = tiny_model(name)
    found = top_tokens(model, 5, block_tokens=16)
    assert found["top_token"].dims == ("sign", "neuron", "rank")
    assert found["top_token"].dtype == np.int32
    assert found["top_weight"].dtype == np.float32
    assert found["sign"].values.tolist() == ["positive", "negative"]
    assert found.attrs["vocabulary"] == model.get_output_embeddings().weight.shape[0]
    last = [ffn for ffn in ffns(model) if ffn.stack == found_stack(name)][-1]
    assert found.attrs["layer"] == last.layer
    assert last.index == len(ffns(model)) - 1
    check(found, dense(model, gain_behind_ffn(name, model)), 5)


@pytest.mark.parametrize("name", [name for name in SHALLOW if name not in WITHOUT_FINAL_NORM])
def test_folding_multiplies_the_gain_of_every_architecture(name):
    model = tiny_model(name)
    gain = written_gain(name, final_norms(model)[found_stack(name)]).numpy()
    np.testing.assert_allclose(final_norm_gain(model).numpy(), gain, rtol=1e-6)
    both = gain * gain_behind_ffn(name, model)
    check(top_tokens(model, 5, fold_final_norm=True), dense(model, both), 5)


@pytest.mark.parametrize("name", sorted(WITHOUT_FINAL_NORM))
def test_no_final_norm_to_fold(name):
    with pytest.raises(NeuroglotError, match="no norm after its last layer"):
        top_tokens(tiny_model(name), 3, fold_final_norm=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gemma3_text", "gpt2"])
def test_gain_survives_half_precision_and_a_large_bias(name, dtype):
    model = tiny_model(name)
    norm = final_norms(model)["decoder"]
    if name == "gpt2":
        norm.bias.data.fill_(300.0)
    model = model.to(dtype)
    expected = written_gain(name, norm).numpy()
    np.testing.assert_allclose(final_norm_gain(model).numpy(), expected, rtol=1e-6)


def test_gain_of_an_odd_width():
    model = tiny_model("gpt2", n_embd=9, n_head=3)
    gain = written_gain("gpt2", final_norms(model)["decoder"]).numpy()
    np.testing.assert_allclose(final_norm_gain(model).numpy(), gain, rtol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "t5", "m2m_100"])
@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied(name, tied):
    model = tiny_model(name, tie_word_embeddings=True)
    if not tied:
        model.set_output_embeddings(nn.Linear(16, VOCABULARY, bias=False))
    same = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert same == tied
    check(top_tokens(model, 7), dense(model, gain_behind_ffn(name, model)), 7)


@pytest.mark.parametrize("name", DEEP_HEADS)
def test_heads_with_layers_of_their_own_are_refused(name):
    with pytest.raises(NeuroglotError, match=r"layers of their own .* lexicon\.models"):
        top_tokens(tiny_model(name), 3)


def test_project_out_of_a_narrow_unembedding():
    model = tiny_model("opt:post_norm", word_embed_proj_dim=8)
    assert model.get_output_embeddings().weight.shape[1] == 8
    check(top_tokens(model, 4), dense(model), 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_products_are_float32_in_every_precision(dtype):
    model = tiny_model("llama").to(dtype)
    found = top_tokens(model, 6, block_tokens=11)
    value = ffns(model)[-1].output_matrix().double().numpy().T
    unembedding = model.get_output_embeddings().weight.detach().double().numpy()
    check(found, value @ unembedding.T, 6)


def whole_numbers(neurons: int = 9, tokens: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Small whole numbers: products are exact, and many are equal."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-2, 3, (neurons, 4), generator=generator).float()
    values[0] = 0  # a neuron that writes nothing: all its products are equal
    return values, torch.randint(-2, 3, (tokens, 4), generator=generator).float()


@pytest.mark.parametrize("k", [1, 13, 200])
@pytest.mark.parametrize("block", [1, 7, 13, 64, 128, 199, 200, 1000])
def test_equal_weights_are_ranked_by_token_whatever_the_block(k, block):
    values, unembedding = whole_numbers()
    (largest, top), (smallest, bottom) = extreme_products(values, unembedding, k, block)
    products = (values @ unembedding.T).int().tolist()
    for neuron, row in enumerate(products):
        descending = sorted(range(200), key=lambda token: (-row[token], token))[:k]
        ascending = sorted(range(200), key=lambda token: (row[token], token))[:k]
        assert top[neuron].tolist() == descending
        assert bottom[neuron].tolist() == ascending
        assert largest[neuron].tolist() == [row[token] for token in descending]
        assert smallest[neuron].tolist() == [row[token] for token in ascending]


def test_products_that_grow_with_the_token_replace_all_before():
    values = torch.tensor([[1.0], [-1.0]])
    unembedding = torch.arange(1000.0)[:, None]
    (_, top), (_, bottom) = extreme_products(values, unembedding, 3, 64)
    assert top.tolist() == [[999, 998, 997], [0, 1, 2]]
    assert bottom.tolist() == [[0, 1, 2], [999, 998, 997]]


def test_the_block_never_holds_the_vocabulary(monkeypatch):
    """The default block is bounded in products, not in tokens."""
    import neuroglot.models.projection as projection

    seen: list[int] = []
    whole = projection._candidates
    monkeypatch.setattr(projection, "BLOCK_VALUES", 6 * NEURONS)
    monkeypatch.setattr(
        projection, "_candidates", lambda *args: seen.append(args[0].shape[1]) or whole(*args)
    )
    check(top_tokens(tiny_model("llama"), 4), dense(tiny_model("llama")), 4)
    assert max(seen) == 6
    assert sum(seen) == 2 * VOCABULARY


@pytest.mark.parametrize("k", [0, VOCABULARY + 1])
def test_more_top_tokens_than_the_vocabulary_has(k):
    with pytest.raises(
        NeuroglotError, match=f"{k} tokens cannot be kept .* vocabulary has {VOCABULARY}"
    ):
        top_tokens(tiny_model("gpt2"), k)


def test_a_model_without_a_head():
    with pytest.raises(NeuroglotError, match="no unembedding"):
        top_tokens(tiny_model("llama").base_model, 3)


def test_weights_that_are_not_finite():
    model = tiny_model("llama", tie_word_embeddings=False)
    model.get_output_embeddings().weight.data[17, 3] = float("nan")
    with pytest.raises(NeuroglotError, match="unembedding of tokens 10 to 19 holds NaN"):
        top_tokens(model, 3, block_tokens=10)
    model = tiny_model("llama")
    ffns(model)[-1].w_out.weight.data[0, 0] = float("inf")
    with pytest.raises(NeuroglotError, match="output projection of the last layer"):
        top_tokens(model, 3)


def test_an_unembedding_that_is_not_in_memory():
    model = tiny_model("llama", tie_word_embeddings=False)
    model.set_output_embeddings(nn.Linear(16, VOCABULARY, device="meta"))
    with pytest.raises(NeuroglotError, match="the unembedding: expected a floating-point matrix"):
        top_tokens(model, 3)


def test_planted_language_neurons_of_an_encoder_decoder_are_found():
    """Weights and counts to the languages of neurons that were made to write them."""
    model = tiny_model("m2m_100", d_model=64)
    generator = torch.Generator().manual_seed(1)
    own = {"sw": range(5, 11), "sr": range(11, 17), "nn": range(17, 23), "en": range(23, 29)}
    shared = range(29, 40)  # tokens 0 to 4 are special and never counted
    unembedding = model.get_output_embeddings().weight.data
    unembedding.copy_(torch.eye(VOCABULARY, 64))
    value = ffns(model)[-1].output_matrix()  # [hidden, neuron], the model's own weights
    value.zero_()
    for neuron in range(NEURONS):  # by default, tokens of all languages in turn
        strength = torch.randperm(6, generator=generator) + 1.0
        for rank in range(6):
            value[list(own.values())[rank % 4][rank], neuron] = strength[rank]
            value[shared[rank], neuron] = -strength[rank]
    planted = {("positive", 3): "sw", ("positive", 20): "nn", ("negative", 11): "sr"}
    for (sign, neuron), language in planted.items():
        direction = 1 if sign == "positive" else -1
        value[list(own[language]), neuron] = direction * torch.arange(10.0, 16)
    count = np.zeros((len(own), VOCABULARY), np.int64)
    for row, (tokens, size) in enumerate(zip(own.values(), (1, 30, 2, 500), strict=True)):
        count[row, list(tokens)] = size * np.arange(3, 9)
        count[row, list(shared)] = size * 4
    seen = np.flatnonzero(count.sum(0))
    counts = xr.DataArray(
        count[:, seen],
        dims=("language", "token"),
        coords={"language": list(own), "token": seen},
    )
    found = top_tokens(model, 6, block_tokens=9)["top_token"]
    profile = association(found, language_given_token(counts, "uniform"))
    lowest = lowest_entropy(entropy(profile), coverage(found, counts), 0.5, n=2)
    assert set(lowest.sel(sign="positive").values.tolist()) == {3, 20}
    assert lowest.sel(sign="negative").values[0] == 11
    for (sign, neuron), language in planted.items():
        one = profile.sel(sign=sign).isel(neuron=neuron)
        assert one.sel(language=language) == 1
    others = {(sign, neuron) for sign in ("positive", "negative") for neuron in range(NEURONS)}
    bits = entropy(profile)
    assert all(bits.sel(sign=s).isel(neuron=i) > 1 for s, i in others - set(planted))
