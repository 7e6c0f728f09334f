"""Judged answers against one whole forward pass per answer, without cache, batch or padding."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from neuroglot.capture import head
from neuroglot.capture.answers import Answers, judge
from neuroglot.capture.questions import Question, constant_scores, encode
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns
from neuroglot.models.intervene import Edit
from neuroglot.models.slicing import sliced
from neuroglot.tasks.base import Item
from support.tiny_models import CAUSAL, LAYERS, NAMES, VOCABULARY, own_neurons, tiny_model

torch.set_num_threads(1)

SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}
MODELS = {
    **{name: (name, {}) for name in CAUSAL},
    **{f"{name} sliding": (name, SLIDING) for name in ("gemma2", "gemma3_text", "cohere2")},
    "mistral sliding": ("mistral", {"sliding_window": 4}),
}
NEW = 3


@cache
def model_of(name: str) -> Any:  # tests leave the model as they found it
    architecture, changes = MODELS.get(name, (name, {}))
    return tiny_model(architecture, **changes)


every_model = pytest.mark.parametrize("name", MODELS)


def questions(seed: int = 0, lengths: Sequence[int] = (3, 9, 1, 6)) -> list[Question]:
    """Prompts of several lengths, with two to four answers of one to three tokens."""
    generator = np.random.default_rng(seed)

    def ids(length: int) -> list[int]:
        return generator.integers(3, VOCABULARY - 1, length).tolist()

    made = []
    for number, length in enumerate(lengths):
        candidates = [ids(1 + (number + i) % 3) for i in range(2 + number % 3)]
        made.append(Question(ids(length), [candidates[-1], ids(2)], candidates))
    return made


def some_neurons(model: Any, items: int, share: float = 0.3, seed: int = 0) -> np.ndarray:
    """Neurons of their own for each item, [item, layer, neuron]."""
    own = own_neurons(model)
    return (np.random.default_rng(seed).random((items, *own.shape)) < share) & own


def edits_of(model: Any, items: int) -> list[list[Edit]]:
    """Variants: nothing, the same neurons for all, and several sets of each item's own."""
    own, other = (some_neurons(model, items, seed=seed) for seed in (1, 2))
    return [
        [],
        [Edit(own[0], "scale", -1.5)],
        [Edit(own, "add", 0.7), Edit(other, "set", 1.3)],
    ]


def variants_of(edits: list[list[Edit]]) -> list[Any]:
    def variant(chosen: list[Edit]) -> Any:
        return lambda items: [edit.rows(items) for edit in chosen]

    return [None, *map(variant, edits[1:])]


def logits(model: Any, ids: list[int], edits: list[Edit], item: int, at: slice) -> np.ndarray:
    """[time, token], float64; neurons are edited at the positions ``at``."""

    def hook_of(layer: int) -> Any:
        def hook(_module: Any, args: Any) -> Any:
            act = args[0].clone()
            rows = act.reshape(len(ids), -1)
            for edit in edits:
                chosen = edit.neurons[item] if edit.neurons.ndim == 3 else edit.neurons
                for neuron in np.flatnonzero(chosen[layer]):
                    if edit.operation == "set":
                        rows[at, neuron] = edit.value
                    elif edit.operation == "scale":
                        rows[at, neuron] *= edit.value
                    else:
                        rows[at, neuron] += edit.value
            return (rows.view_as(act), *args[1:])

        return hook

    handles = [f.w_out.register_forward_pre_hook(hook_of(f.index)) for f in ffns(model)]
    try:
        with torch.no_grad():
            return model(input_ids=torch.tensor([ids])).logits[0].double().numpy()
    finally:
        for handle in handles:
            handle.remove()


