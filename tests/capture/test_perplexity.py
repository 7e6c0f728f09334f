"""Perplexity against a literal loop over tokens."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from neuroglot.capture import head
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import (
    negative_log_likelihood,
    perplexity,
    predicted,
    windows,
)
from neuroglot.errors import NeuroglotError
from neuroglot.measures.perplexity import geometric_mean
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import deactivated
from neuroglot.tokens import Tokens
from support.tiny_models import NAMES, VOCABULARY, tiny_model

torch.set_num_threads(1)

CAUSAL = [name for name in NAMES if not tiny_model(name).config.is_encoder_decoder]
BOS = [1]

model_of = cache(tiny_model)  # tests leave the model as they found it
every_causal_model = pytest.mark.parametrize("name", CAUSAL)


def tokens(ids: list[int], segment: list[int]) -> Tokens:
    return Tokens(
        token_id=np.array(ids, np.int32),
        segment=np.array(segment, np.int32),
        position=np.zeros(len(ids), np.int32),
        end=np.zeros(len(ids), np.int32),
        ends_prefix=np.zeros(len(ids), bool),
        segment_ids=[f"s{i}" for i in range(max(segment) + 1)],
        before=BOS,
        after=[],
    )


def random_windows(count: int = 5, window: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(3, VOCABULARY - 1, (count, window))


def literal(model: Any, windows: np.ndarray, before: list[int]) -> np.ndarray:
    """One forward pass of the whole model per predicted token; softmax in float64."""
    found = []
    for window in windows:
        sequence = [*before, *window]
        total = 0.0
        for place in range(max(1, len(before)), len(sequence)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([sequence[:place]])).logits[0, -1]
            scores = np.exp(logits.double().numpy())
            total -= math.log(scores[sequence[place]] / scores.sum())
        found.append(total)
    return np.array(found)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that do not divide the vocabulary of 40."""
    monkeypatch.setattr(head, "_block", lambda *_: 7)


def test_windows_join_segments_and_drop_the_rest():
    text = tokens([10, 11, 12, 13, 14, 15, 16], [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(windows(text, 3, None), [[10, 11, 12], [13, 14, 15]])
    np.testing.assert_array_equal(windows(text, 2, 2), [[10, 11], [12, 13]])
    np.testing.assert_array_equal(windows(text, 7, 9), [[10, 11, 12, 13, 14, 15, 16]])
    assert windows(text, 3, None).dtype == np.int64


def test_too_little_text():
    with pytest.raises(NeuroglotError, match=r"has 3 tokens, .* of 4; lower perplexity.window"):
        windows(tokens([10, 11, 12], [0, 0, 1]), 4, None)


def test_predicted_tokens():
    assert predicted(random_windows(window=7), BOS) == 7
    assert predicted(random_windows(window=7), [1, 2]) == 7
    assert predicted(random_windows(window=7), []) == 6


def test_perplexity_is_the_exponential_of_the_mean():
    assert perplexity(np.array([3.0, 5.0]), 4) == pytest.approx(math.exp(2))
    uniform = np.full(6, 10 * math.log(50))
    assert perplexity(uniform, 60) == pytest.approx(50)


@every_causal_model
@pytest.mark.parametrize("before", [[], BOS, [1, 2]])
@pytest.mark.usefixtures("small_blocks")
def test_equal_to_one_softmax_per_token(name: str, before: list[int]):
    model, text = model_of(name), random_windows(3)
    found = negative_log_likelihood(model, text, before)
    np.testing.assert_allclose(found, literal(model, text, before), rtol=1e-5)
    assert found.dtype == np.float64


@every_causal_model
def test_the_model_is_left_as_it_was(name: str):
    model, ids = model_of(name), torch.from_numpy(random_windows(2))
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        negative_log_likelihood(model, random_windows(), BOS)
        assert torch.equal(model(input_ids=ids).logits, whole)
    assert not any("forward" in part.__dict__ for part in model.modules())


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "cohere", "gptj"])
@pytest.mark.usefixtures("small_blocks")
def test_equal_to_the_loss_of_transformers(name: str):
    model, text = model_of(name), random_windows()
    ids = torch.from_numpy(np.insert(text, 0, 1, axis=1))
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss
    found = perplexity(negative_log_likelihood(model, text, BOS), text.size)
    assert found == pytest.approx(math.exp(loss), rel=1e-5)


@pytest.mark.usefixtures("small_blocks")
def test_half_precision():
    model, text = tiny_model("llama").bfloat16(), random_windows()
    found = negative_log_likelihood(model, text, BOS)
    np.testing.assert_allclose(found, literal(model, text, BOS), rtol=1e-2)


@pytest.mark.parametrize("change", ["final_logit_softcapping", "logit_scale"])
@pytest.mark.usefixtures("small_blocks")
def test_what_the_model_does_to_its_logits_counts(change: str):
    name = {"final_logit_softcapping": "gemma2", "logit_scale": "cohere"}[change]
    text = random_windows()
    strong, weak = (tiny_model(name, **{change: value}) for value in (0.5, 5.0))
    found = negative_log_likelihood(strong, text, BOS)
    np.testing.assert_allclose(found, literal(strong, text, BOS), rtol=1e-5)
    assert not np.allclose(found, negative_log_likelihood(weak, text, BOS), rtol=1e-2)


