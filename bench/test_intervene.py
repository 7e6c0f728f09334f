"""Passes with edited neurons compared with plain passes; judged answers with whole passes."""

import numpy as np
import torch

from conftest import at_least, ratios, sized
from neuroglot.capture.answers import judge
from neuroglot.capture.questions import Question
from neuroglot.models.ffn import backbone, ffns
from neuroglot.models.intervene import Edit, intervened
from neuroglot.tokens import Tokens

ITEMS, PROMPT, ANSWER = sized(12, 2), 32, 3
SHARE = 0.3  # share of a layer's neurons that an item edits, as many as all languages share


def prompts(tokens: Tokens) -> torch.Tensor:
    """Real text, [item, time]."""
    rows = tokens.token_id[: ITEMS * PROMPT].reshape(ITEMS, PROMPT)
    return torch.from_numpy(rows.astype(np.int64))


def own_neurons(model: torch.nn.Module) -> np.ndarray:
    found = ffns(model)
    shape = (ITEMS, len(found), found[0].neurons)
    return np.random.default_rng(0).random(shape) < SHARE


def test_every_item_edits_its_own_neurons(benchmark, model, tokens) -> None:
    """Tokens per second with edits at all positions; at least 0.8 of a plain pass's."""
    body, ids, edit = backbone(model), prompts(tokens), Edit(own_neurons(model))

    def plain() -> None:
        with torch.inference_mode():
            body(input_ids=ids, use_cache=False)

    def edited() -> None:
        with intervened(model, [edit]):
            plain()

    found = benchmark.pedantic(lambda: ratios(edited, plain), rounds=1)
    benchmark.extra_info.update(found)
    at_least(found["ratio"], 0.8)


def test_generation(benchmark, model, tokens) -> None:
    """One token of every item at a time, with a cache, where a hook costs most."""
    ids, edit = prompts(tokens), Edit(own_neurons(model))

    def plain() -> None:
        with torch.inference_mode():
            cache = model(input_ids=ids[:, :2], use_cache=True, logits_to_keep=1).past_key_values
            for column in range(2, 6):
                model(input_ids=ids[:, [column]], past_key_values=cache, use_cache=True)

    def edited() -> None:
        with intervened(model, [edit]):
            plain()

    found = benchmark.pedantic(lambda: ratios(edited, plain), rounds=1)
    benchmark.extra_info.update(found)
    at_least(found["ratio"], 0.8)


def test_variants_reuse_what_was_read(benchmark, model, tokens) -> None:
    """Ten variants of scored answers compared with reading all prompts and answers ten times."""
    rows = prompts(tokens).tolist()
    answers = [row[-ANSWER:] for row in rows]
    asked = [
        Question(row[:-ANSWER], [answer], [answer])
        for row, answer in zip(rows, answers, strict=True)
    ]
    own = own_neurons(model)
    variants = [lambda items: [Edit(own[items])]] * sized(10, 2)
    ids = torch.tensor(rows)

    def ours() -> None:
        judge(model, asked, variants, "whole")

    def whole_passes() -> None:
        edit = Edit(own)
        for _ in variants:
            with intervened(model, [edit]), torch.inference_mode():
                model(input_ids=ids, use_cache=False, logits_to_keep=ANSWER + 1)

    found = benchmark.pedantic(lambda: ratios(ours, whole_passes, rounds=3), rounds=1)
    benchmark.extra_info.update(found)
