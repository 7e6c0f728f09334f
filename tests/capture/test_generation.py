"""Batched generation against transformers' own, one prompt at a time and edited by hand."""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from neuroglot.capture.generation import continued, generate
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit, intervened
from support.tiny_checkpoints import TEXTS, train_tokenizer
from support.tiny_models import CAUSAL, VOCABULARY, own_neurons, tiny_model

torch.set_num_threads(1)

SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}
MODELS = {
    **{name: (name, {}) for name in CAUSAL},
    **{f"{name} sliding": (name, SLIDING) for name in ("gemma2", "gemma3_text")},
    "mistral sliding": ("mistral", {"sliding_window": 4}),
}
NEW = 8
PROMPTS = [[1, 8, 9], [1, 30, 4, 17, 22, 5, 11], [6], [1, 12, 12, 7, 3]]
FACTORS = (1.0, 6.0, 40.0, -9.0)  # of each prompt


@cache
def model_of(name: str) -> Any:  # tests leave the model as they found it
    architecture, changes = MODELS[name]
    model = tiny_model(architecture, **changes)
    model.generation_config.eos_token_id = VOCABULARY + 1
    return model


every_model = pytest.mark.parametrize("name", MODELS)


def neurons_of(model: Any, seed: int = 3) -> np.ndarray:
    """A set of neurons for each prompt, [item, layer, neuron]."""
    own = own_neurons(model)
    return (np.random.default_rng(seed).random((len(PROMPTS), *own.shape)) < 0.4) & own


def scaled(neurons: np.ndarray, factors: Sequence[float] = FACTORS) -> Any:
    """One edit per factor, with neurons in its own prompts only."""
    of_item = np.array(factors)

    def edits(items: np.ndarray) -> list[Edit]:
        return [
            Edit(neurons[items] & (of_item[items] == factor)[:, None, None], "scale", factor)
            for factor in sorted(set(factors) - {1.0})
        ]

    return edits


def by_transformers(model: Any, prompt: list[int], edits: list[Edit]) -> list[int]:
    with intervened(model, edits), torch.inference_mode():
        found = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=NEW,
            pad_token_id=0,
        )
    return found[0, len(prompt) :].tolist()


def without_cache(model: Any, prompt: list[int], edits: list[Edit], read: str) -> list[int]:
    """Everything is read again for every token; ``read`` says where edits are made."""
    text = list(prompt)
    for _ in range(NEW):
        mask = torch.ones(1, len(text), dtype=torch.bool)
        if read == "prompt":
            mask[:, len(prompt) :] = False
        with intervened(model, edits, mask), torch.no_grad():
            logits = model(input_ids=torch.tensor([text]), use_cache=False).logits
        text.append(int(logits[0, -1].argmax()))
    return text[len(prompt) :]


@every_model
def test_is_what_transformers_generates(name: str) -> None:
    model = model_of(name)
    expected = [by_transformers(model, prompt, []) for prompt in PROMPTS]
    assert generate(model, PROMPTS, NEW) == expected
    assert [len(ids) for ids in expected] == [NEW] * len(PROMPTS)


@every_model
def test_prompts_of_a_batch_are_edited_each_in_its_way(name: str) -> None:
    model = model_of(name)
    neurons = neurons_of(model)
    expected = [
        by_transformers(model, prompt, [Edit(own, "scale", factor)])
        for prompt, own, factor in zip(PROMPTS, neurons, FACTORS, strict=True)
    ]
    assert generate(model, PROMPTS, NEW, scaled(neurons)) == expected
    plain = generate(model, PROMPTS, NEW)
    assert expected[0] == plain[0]  # factor 1
    assert expected[1:] != plain[1:]


@pytest.mark.parametrize("name", ["llama", "gpt2", "bloom", "gemma3_text sliding"])
@pytest.mark.parametrize("positions", ["all", "prompt"])
def test_where_neurons_are_edited(name: str, positions: str) -> None:
    model = model_of(name)
    neurons = neurons_of(model, 5)
    factors = (3.0, 3.0, -2.0, -2.0)
    expected = [
        without_cache(model, prompt, [Edit(own, "scale", factor)], positions)
        for prompt, own, factor in zip(PROMPTS, neurons, factors, strict=True)
    ]
    assert generate(model, PROMPTS, NEW, scaled(neurons, factors), positions) == expected


