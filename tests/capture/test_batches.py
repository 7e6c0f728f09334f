"""Which texts are run together, and a cache that several continuations go on from."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from neuroglot.capture.batches import Budget, batch_budget, in_batches
from neuroglot.capture.context import Context, pad
from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import recurrent
from support.tiny_models import CAUSAL, tiny_inputs, tiny_model

torch.set_num_threads(1)

RECURRENT = [name for name in CAUSAL if recurrent(tiny_model(name).config)]
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def grouped(lengths: list[int], budget: int, alike: bool) -> list[list[int]]:
    groups: list[list[int]] = []
    tokens = Budget(budget)
    in_batches(lengths, tokens, lambda group: groups.append(group.tolist()), "one", alike=alike)
    return groups


def test_texts_of_similar_length_are_run_together():
    assert grouped([3, 5, 3, 4], 20, alike=False) == [[1, 3, 0, 2]]
    assert grouped([3, 5, 3, 4], 9, alike=False) == [[1], [3, 0], [2]]


def test_or_only_those_of_equal_length():
    assert grouped([3, 5, 3, 4], 20, alike=True) == [[1], [3], [0, 2]]
    assert grouped([3, 5, 3, 4, 3], 6, alike=True) == [[1], [3], [0, 2], [4]]


def scarce(limit: int, groups: list[list[int]]) -> Any:
    """Runs batches of at most ``limit`` texts, and has no memory for more."""

    def run(group: np.ndarray) -> None:
        groups.append(group.tolist())
        if len(group) > limit:
            raise torch.OutOfMemoryError("out of memory")

    return run


def test_a_batch_is_halved_when_memory_runs_out():
    groups: list[list[int]] = []
    assert in_batches([4] * 5, Budget(16), scarce(2, groups), "one") == Budget(8)
    assert groups == [[0, 1, 2, 3], [0, 1], [2, 3], [4]]


def test_but_not_in_half_precision_where_it_would_change_numbers():
    groups: list[list[int]] = []
    smaller = r"batch of 16 tokens; set execution\.batch_tokens to 8, .*computed again"
    with pytest.raises(NeuroglotError, match=smaller):
        in_batches([4] * 5, Budget(16, fixed=True), scarce(2, groups), "one")
    assert groups == [[0, 1, 2, 3]]
    in_batches([4] * 5, Budget(8, fixed=True), scarce(2, groups), "one")
    with pytest.raises(NeuroglotError, match="not enough memory for one .4 tokens."):
        in_batches([4], Budget(8, fixed=True), scarce(0, groups), "one")


@pytest.mark.parametrize(
    ("dtype", "fixed"), [(torch.float32, False), (torch.bfloat16, True), (torch.float16, True)]
)
def test_half_precision_is_that_of_the_weights(dtype: torch.dtype, fixed: bool):
    model = tiny_model("llama").to(dtype)
    assert batch_budget(model, 256, None) == Budget(256, fixed)
    assert batch_budget(model, 256, 7) == Budget(7, fixed)


def test_texts_that_are_run_several_times():
    groups: list[list[int]] = []
    in_batches([3, 5], Budget(10), lambda group: groups.append(group.tolist()), "one", times=3)
    assert groups == [[3, 4], [5, 0], [1, 2]], "runs of the longer text, then of the other"


@pytest.mark.parametrize("name", CAUSAL)
def test_recurrent_are_the_models_whose_caches_hold_states(name: str):
    config = tiny_model(name).config
    layers = DynamicCache(config=config).layers
    assert recurrent(config) == any(hasattr(layer, "recurrent_states") for layer in layers)


def test_hybrid_models_are_here():
    assert {name.split(":")[0] for name in RECURRENT} == {
        *("falcon_h1", "lfm2", "qwen3_5", "qwen3_5_text")
    }


@pytest.mark.parametrize("name", CAUSAL)
@pytest.mark.parametrize("more", [1, 3])
def test_a_context_is_as_it_was_after_others_went_on_from_it(name: str, more: int):
    """What was read is not changed by reading on, and a selection of its items is a copy."""
    model = tiny_model(name)
    ids = tiny_inputs(model, time=9)["input_ids"]
    real = torch.ones_like(ids)
    start = Context.empty(model, 2).read(ids[:, :5], real[:, :5])
    first, _ = start.states(ids[:, 5 : 5 + more], real[:, 5 : 5 + more])
    start.states(ids[:, 6 : 6 + more], real[:, 5 : 5 + more])
    picked = start.rows(np.array([1, 1, 0]))
    picked.states(ids[[0, 1, 0], 4 : 4 + more], real[[0, 1, 0], 5 : 5 + more])
    again, _ = start.states(ids[:, 5 : 5 + more], real[:, 5 : 5 + more])
    assert torch.equal(first, again)
    with torch.no_grad():
        whole = model.base_model(input_ids=ids[:, : 5 + more]).last_hidden_state[:, 5:]
    torch.testing.assert_close(first, whole, **CLOSE)
    chosen, _ = picked.states(ids[[1, 1, 0], 5 : 5 + more], real[[1, 1, 0], 5 : 5 + more])
    torch.testing.assert_close(chosen, whole[[1, 1, 0]], **CLOSE)


def test_a_model_without_attention_goes_on_from_what_it_has_read():
    """Its own forward pass fails where it makes a cache, because no layer knows a length."""
    model = tiny_model("qwen3_5_text", layer_types=["linear_attention"] * 2)
    ids = tiny_inputs(model, time=7)["input_ids"]
    real = torch.ones_like(ids)
    start = Context.empty(model, 2).read(ids[:, :4], real[:, :4])
    second, more = start.states(ids[:, 4:5], real[:, 4:5])
    third, _ = more.states(ids[:, 5:], real[:, 5:])
    with torch.no_grad():
        whole = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    torch.testing.assert_close(torch.cat([second, third], 1), whole[:, 4:], **CLOSE)


def left_padded(model: Any, texts: list[list[int]], cut: int) -> torch.Tensor:
    """States of the last tokens, read together in two goes, the first of ``cut`` columns."""
    ids, real = pad(texts, left=True)
    context = Context.empty(model, len(texts)).read(ids[:, :cut], real[:, :cut])
    return context.states(ids[:, cut:], real[:, cut:])[0][:, -1]


@pytest.mark.parametrize("name", [name for name in CAUSAL if name not in RECURRENT])
@pytest.mark.parametrize("cut", [1, 4])
def test_padding_before_a_text_changes_nothing_in_models_that_are_not_recurrent(
    name: str, cut: int
):
    model = tiny_model(name)
    texts = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17]]
    together = left_padded(model, texts, cut)
    for text, found in zip(texts, together, strict=True):
        with torch.no_grad():
            alone = model.base_model(input_ids=torch.tensor([text])).last_hidden_state[0, -1]
        torch.testing.assert_close(found, alone, **CLOSE)


def test_padding_before_a_text_does_change_a_recurrent_model():
    """Were it never so, such models could be batched as all others."""
    model = tiny_model("lfm2:adjusted")
    together = left_padded(model, [[5, 6, 7, 8, 9, 10, 11], [12, 13]], 1)
    with torch.no_grad():
        alone = model.base_model(input_ids=torch.tensor([[12, 13]])).last_hidden_state[0, -1]
    assert (together[1] - alone).abs().max() > 1e-3
