"""What answers have in common is read once, and the edits of a batch's rows do not mix."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from neuroglot.capture import scoring
from neuroglot.capture.answers import Answers, judge
from neuroglot.capture.questions import Question
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit
from support.tiny_models import CAUSAL, NAMES, VOCABULARY, own_neurons, tiny_model

torch.set_num_threads(1)

ENCODER_DECODERS = [name for name in NAMES if tiny_model(name).config.is_encoder_decoder]


def questions(lengths: tuple[int, ...] = (4, 7, 4)) -> list[Question]:
    """Questions whose answers begin alike."""
    generator = np.random.default_rng(3)
    asked = []
    for length in lengths:
        first, second, third, other = generator.integers(3, VOCABULARY - 1, (4, 1)).tolist()
        candidates = [
            first,
            first + second,
            first + second + third,
            first + other,
            other + second + first,
        ]
        prompt = generator.integers(3, VOCABULARY - 1, length).tolist()
        asked.append(Question(prompt, candidates[2:4], candidates))
    return asked


def mixed(model: Any, items: int) -> list[Any]:
    """Variants of every operation, in several orders, of items' own and common neurons."""
    own, generator = own_neurons(model), np.random.default_rng(4)
    masks = (generator.random((6, items, *own.shape)) < 0.4) & own
    values = generator.normal(size=(items, len(own))).astype(np.float32)
    edits = [
        [Edit(masks[0], "add", 0.6)],
        [Edit(masks[1], "set", 0.8), Edit(masks[2], "add", values)],
        [Edit(masks[2], "add", 0.9), Edit(masks[1], "set", 0.8)],
        [Edit(masks[3, 0], "scale", -1.5), Edit(masks[4], "add", 0.9), Edit(masks[5], "scale", 3)],
        [Edit(masks[4], "scale", 2.0)],
    ]
    return [lambda items, of=of: [edit.rows(items) for edit in of] for of in edits]


def equal(found: Answers, expected: Answers, row: int) -> None:
    """One variant's answers among others, and alone."""
    for name in ("gold_log_probability", "candidate_log_probability"):
        np.testing.assert_allclose(
            getattr(found, name)[row], getattr(expected, name)[0], atol=1e-4, err_msg=name
        )
    np.testing.assert_array_equal(found.chosen[row], expected.chosen[0])
    np.testing.assert_array_equal(found.written[row], expected.written[0])


@pytest.mark.parametrize("name", [*CAUSAL, *ENCODER_DECODERS])
@pytest.mark.parametrize("at", ["last", "all", "prompt"])
def test_a_variant_among_others_is_what_it_is_alone(name: str, at: Any):
    """One question under one variant at a time; ``test_answers`` has literal passes."""
    model, asked = tiny_model(name), questions()
    variants = [None, *mixed(model, len(asked))]
    for batch_tokens in (None, 20):
        found = judge(model, asked, variants, "whole", at, batch_tokens)
        for row, variant in enumerate(variants):
            equal(found, judge(model, asked, [variant], "whole", at, 1), row)
    assert np.ptp(found.gold_log_probability, axis=0).min() > 1e-3


@contextmanager
def tokens_read(model: Any) -> Iterator[list[int]]:
    """Keep the number of tokens of each pass inside the block, padding included."""
    read: list[int] = []

    def count(_module: Any, args: Any, kwargs: Any) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        read.append(states.shape[0] * states.shape[1])

    hook = ffns(model)[-1].block.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield read
    finally:
        hook.remove()


def test_prompts_and_beginnings_are_read_once():
    model, asked = tiny_model("llama"), questions((6, 6))
    variants = [None, *mixed(model, len(asked))]
    with tokens_read(model) as read:
        judge(model, asked, variants, "whole")
    # Five tokens of each prompt, its sixth under each variant, and then two reads of two tokens:
    # first + second, other + second.
    assert read == [2 * 5, 12 * 1, 12 * 2, 12 * 2]
    with tokens_read(model) as read:
        judge(model, asked, variants, "first")
    # Of the two right answers, [first, second] and [first]; of the candidates nothing.
    assert read == [2 * 5, 12 * 1, 12 * 2]


def test_every_state_is_predicted_from_once(monkeypatch: pytest.MonkeyPatch):
    model, asked, states = tiny_model("llama"), questions((5,)), list[int]()
    plain = scoring.predict

    def counted(*arguments: Any) -> Any:
        states.append(len(arguments[1]))
        return plain(*arguments)

    monkeypatch.setattr(scoring, "predict", counted)
    judge(model, asked, [None], "whole")
    assert states == [5], "the prompt's, [first], [first, second], [other], [other, second]"


@pytest.mark.parametrize("name", ["llama", "lfm2", "bart"])
@pytest.mark.parametrize("batch_tokens", [None, 3])
def test_what_edits_nothing_is_read_once(name: str, batch_tokens: int | None):
    """Also where it edits nothing of some questions only; its answers are the same, bit for bit."""
    model, asked = tiny_model(name), questions((1, 1, 1))
    neurons = np.broadcast_to(own_neurons(model), (3, *own_neurons(model).shape)).copy()
    neurons[1:] = False

    def variant(items: np.ndarray) -> list[Edit]:
        return [Edit(neurons[items], "add", 0.9)]

    variants = [variant, None, variant, lambda _: []]
    with tokens_read(model) as read:
        found = judge(model, asked, variants, "whole", "last", batch_tokens)
    with tokens_read(model) as once:
        judge(model, asked, [None], "whole")
    # The first question twice with its edit and once without; the others once.
    assert 3 * sum(read) == 5 * sum(once)
    for values in (found.gold_log_probability, found.candidate_log_probability):
        assert all(np.array_equal(row[1:], values[0, 1:]) for row in values)
        assert np.array_equal(values[1, 0], values[3, 0])
        assert np.abs(values[0, 0] - values[1, 0]).min() > 1e-3


def test_beginnings_that_are_read():
    strings = [(0, (5,)), (0, (6, 7)), (0, (6, 7, 8)), (1, (6, 7)), (1, (6, 9)), (2, (4,))]
    assert scoring.read_of(strings) == [(1, (6,)), (0, (6, 7))]
    assert scoring.read_of([(0, (5,))]) == []


def test_portions_have_similar_lengths_and_few_reads():
    reads = [(0, (1,) * length) for length in (1, 1, 1, 2, 2, 4, 9)]
    cut = [[len(read) for _, read in portion] for portion in scoring._portions(reads, 4)]
    assert cut == [[1, 1, 1, 2], [2], [4], [9]]
    assert [len(portion) for portion in scoring._portions(reads, 2)] == [2, 2, 1, 1, 1]
    assert [*scoring._portions([], 2)] == []