def test_positions_matter() -> None:
    model = model_of("llama")
    edits = scaled(neurons_of(model, 5), (3.0, 3.0, -2.0, -2.0))
    found = {tuple(map(tuple, generate(model, PROMPTS, NEW, edits, p))) for p in ("all", "prompt")}
    assert len(found) == 2


@pytest.mark.parametrize("budget", [1, 20, 31, 1000])
def test_the_batch_changes_nothing(budget: int) -> None:
    model = model_of("gemma3_text")
    edits = scaled(neurons_of(model))
    found = generate(model, PROMPTS, NEW, edits, batch_tokens=budget)
    assert found == generate(model, PROMPTS, NEW, edits)
    assert found == generate(model, PROMPTS[::-1], NEW, lambda i: edits(3 - i))[::-1]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
def test_stops_where_the_text_ends(name: str, several: bool) -> None:
    model = tiny_model(name)
    model.generation_config.eos_token_id = VOCABULARY + 1
    whole = generate(model, PROMPTS, NEW)
    end = next(token for token in whole[0][1:] if token != whole[0][0])
    model.generation_config.eos_token_id = [VOCABULARY + 1, end] if several else end
    expected = [ids[: ids.index(end)] if end in ids else ids for ids in whole]
    assert generate(model, PROMPTS, NEW) == expected
    assert generate(model, PROMPTS[:1], NEW) == expected[:1]
    assert 0 < len(expected[0]) < NEW


def test_says_nothing_and_leaves_the_model_alone(capfd: pytest.CaptureFixture[str]) -> None:
    model = model_of("llama")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = generate(model, PROMPTS, NEW)
        generate(model, PROMPTS, NEW, scaled(neurons_of(model)))
        assert generate(model, PROMPTS, NEW) == plain
    assert generate(model, [], NEW) == []
    assert generate(model, PROMPTS, 0) == [[]] * len(PROMPTS)
    assert capfd.readouterr() == ("", "")


def test_halves_the_batch_when_memory_runs_out() -> None:
    model = model_of("llama")
    expected = generate(model, PROMPTS, NEW)
    sizes: list[int] = []

    def scarce(_block: Any, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("no memory")

    with ffns(model)[0].block.register_forward_pre_hook(scarce):
        limit = 1
        assert generate(model, PROMPTS, NEW) == expected
        assert sizes[0] == len(PROMPTS)
        assert max(sizes[-4:]) == 1
        limit = 0
        with pytest.raises(NeuroglotError, match="not enough memory for a prompt .* .15 tokens."):
            generate(model, PROMPTS, NEW)


def test_refused() -> None:
    for name in ("t5", "bart"):
        with pytest.raises(NeuroglotError, match="is an encoder-decoder"):
            generate(tiny_model(name), PROMPTS, NEW)
    with pytest.raises(NeuroglotError, match="66 tokens .* shorten the prompt"):
        generate(model_of("gpt2"), [[5, 6], [5]], 64)
    with pytest.raises(NeuroglotError, match="no text to go on from"):
        generate(model_of("gpt2"), [[5], []], NEW)
    model = tiny_model("llama")
    model.lm_head.weight.data[7] = float("nan")
    with pytest.raises(NeuroglotError, match="NaN or infinity"):
        generate(model, PROMPTS, NEW)


def test_a_continuation_begins_where_the_prompt_ends() -> None:
    tokenizer = train_tokenizer()
    ids = tokenizer.encode("All 生", add_special_tokens=False).ids
    whole = tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    assert continued(tokenizer, whole[:4], whole[4:]) == TEXTS[0].removeprefix(
        tokenizer.decode(whole[:4])
    )
    byte_level = [tokenizer.token_to_id(one) for one in "çĶŁ"]  # the three bytes of 生
    assert continued(tokenizer, byte_level[:1], byte_level[1:]) == "生"
    assert continued(tokenizer, ids, []) == ""
