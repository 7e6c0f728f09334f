"""Perplexity against a literal loop over tokens."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from neuroglot.capture import head
from neuroglot.capture.activity import Activity
from neuroglot.capture.generation import generate
from neuroglot.capture.perplexity import negative_log_likelihood, perplexity, predicted
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns, record
from neuroglot.models.intervene import Edit, deactivated, intervened
from neuroglot.models.norms import value_norms
from support.tiny_models import CAUSAL, VOCABULARY, tiny_model

torch.set_num_threads(1)

BOS = [1]

model_of = cache(tiny_model)  # tests leave the model as they found it
every_causal_model = pytest.mark.parametrize("name", CAUSAL)


def random_segments(count: int = 5, length: int = 7, seed: int = 0) -> list[np.ndarray]:
    """Segments of different lengths, from ``length`` downwards."""
    generator = np.random.default_rng(seed)
    lengths = [max(2, length - 2 * (i % 3)) for i in range(count)]
    return [generator.integers(3, VOCABULARY - 1, size) for size in lengths]


def literal(model: Any, segments: list[np.ndarray], before: list[int]) -> np.ndarray:
    """One forward pass of the whole model per predicted token; softmax in float64."""
    found = []
    for segment in segments:
        sequence = [*before, *segment]
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


def test_predicted_tokens():
    segments = [np.arange(7), np.arange(3)]
    assert predicted(segments, BOS).tolist() == [7, 3]
    assert predicted(segments, [1, 2]).tolist() == [7, 3]
    assert predicted(segments, []).tolist() == [6, 2]


def test_perplexity_is_the_exponential_of_the_mean_over_tokens():
    assert perplexity(np.array([3.0, 5.0]), np.array([1, 3])) == pytest.approx(math.exp(2))
    uniform = np.arange(1, 7) * math.log(50)
    assert perplexity(uniform, np.arange(1, 7)) == pytest.approx(50)


@every_causal_model
@pytest.mark.parametrize("before", [[], BOS, [1, 2]])
@pytest.mark.usefixtures("small_blocks")
def test_equal_to_one_softmax_per_token(name: str, before: list[int]):
    model, text = model_of(name), random_segments(3)
    found = negative_log_likelihood(model, text, before)
    np.testing.assert_allclose(found, literal(model, text, before), rtol=1e-5)
    assert found.dtype == np.float64


@every_causal_model
def test_the_model_is_left_as_it_was(name: str):
    model, ids = model_of(name), torch.tensor([[5, 9, 11, 4, 8], [7, 3, 12, 30, 6]])
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        negative_log_likelihood(model, random_segments(), BOS)
        assert torch.equal(model(input_ids=ids).logits, whole)
    assert not any("forward" in part.__dict__ for part in model.modules())


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text", "cohere", "gptj"])
@pytest.mark.usefixtures("small_blocks")
def test_equal_to_the_loss_of_transformers(name: str):
    model, text = model_of(name), random_segments()
    found = negative_log_likelihood(model, text, BOS)
    for segment, total in zip(text, found, strict=True):
        ids = torch.tensor([[*BOS, *segment]])
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss
        assert total / len(segment) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.usefixtures("small_blocks")
def test_half_precision():
    model, text = tiny_model("llama").bfloat16(), random_segments()
    found = negative_log_likelihood(model, text, BOS)
    np.testing.assert_allclose(found, literal(model, text, BOS), rtol=1e-2)


@pytest.mark.parametrize("change", ["final_logit_softcapping", "logit_scale"])
@pytest.mark.usefixtures("small_blocks")
def test_what_the_model_does_to_its_logits_counts(change: str):
    name = {"final_logit_softcapping": "gemma2", "logit_scale": "cohere"}[change]
    text = random_segments()
    strong, weak = (tiny_model(name, **{change: value}) for value in (0.5, 5.0))
    found = negative_log_likelihood(strong, text, BOS)
    np.testing.assert_allclose(found, literal(strong, text, BOS), rtol=1e-5)
    assert not np.allclose(found, negative_log_likelihood(weak, text, BOS), rtol=1e-2)


@pytest.mark.parametrize("batch_tokens", [1, 8, 20, 1000])
@pytest.mark.parametrize("name", ["llama", "gemma2", "bloom", "gpt2"])
def test_independent_of_the_batch(name: str, batch_tokens: int):
    model, text = model_of(name), random_segments()
    counted: list[int] = []
    found = negative_log_likelihood(model, text, BOS, batch_tokens, counted.append)
    np.testing.assert_allclose(found, negative_log_likelihood(model, text, BOS), rtol=1e-5)
    assert sum(counted) == sum(map(len, text))
    turned = negative_log_likelihood(model, text[::-1], BOS, batch_tokens)
    np.testing.assert_allclose(turned[::-1], found, rtol=1e-5)


@pytest.mark.parametrize("block", [1, 13, 40, 1000])
def test_independent_of_the_block(block: int, monkeypatch: pytest.MonkeyPatch):
    model, text = model_of("gemma2"), random_segments()
    expected = negative_log_likelihood(model, text, BOS)
    monkeypatch.setattr(head, "_block", lambda *_: block)
    np.testing.assert_allclose(negative_log_likelihood(model, text, BOS), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["llama", "falcon", "gpt2", "opt"])
def test_deactivated_neurons_count(name: str):
    model, text = model_of(name), random_segments()
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
    count = [np.arange(10, 18)]
    found = negative_log_likelihood(model, count, [])
    assert perplexity(found, predicted(count, [])) == pytest.approx(1)
    assert generate(model, [[10, 11]], 5) == [[12, 13, 14, 15, 16]]


def test_halves_the_batch_when_memory_runs_out():
    model, text = model_of("llama"), random_segments(7)
    expected = negative_log_likelihood(model, text, BOS)
    sizes: list[int] = []

    def scarce(_block: Any, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with ffns(model)[0].block.register_forward_pre_hook(scarce):
        most = 2
        np.testing.assert_allclose(negative_log_likelihood(model, text, BOS), expected, rtol=1e-5)
        assert max(sizes[1:]) <= 3
        assert sizes[0] == 7
        most = 0
        with pytest.raises(NeuroglotError, match=".8 tokens.; lower perplexity.tokens_per_segm"):
            negative_log_likelihood(model, text, BOS)


def test_other_errors_pass_and_the_model_is_restored():
    model = tiny_model("llama")

    def fail(*_: Any) -> None:
        raise RuntimeError("mine")

    model.lm_head.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="mine"):
        negative_log_likelihood(model, random_segments(), BOS)
    assert not any("forward" in part.__dict__ for part in model.modules())


def test_a_forward_pass_of_the_modules_own_is_put_back():
    """As accelerate leaves one, where a model is spread over devices."""
    model, text = tiny_model("llama"), random_segments()
    expected = negative_log_likelihood(model, text, BOS)
    own = [(part, part.forward) for part in (model.model, model.lm_head)]
    for part, forward in own:
        part.forward = forward
    np.testing.assert_array_equal(negative_log_likelihood(model, text, BOS), expected)
    assert all(part.__dict__["forward"] is forward for part, forward in own)


def test_what_is_not_finite():
    model = tiny_model("llama")
    model.lm_head.weight.data[8] = torch.nan
    with pytest.raises(NeuroglotError, match=r"segment 0 is not finite.*set capture.dtype"):
        negative_log_likelihood(model, random_segments(), BOS)


def test_refused():
    text = random_segments()
    for name in ("t5", "bart"):
        with pytest.raises(NeuroglotError, match="leave the perplexity section out"):
            negative_log_likelihood(model_of(name), text, BOS)
    with pytest.raises(NeuroglotError, match="leaves nothing to predict"):
        negative_log_likelihood(model_of("llama"), [text[0], text[1][:1]], [])
    long = [segment[:64] for segment in np.random.default_rng(0).integers(3, 30, (2, 64))]
    assert len(negative_log_likelihood(model_of("gpt2"), long, [])) == len(long)
    with pytest.raises(NeuroglotError, match=r"65 tokens .* holds 64; lower perplexity.tok"):
        negative_log_likelihood(model_of("gpt2"), long, BOS)


def test_a_model_that_bypasses_its_decoder():
    model = tiny_model("llama")
    model.get_decoder = lambda: torch.nn.Identity()
    with pytest.raises(NeuroglotError, match="bypasses its decoder"):
        negative_log_likelihood(model, random_segments(), BOS)


def test_a_segment_does_not_depend_on_those_before_it():
    """Units of tests are independent: no segment is read after another."""
    model, text = model_of("llama"), random_segments()
    alone = [negative_log_likelihood(model, [segment], BOS)[0] for segment in text]
    np.testing.assert_allclose(negative_log_likelihood(model, text, BOS), alone, rtol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt2", "opt", "bloom"])
@pytest.mark.parametrize("batch_tokens", [8, 1000])
def test_every_segment_has_its_own_edits_and_special_tokens_have_none(name: str, batch_tokens: int):
    model, text = model_of(name), random_segments()
    networks = ffns(model)
    masks = np.random.default_rng(1).random((5, len(networks), networks[0].neurons)) < 0.5

    def edits(numbers: np.ndarray) -> list[Edit]:
        return [Edit(masks[numbers])]

    found = negative_log_likelihood(model, text, BOS, batch_tokens, edits=edits)
    for number, segment in enumerate(text):
        text_only = torch.arange(1 + len(segment))[None] > 0
        with intervened(model, [Edit(masks[number])], text_only), torch.no_grad():
            logits = model(torch.tensor([[*BOS, *segment]])).logits[0, :-1].double()
        expected = -logits.log_softmax(-1)[range(len(segment)), segment].sum()
        assert found[number] == pytest.approx(float(expected), rel=1e-5)
    assert not np.allclose(found, negative_log_likelihood(model, text, BOS), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "site"), [("llama", "gate"), ("gemma3_text", "gate"), ("gpt2", "act"), ("opt", "act")]
)
def test_activity_is_that_of_the_texts_own_tokens(name: str, site: Any):
    """Neither special tokens nor padding count; against every segment run alone."""
    model, text, group = model_of(name), random_segments(), np.array([0, 1, 0, 2, 1])
    activity = Activity(model, site, group)
    losses = negative_log_likelihood(model, text, BOS, 20, activity=activity)
    np.testing.assert_allclose(losses, negative_log_likelihood(model, text, BOS), rtol=1e-5)
    shape = 3, len(ffns(model)), ffns(model)[0].neurons
    kept: dict[tuple[str, int], np.ndarray] = {}
    fired, size, tokens = np.zeros(shape), np.zeros(shape), np.zeros(3)
    for segment, of in zip(text, group, strict=True):

        def keep(where: str, _stack: str, layer: int, value: Any) -> None:
            kept[where, layer] = value[0, 1:].numpy().copy()

        with record(model, {"act", site}, keep), torch.no_grad():
            model(torch.tensor([[*BOS, *segment]]))
        tokens[of] += len(segment)
        for layer in range(shape[1]):
            fired[of, layer] += (kept[site, layer] > 0).sum(0)
            size[of, layer] += np.abs(kept["act", layer]).sum(0, dtype=np.float64)
    assert activity.tokens.tolist() == tokens.tolist()
    assert np.abs(activity.frequency() - fired / tokens[:, None, None]).mean() < 1e-3
    norms = np.stack([value_norms(ffn) for ffn in ffns(model)])
    expected = size * norms / tokens[:, None, None]
    np.testing.assert_allclose(activity.contribution(), expected, rtol=1e-4, atol=1e-7)


def test_a_batch_that_is_tried_again_counts_once(monkeypatch: pytest.MonkeyPatch):
    model, text = model_of("llama"), random_segments(4)
    whole = Activity(model, "gate", np.zeros(4, int))
    negative_log_likelihood(model, text, BOS, activity=whole)
    plain, tries = head.predict, []

    def scarce(*arguments: Any) -> Any:
        tries.append(len(arguments[1]))
        if len(tries) == 1:  # after all layers have run
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(*arguments)

    monkeypatch.setattr(head, "predict", scarce)
    again = Activity(model, "gate", np.zeros(4, int))
    negative_log_likelihood(model, text, BOS, activity=again)
    assert len(tries) == 3
    assert again.tokens == whole.tokens
    np.testing.assert_array_equal(again.fired, whole.fired)