def literal(
    model: Any, question: Question, edits: list[Edit], item: int, scored: str, positions: str
) -> tuple[float, list[float], bool]:
    """Gold's and the candidates' log-probability, and whether greedy decoding writes gold."""
    prompt, length = question.prompt, len(question.prompt)
    at = {
        "last": slice(length - 1, None),
        "all": slice(question.before, None),
        "prompt": slice(question.before, length),
    }[positions]

    def log_probability(answer: list[int]) -> float:
        read = logits(model, prompt + answer[:-1], edits, item, at)
        scores = read - np.log(np.exp(read).sum(1, keepdims=True))
        return sum(scores[len(prompt) - 1 + t, token] for t, token in enumerate(answer))

    def greedy(answer: list[int]) -> bool:
        read = logits(model, prompt + answer[:-1], edits, item, at)
        return all(read[len(prompt) - 1 + t].argmax() == token for t, token in enumerate(answer))

    chosen = [answer[:1] if scored == "first" else answer for answer in question.candidates]
    return (
        log_probability(question.gold[0]),
        [*map(log_probability, chosen)],
        any(map(greedy, question.gold)),
    )


def check(found: Answers, model: Any, asked: list[Question], edits: Any, scored: str, at: str):
    for v, chosen in enumerate(edits):
        for i, question in enumerate(asked):
            gold, candidates, written = literal(model, question, chosen, i, scored, at)
            np.testing.assert_allclose(found.gold_log_probability[v, i], gold, atol=1e-4)
            scores = found.candidate_log_probability[v, i]
            np.testing.assert_allclose(scores[: len(candidates)], candidates, atol=1e-4)
            assert np.isnan(scores[len(candidates) :]).all()
            right = [
                s
                for s, one in zip(candidates, question.candidates, strict=True)
                if one in question.gold
            ]
            wrong = [
                s
                for s, one in zip(candidates, question.candidates, strict=True)
                if one not in question.gold
            ]
            tied = sum(abs(s - max(right)) < 1e-6 for s in wrong)
            lost = any(s > max(right) + 1e-6 for s in wrong)
            assert found.chosen[v, i] == (0 if lost else 1 / (1 + tied))
            assert found.written[v, i] == written


@every_model
def test_equal_to_a_whole_pass_per_answer(name: str):
    model, asked = model_of(name), questions()
    edits = edits_of(model, len(asked))
    found = judge(model, asked, variants_of(edits), "whole")
    check(found, model, asked, edits, "whole", "last")
    assert np.ptp(found.gold_log_probability, axis=0).min() > 1e-3


@pytest.mark.parametrize("name", ["llama", "gemma3_text sliding", "gpt2", "bloom", "opt"])
@pytest.mark.parametrize(
    ("scored", "at"), [("first", "last"), ("first", "all"), ("whole", "all"), ("whole", "prompt")]
)
def test_first_tokens_and_whole_prompts(name: str, scored: Any, at: Any):
    model, asked = model_of(name), questions(1)
    edits = edits_of(model, len(asked))
    found = judge(model, asked, variants_of(edits), scored, at)
    check(found, model, asked, edits, scored, at)


def special_around(asked: list[Question], before: int, after: int) -> list[Question]:
    """The same questions, of whose prompts so many tokens are special."""
    return [replace(question, before=before, after=after) for question in asked]


@pytest.mark.parametrize("at", ["all", "prompt", "last"])
def test_special_tokens_before_a_prompt_are_not_edited(at: Any):
    model, asked = model_of("llama"), special_around(questions(6, (4, 9, 2, 6)), 1, 0)
    edits = edits_of(model, len(asked))
    found = judge(model, asked, variants_of(edits), "whole", at)
    check(found, model, asked, edits, "whole", at)


ENCODER_DECODERS = [name for name in NAMES if tiny_model(name).config.is_encoder_decoder]


def of_decoder(
    model: Any, question: Question, answer: list[int], edits: list[Edit], item: int, positions: str
) -> np.ndarray:
    """Log-probabilities [time, token] of a whole pass over one prompt and one answer."""
    end = len(question.prompt) - question.after
    opening = question.opening or [model.config.decoder_start_token_id]
    at = {
        "encoder": slice(end - 1 if positions == "last" else question.before, end),
        "decoder": slice(0, 0) if positions == "prompt" else slice(len(opening) - 1, None),
    }

    def hook_of(ffn: Any) -> Any:
        def hook(_module: Any, args: Any) -> Any:
            act = args[0].clone()
            rows = act.view(-1, act.shape[-1])[at[ffn.stack]]
            for edit in edits:
                chosen = edit.neurons[item] if edit.neurons.ndim == 3 else edit.neurons
                for neuron in np.flatnonzero(chosen[ffn.index]):
                    column = rows[:, neuron]
                    changes = {"set": edit.value, "scale": column * edit.value}
                    rows[:, neuron] = changes.get(edit.operation, column + edit.value)
            return (act, *args[1:])

        return hook

    handles = [ffn.w_out.register_forward_pre_hook(hook_of(ffn)) for ffn in ffns(model)]
    try:
        with torch.no_grad():
            read = model(
                input_ids=torch.tensor([question.prompt]),
                decoder_input_ids=torch.tensor([[*opening, *answer[:-1]]]),
            )
    finally:
        for handle in handles:
            handle.remove()
    return read.logits[0, len(opening) - 1 :].double().log_softmax(-1).numpy()