@pytest.mark.parametrize("batch_tokens", [1, 8, 20, 1000])
@pytest.mark.parametrize("name", ["llama", "gemma2", "bloom", "gpt2"])
def test_independent_of_the_batch(name: str, batch_tokens: int):
    model, text = model_of(name), random_windows()
    counted: list[int] = []
    found = negative_log_likelihood(model, text, BOS, batch_tokens, counted.append)
    np.testing.assert_allclose(found, negative_log_likelihood(model, text, BOS), rtol=1e-5)
    assert sum(counted) == text.size
    turned = negative_log_likelihood(model, text[::-1], BOS, batch_tokens)
    np.testing.assert_allclose(turned[::-1], found, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 13, 40, 1000])
def test_independent_of_the_block(block: int, monkeypatch: pytest.MonkeyPatch):
    model, text = model_of("gemma2"), random_windows()
    expected = negative_log_likelihood(model, text, BOS)
    monkeypatch.setattr(head, "_block", lambda *_: block)
    np.testing.assert_allclose(negative_log_likelihood(model, text, BOS), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["llama", "falcon", "gpt2", "opt"])
def test_deactivated_neurons_count(name: str):
    model, text = model_of(name), random_windows()
    other = tiny_model(name)
    neurons = {0: np.array([1, 4, 9]), 1: np.array([2])}
    for layer, indices in neurons.items():
        ffns(other)[layer].output_matrix()[:, indices] = 0
    with deactivated(model, neurons):
        found = negative_log_likelihood(model, text, BOS)
    np.testing.assert_allclose(found, negative_log_likelihood(other, text, BOS), rtol=1e-5)
    assert not np.allclose(found, negative_log_likelihood(model, text, BOS), rtol=1e-4)


def test_a_model_that_knows_the_next_token_has_perplexity_one():
    """Planted: a head that reads the next token off the embedding, through no layer at all."""
    model = tiny_model("llama", hidden_size=VOCABULARY, num_attention_heads=5)
    for ffn in ffns(model):
        ffn.w_out.weight.data.zero_()
        ffn.block.self_attn.o_proj.weight.data.zero_()
    model.model.norm.weight.data.fill_(1)
    identity = torch.eye(VOCABULARY)
    model.model.embed_tokens.weight.data.copy_(identity)
    model.lm_head.weight.data.copy_(100 * identity.roll(1, 0))  # token t is followed by t + 1
    count = np.arange(10, 18)[None]
    assert perplexity(negative_log_likelihood(model, count, []), 7) == pytest.approx(1)
    assert generate(model, [[10, 11]], 5) == [[12, 13, 14, 15, 16]]


def test_halves_the_batch_when_memory_runs_out():
    model, text = model_of("llama"), random_windows(7)
    expected = negative_log_likelihood(model, text, BOS)
    sizes: list[int] = []

    def scarce(_block: Any, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with ffns(model)[0].block.register_forward_pre_hook(scarce):
        most = 2
        np.testing.assert_allclose(negative_log_likelihood(model, text, BOS), expected, rtol=1e-5)
        assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
        most = 0
        with pytest.raises(NeuroglotError, match=".8 tokens.; lower perplexity.window"):
            negative_log_likelihood(model, text, BOS)


def test_other_errors_pass_and_the_model_is_restored():
    model = tiny_model("llama")

    def fail(*_: Any) -> None:
        raise RuntimeError("mine")

    model.lm_head.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="mine"):
        negative_log_likelihood(model, random_windows(), BOS)
    assert not any("forward" in part.__dict__ for part in model.modules())


def test_a_forward_pass_of_the_modules_own_is_put_back():
    """As accelerate leaves one, where a model is spread over devices."""
    model, text = tiny_model("llama"), random_windows()
    expected = negative_log_likelihood(model, text, BOS)
    own = [(part, part.forward) for part in (model.model, model.lm_head)]
    for part, forward in own:
        part.forward = forward
    np.testing.assert_array_equal(negative_log_likelihood(model, text, BOS), expected)
    assert all(part.__dict__["forward"] is forward for part, forward in own)


def test_what_is_not_finite():
    model = tiny_model("llama")
    model.lm_head.weight.data[8] = torch.nan
    with pytest.raises(NeuroglotError, match=r"window 0 is not finite.*set capture.dtype"):
        negative_log_likelihood(model, random_windows(), BOS)


def test_refused():
    text = random_windows()
    for name in ("t5", "bart"):
        with pytest.raises(NeuroglotError, match="leave the perplexity section out"):
            negative_log_likelihood(model_of(name), text, BOS)
    with pytest.raises(NeuroglotError, match="leaves nothing to predict"):
        negative_log_likelihood(model_of("llama"), text[:, :1], [])
    long = random_windows(window=64)
    assert len(negative_log_likelihood(model_of("gpt2"), long, [])) == len(long)
    with pytest.raises(NeuroglotError, match=r"65 tokens .* holds 64; lower perplexity.window"):
        negative_log_likelihood(model_of("gpt2"), long, BOS)


def test_a_model_that_bypasses_its_decoder():
    model = tiny_model("llama")
    model.get_decoder = lambda: torch.nn.Identity()
    with pytest.raises(NeuroglotError, match="bypasses its decoder"):
        negative_log_likelihood(model, random_windows(), BOS)


def test_draws_are_averaged_as_logarithms():
    draws = np.array([[4.0, 10.0], [16.0, 10.0], [1.0, 10.0]])
    np.testing.assert_allclose(geometric_mean(draws), [4, 10], rtol=1e-15)
