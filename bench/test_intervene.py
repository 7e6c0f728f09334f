"""Passes with edited neurons compared with plain passes; judged answers with whole passes."""

from collections.abc import Callable

import numpy as np
import torch

from comparing import at_least, compared, sized
from neuroglot.capture.answers import judge
from neuroglot.capture.questions import Question
from neuroglot.models.ffn import backbone, ffns
from neuroglot.models.intervene import Edit, intervened
from neuroglot.tokens import Tokens

ITEMS, PROMPT, ANSWER = sized(12, 2), 32, 3
SHARE = 0.3  # share of a layer's neurons that an item edits, as many as all languages share


def prompts(tokens: Tokens) -> torch.Tensor:
    """Cut prompts from the benchmarks' text, [item, time]."""
    rows = tokens.token_id[: ITEMS * PROMPT].reshape(ITEMS, PROMPT)
    return torch.from_numpy(rows.astype(np.int64))


def own_neurons(model: torch.nn.Module) -> np.ndarray:
    """Draw the neurons that each item edits, bool [item, layer, neuron]."""
    layers = ffns(model)
    shape = (ITEMS, len(layers), layers[0].neurons)
    return np.random.default_rng(0).random(shape) < SHARE


def compare_with_edits(benchmark, model: torch.nn.Module, plain: Callable[[], None]) -> None:
    """Time a call with every item's own neurons edited: at least 0.8 of the plain call's speed."""
    edit = Edit(own_neurons(model))

    def edited() -> None:
        with intervened(model, [edit]):
            plain()

    at_least(compared(benchmark, edited, plain)["ratio"], 0.8)


def test_every_item_edits_its_own_neurons(benchmark, model, tokens) -> None:
    """One pass, with edits at all positions."""
    body, ids = backbone(model), prompts(tokens)

    def plain() -> None:
        with torch.inference_mode():
            body(input_ids=ids, use_cache=False)

    compare_with_edits(benchmark, model, plain)


def test_generation(benchmark, model, tokens) -> None:
    """One token of every item at a time, with a cache, where a hook costs most."""
    ids = prompts(tokens)

    def plain() -> None:
        with torch.inference_mode():
            cache = model(input_ids=ids[:, :2], use_cache=True, logits_to_keep=1).past_key_values
            for column in range(2, 6):
                model(input_ids=ids[:, [column]], past_key_values=cache, use_cache=True)

    compare_with_edits(benchmark, model, plain)


def test_variants_reuse_what_was_read(benchmark, model, tokens) -> None:
    """Ten variants of scored answers compared with reading all prompts and answers ten times."""
    rows = prompts(tokens).tolist()
    answers = [row[-ANSWER:] for row in rows]
    asked = [
        Question(row[:-ANSWER], [answer], [answer])
        for row, answer in zip(rows, answers, strict=True)
    ]
    neurons = own_neurons(model)
    variants = [lambda items: [Edit(neurons[items])]] * sized(10, 2)
    ids = torch.tensor(rows)

    def ours() -> None:
        judge(model, asked, variants, "whole")

    def whole_passes() -> None:
        edit = Edit(neurons)
        for _ in variants:
            with intervened(model, [edit]), torch.inference_mode():
                model(input_ids=ids, use_cache=False, logits_to_keep=ANSWER + 1)

    compared(benchmark, ours, whole_passes, rounds=3)