@pytest.mark.parametrize("name", ENCODER_DECODERS)
@pytest.mark.parametrize("at", ["last", "all", "prompt"])
@pytest.mark.parametrize(("scored", "tags"), [("first", []), ("whole", []), ("whole", [7, 9, 7])])
def test_decoders_answer_from_their_start_token_and_tag(
    name: str, at: Any, scored: Any, tags: list[int]
):
    """Every variant, question and answer against a whole pass of its own."""
    model = model_of(name)
    if hasattr(model, "final_logits_bias"):
        generator = torch.Generator().manual_seed(2)
        model.final_logits_bias.copy_(torch.randn(1, VOCABULARY, generator=generator))
    asked = special_around(questions(7, (3, 9, 4, 6)), 1, 1)
    if tags:  # questions of several languages in one batch
        asked = [replace(q, opening=[2, tags[i % 3]]) for i, q in enumerate(asked)]
    edits = edits_of(model, len(asked))
    found = judge(model, asked, variants_of(edits), scored, at)
    for v, chosen in enumerate(edits):
        for i, question in enumerate(asked):

            def log_probability(
                answer: list[int], question: Any = question, chosen: Any = chosen, i: int = i
            ) -> float:
                read = of_decoder(model, question, answer, chosen, i, at)
                return float(sum(read[t, token] for t, token in enumerate(answer)))

            gold = question.gold[0]
            np.testing.assert_allclose(
                found.gold_log_probability[v, i], log_probability(gold), atol=2e-4
            )
            end = 1 if scored == "first" else None
            expected = [log_probability(answer[:end]) for answer in question.candidates]
            scores = found.candidate_log_probability[v, i]
            np.testing.assert_allclose(scores[: len(expected)], expected, atol=2e-4)
            written = [
                of_decoder(model, question, gold, chosen, i, at).argmax(1).tolist() == gold
                for gold in question.gold
            ]
            assert found.written[v, i] == any(written)
    assert np.ptp(found.gold_log_probability, axis=0).min() > 1e-3


@pytest.mark.parametrize("name", ["t5", "mt5", "m2m_100", "bart"])
def test_what_a_decoder_would_write_is_what_it_generates(name: str):
    model, asked = tiny_model(name), questions(8, (3, 9, 4, 6))
    generated = []
    model.generation_config.update(eos_token_id=None, forced_bos_token_id=None, pad_token_id=0)
    for question in asked:
        ids = model.generate(
            torch.tensor([question.prompt]), max_new_tokens=3, do_sample=False, use_cache=False
        )
        generated.append(ids[0, 1:].tolist())
    longer = [Question(q.prompt, [g], [g, [5]]) for q, g in zip(asked, generated, strict=True)]
    assert judge(model, longer, [None], "first").written.all()
    others = [[*g[:2], (g[2] + 1) % VOCABULARY] for g in generated]
    wrong = [Question(q.prompt, [o], [o, [5]]) for q, o in zip(asked, others, strict=True)]
    assert not judge(model, wrong, [None], "first").written.any()


@pytest.mark.parametrize("batch_tokens", [1, 12, 10_000])
@pytest.mark.parametrize("name", ["t5", "mt5", "m2m_100", "marian"])
def test_decoders_answers_are_independent_of_the_batch(
    name: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
):
    model, asked = model_of(name), special_around(questions(9, (5, 3, 8, 8, 4)), 1, 1)
    variants = variants_of(edits_of(model, len(asked)))
    expected = judge(model, asked, variants, "whole")
    monkeypatch.setattr(head, "_block", lambda *_: 3)
    same_answers(judge(model, asked, variants, "whole", batch_tokens=batch_tokens), expected)


@pytest.mark.parametrize("name", ["mt5", "bart"])
def test_an_edit_of_nothing_changes_no_bit_of_a_decoders_answers(name: str):
    model, asked = model_of(name), questions(5)
    none = np.zeros_like(some_neurons(model, len(asked)))
    found = judge(model, asked, [None, lambda items: [Edit(none[items])], None], "whole")
    for values in (found.gold_log_probability, found.candidate_log_probability):
        assert all(np.array_equal(values[0], one, equal_nan=True) for one in values)


def test_gates_are_edited_in_both_stacks():
    model, asked = model_of("mt5"), questions(3)
    neurons = some_neurons(model, len(asked))
    layers = np.arange(len(ffns(model)))[:, None]
    stacks = [neurons & (layers < LAYERS), neurons & (layers >= LAYERS), neurons]
    variants = [lambda items, n=n: [Edit(n[items], "set", 0.9, "gate")] for n in stacks]
    found = judge(model, asked, [None, *variants], "whole").gold_log_probability
    assert (np.abs(np.diff(found, axis=0)) > 1e-4).all()


@pytest.mark.parametrize("batch_tokens", [1, 7, 24, 10_000])
@pytest.mark.parametrize(
    "name",
    [
        *("llama", "gemma3_text sliding", "gpt2", "bloom", "gpt_neox", "gemma4_text"),
        *("lfm2", "falcon_h1", "qwen3_5_text"),
    ],
)
def test_independent_of_the_batch(name: str, batch_tokens: int, monkeypatch: pytest.MonkeyPatch):
    model, asked = model_of(name), questions(2, (5, 1, 8, 8, 2, 7))
    variants = variants_of(edits_of(model, len(asked)))
    expected = judge(model, asked, variants, "whole")
    # A vocabulary of three tokens at a time changes no answer either.
    monkeypatch.setattr(head, "_block", lambda *_: 3)
    found = judge(model, asked, variants, "whole", batch_tokens=batch_tokens)
    same_answers(found, expected)


def same_answers(found: Answers, expected: Answers) -> None:
    for name in ("gold_log_probability", "candidate_log_probability"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
    np.testing.assert_array_equal(found.chosen, expected.chosen)
    np.testing.assert_array_equal(found.written, expected.written)


def test_questions_in_any_order():
    model, asked = model_of("qwen2"), questions(3)
    edits, order = edits_of(model, len(asked)), [2, 0, 3, 1]
    expected = judge(model, asked, variants_of(edits), "whole")
    moved = [[edit.rows(np.array(order)) for edit in chosen] for chosen in edits]
    found = judge(model, [asked[i] for i in order], variants_of(moved), "whole")
    np.testing.assert_allclose(
        found.gold_log_probability, expected.gold_log_probability[:, order], atol=1e-4
    )
    np.testing.assert_array_equal(found.written, expected.written[:, order])


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt2", "opt", "gpt_neox", "qwen3"])
def test_neurons_off_everywhere_are_neurons_cut_away(name: str):
    model, asked = model_of(name), questions(4)
    off = some_neurons(model, 1, 0.5)[0]
    found = judge(model, asked, [lambda _: [Edit(off)]], "whole", "all")
    with sliced(model, [np.flatnonzero(~layer) for layer in off]):
        expected = judge(model, asked, [None], "whole")
    same_answers(found, expected)


@pytest.mark.parametrize("name", ["llama", "bloom", "gemma3"])
def test_an_edit_of_nothing_changes_no_bit(name: str):
    model, asked = model_of(name), questions(5)
    none = np.zeros_like(some_neurons(model, len(asked)))
    variants = [None, lambda _: [], lambda items: [Edit(none[items])], None]
    found = judge(model, asked, variants, "whole")
    for values in (found.gold_log_probability, found.candidate_log_probability):
        assert all(np.array_equal(values[0], one, equal_nan=True) for one in values)


def test_each_variant_starts_afresh():
    """What one variant reads does not stay in the next one's cache."""
    model, asked = model_of("gemma3_text sliding"), questions(6)
    first, second = variants_of(edits_of(model, len(asked)))[1:]
    together = judge(model, asked, [first, second, first], "whole")
    alone = judge(model, asked, [second], "whole")
    gold = together.gold_log_probability
    np.testing.assert_allclose(gold[0], gold[2], atol=1e-5)
    np.testing.assert_allclose(gold[1], alone.gold_log_probability[0], atol=1e-5)


def test_the_greedy_continuation_is_an_exact_match():
    model, prompt = model_of("llama"), questions()[1].prompt
    written: list[int] = []
    for _ in range(NEW):
        written.append(int(logits(model, prompt + written, [], 0, 0)[-1].argmax()))
    other = [(written[0] + 1) % VOCABULARY, *written[1:]]
    asked = [Question(prompt, [gold], [other, written]) for gold in (written, other)]
    found = judge(model, asked, [None], "first")
    assert found.written.tolist() == [[True, False]]
    assert found.chosen.tolist() == [[1, 0]]
    either = Question(prompt, [other, written], [other])
    assert judge(model, [either], [None], "first").written.tolist() == [[True]]


def test_answers_with_the_same_first_token_are_equals():
    asked = [Question([5, 6], [[7, 8]], [[7, 9], [7, 8], [7]])]
    found = judge(model_of("gpt2"), asked, [None], "first")
    assert np.ptp(found.candidate_log_probability) == 0
    assert found.chosen.item() == pytest.approx(1 / 3)


def test_all_logits_equal_is_chance():
    """Every answer is as likely as every other: nothing is right by a tie, one thing is written."""
    model = tiny_model("llama")
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    candidates = [[6], [7, 8], [9], [4]]
    asked = [Question([5, 6], [gold], candidates) for gold in candidates]
    for scored in ("first", "whole"):
        found = judge(model, asked, [None], scored)
        expected = 1 / 4 if scored == "first" else 1 / 3
        assert found.chosen[0, [0, 2, 3]] == pytest.approx([expected] * 3)
    assert not found.written.any(), "greedy decoding writes the first token of all"
    first = [Question([5, 6], [[0, 0]], [[0, 0], [1]])]
    assert judge(model, first, [None], "whole").written.all()


def test_right_answers_to_one_question_do_not_compete():
    candidates = [[6], [7], [8]]
    model = model_of("llama")
    scores = judge(model, [Question([5], [[6]], candidates)], [None], "first")
    best, second, _ = np.argsort(-scores.candidate_log_probability[0, 0])
    golds = [candidates[second], candidates[best]]
    assert judge(model, [Question([5], golds[:1], candidates)], [None], "first").chosen == 0
    assert judge(model, [Question([5], golds, candidates)], [None], "first").chosen == 1


def test_logits_of_half_precision_are_told_apart():
    """Two answers' weights differ by less than bfloat16 holds of their logits."""
    model = tiny_model("llama").bfloat16()
    head = model.get_output_embeddings().weight
    with torch.no_grad():
        head[7] = head[6] = 8 * torch.sign(head[6])
        head[7, 0] *= 1 + 2**-7
    asked = [Question([5, 3, 4], [[gold]], [[6], [7]]) for gold in (6, 7)]
    found = judge(model, asked, [None], "first")
    assert sorted(found.chosen[0]) == [0, 1]


def test_variants_are_told_each_question_once():
    told: list[int] = []
    counted: list[int] = []

    def variant(items: np.ndarray) -> list[Edit]:
        told.extend(items.tolist())
        return []

    judge(model_of("gpt2"), questions(), [None, variant], "first", "last", 9, counted.append)
    assert sorted(told) == [0, 1, 2, 3]
    assert sum(counted) == 8


def test_half_precision():
    model, asked = tiny_model("llama").bfloat16(), questions()
    found = judge(model, asked, [None], "whole")
    expected = [literal(model, one, [], 0, "whole", "last")[0] for one in asked]
    np.testing.assert_allclose(found.gold_log_probability[0], expected, rtol=2e-2)


def test_halves_the_batch_when_memory_runs_out():
    model, asked = model_of("llama"), questions(8, (4, 4, 3, 3, 2))
    expected = judge(model, asked, [None], "first")
    sizes: list[int] = []

    def scarce(_block: Any, inputs: tuple[torch.Tensor]) -> None:
        sizes.append(len(inputs[0]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("too much")

    with ffns(model)[0].block.register_forward_pre_hook(scarce):
        limit = 2
        same_answers(judge(model, asked, [None], "first"), expected)
        assert [size for size, _ in groupby(sizes)][:4] == [5, 2, 1, 3]
        limit = 0
        with pytest.raises(NeuroglotError, match="memory for question 0 .4 tokens."):
            judge(model, asked, [None], "first")


def test_the_model_is_restored_after_an_error():
    model, asked = model_of("llama"), questions()
    off = some_neurons(model, 1)[0]

    def fails(items: np.ndarray) -> list[Edit]:
        return [Edit(off), Edit(off[None].repeat(len(items) + 1, axis=0))]

    with pytest.raises(NeuroglotError, match="neurons for 5 items, and the batch has 4"):
        judge(model, asked, [fails], "first")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_is_not_finite():
    model, asked = model_of("llama"), questions()
    off = some_neurons(model, len(asked))
    off[:3] = False

    def spoiled(items: np.ndarray) -> list[Edit]:
        return [Edit(off[items], "set", float("nan"))]

    with pytest.raises(NeuroglotError, match="question 3: the probability .* not finite"):
        judge(model, asked, [None, spoiled], "first")


@pytest.mark.parametrize(
    ("name", "question", "message"),
    [
        ("llama", Question([], [[6]], [[6]]), "question 1 has no token in its prompt"),
        ("llama", Question([5], [[]], [[]]), "question 1 has no token"),
        ("llama", Question([5], [[6]], [[6], []]), "question 1 has no token"),
        ("llama", Question([5], [[6]], [[7]]), "question 1: .* not among its candidates"),
        ("llama", Question([5] * 63, [[6] * 3], [[6] * 3]), "question 1: 65 tokens"),
    ],
)
def test_refused(name: str, question: Question, message: str):
    asked = [Question([5], [[6]], [[6]]), question]
    with pytest.raises(NeuroglotError, match=message):
        judge(tiny_model(name), asked, [None], "whole")


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "xglm"])
def test_the_last_position_of_the_context_window(name: str):
    """Padding behind a shorter answer takes no position that the model lacks."""
    model = model_of(name)
    asked = [Question([5] * 63, [[6, 7]], [[6, 7]]), *questions()]
    found = judge(model, asked, [None], "whole", 2)
    expected = literal(model, asked[0], [], 0, "whole", "last")[0]
    np.testing.assert_allclose(found.gold_log_probability[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("candidates", "scoring", "judgeable", "guess"),
    [
        ([[6], [7, 8], [7, 9]], "rank", True, 1 / 2),  # two first tokens
        ([[7, 8], [6], [7, 9]], "rank", True, 1 / 4),  # of which the right one is shared
        ([[6], [7, 8], [7, 9]], "string", True, 1 / 3),
        ([[6], [7, 8], [7, 9]], "exact", True, 0),
        ([[7, 8], [7, 9]], "rank", False, 1 / 2),  # nothing to tell apart
        ([[7, 8], [7, 9]], "string", True, 1 / 2),
    ],
)
def test_what_can_be_judged_and_guessed(
    candidates: list[list[int]], scoring: Any, judgeable: bool, guess: float
):
    question = Question([5], candidates[:1], candidates)
    assert question.judgeable(scoring) is judgeable
    assert question.guess(scoring) == guess
    assert not Question([], question.gold, candidates).judgeable(scoring)
    assert not Question([5], question.gold, [*candidates, []]).judgeable(scoring)


def test_scores_of_answers_are_what_the_judge_gives():
    """A model that prefers a token, whatever it reads, against ``Question.scores``."""
    model = tiny_model("gpt2")
    candidates = [[6, 1], [7], [6, 2], [8, 3], [6, 3]]
    golds = ([[6, 1]], [[7], [8, 3]], [[6, 2], [6, 3]])
    asked = [Question([5, 4], gold, candidates) for gold in golds]
    head = model.get_output_embeddings()
    for preferred in (6, 7, 8):
        with torch.no_grad():
            head.weight.zero_()
        bias = torch.nn.Parameter(torch.eye(head.out_features)[preferred])
        head.bias = bias
        found = judge(model, asked, [None], "first").chosen[0]
        expected = [question.scores("rank")[(preferred,)] for question in asked]
        assert found.tolist() == pytest.approx(expected)
    assert asked[0].scores("rank") == {(6,): 1 / 3, (7,): 0, (8,): 0}
    assert asked[1].scores("string") == {(6, 1): 0, (6, 2): 0, (6, 3): 0, (7,): 1, (8, 3): 1}
    assert asked[1].scores("exact") == {(7,): 1, (8, 3): 1}


def test_one_answer_to_every_question():
    """Two of three questions have the same right answer."""
    candidates = [[6], [7], [8]]
    asked = [Question([5], [gold], candidates) for gold in ([8], [7], [8])]
    for scoring in ("rank", "string", "exact"):
        assert constant_scores(asked, scoring) == [1, 0, 1]
    spellings = [Question([5], [[6], [7]], [[6]]), Question([5], [[7]], [[7]])]
    assert constant_scores(spellings, "exact") == [1, 1]
    assert constant_scores([], "rank") == []


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Words with the blank before them; and "so on" is one token at the beginning only."""
    pieces = ["?", "Capital", " of", " France", ":", " Paris", " Rome", " so", "so", "n", "son"]
    made = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|:"), "isolated")
    return made


def item(prompt: str, *candidates: str) -> Item:
    return Item("q7", prompt, candidates[:1], candidates)


def test_answers_are_what_they_add_to_the_prompt(tokenizer: Tokenizer):
    found = encode(tokenizer, [9], [item("Capital of France:", " Paris", " Rome", "")], None)
    assert found == [Question([9, 1, 2, 3, 4], [[5]], [[5], [6], []], before=1)]
    assert not found[0].complete
    assert encode(tokenizer, [], [item("Capital:", " Paris")], None)[0].complete


def test_where_the_prompts_last_token_changes_the_answer_stands_alone(tokenizer: Tokenizer):
    found = encode(tokenizer, [], [item("so", "n")], None)
    assert found == [Question([8], [[9]], [[9]])]


def test_a_decoders_answer_is_a_text_of_its_own(tokenizer: Tokenizer):
    asked = [item("Capital of France:", " Paris", " Rome Paris")]
    [found] = encode(tokenizer, [9], asked, None, after=[7, 8])
    alone = [tokenizer.encode(text).ids for text in ("Paris", "Rome Paris")]
    assert alone[0] != [5], "the blank makes another token"
    assert found == Question([9, 1, 2, 3, 4, 7, 8], alone[:1], alone, before=1, after=2)
    assert encode(tokenizer, [9], asked, 7, after=[7, 8])
    with pytest.raises(NeuroglotError, match="has 7 tokens .* holds 6"):
        encode(tokenizer, [9], asked, 6, after=[7, 8])


def test_padding_and_truncation_of_the_tokenizers_file_are_left_out(tokenizer: Tokenizer):
    tokenizer.enable_truncation(1)
    tokenizer.enable_padding(length=5)
    found = encode(tokenizer, [], [item("Capital of France:", " Paris Rome")], None)
    assert found == [Question([1, 2, 3, 4], [[5, 6]], [[5, 6]])]


def test_a_prompt_too_long_for_the_window(tokenizer: Tokenizer):
    asked = [item("Capital of France:", " Rome", " Paris Rome")]
    assert encode(tokenizer, [9], asked, 7)
    with pytest.raises(NeuroglotError, match=r"'q7': .* has 5 tokens .* answer 2, .* holds 6"):
        encode(tokenizer, [9], asked, 6)


def test_a_model_to_which_all_tokens_are_equal_knows_nothing():
    model = tiny_model("llama")
    model.lm_head.weight.data.zero_()
    questions = [
        Question([1, 7, 9], [[gold]], [[gold], [30], [31], [32]]) for gold in range(20, 25)
    ]
    answers = judge(model, questions, [None], scored="first")
    np.testing.assert_allclose(answers.chosen, 1 / 4)
    np.testing.assert_allclose(answers.gold_log_probability, -np.log(VOCABULARY))
    assert not answers.written.any()  # greedy decoding writes one token, the first
    assert judge(
        model, [Question([1, 7], [[0]], [[0], [30]])], [None], scored="first"
    ).written.all()
