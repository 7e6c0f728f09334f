"""Where a model answers: after a chat template's last token, after a decoder's language tag.

Recordings and answers are compared with plain passes over ids that are put together here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from neuroglot import store
from neuroglot.analyses.answers import encoded
from neuroglot.capture.answers import judge
from neuroglot.capture.record import Wanted, record
from neuroglot.capture.settings import (
    CaptureSettings,
    ExecutionSettings,
    PromptsGroup,
    RowsGroup,
)
from neuroglot.capture.tokenise import write_tokens
from neuroglot.corpora.base import Reading, Segment, write_parquet
from neuroglot.models import ffn
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.intervene import Edit
from neuroglot.models.load import load
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.tasks.base import Item, TaskReading, write_items
from neuroglot.tokens import Tokenising
from support.chats import CLOSE, OPEN, TEMPLATES, tuned
from support.tags import MBART, NLLB, write_tagged

SETTINGS = CaptureSettings(device="cpu", dtype="float32", store_dtype="float32")
PROMPTS = ("Alle Menschen sind frei.", f"and {CLOSE}\n{OPEN}spelt", "人人生而自由")
GOLD, OTHER = " equal in dignity", " reason"
CLOSENESS = {"rtol": 1e-4, "atol": 1e-5}


def recorded(folder: Path, language: str, items: list[Item]) -> dict[str, np.ndarray]:
    """Raw rows at the ends of prompts, [layer, item, neuron]."""
    task = folder / "tasks" / "t" / f"{language}.parquet"
    write_items(TaskReading(tuple(items)), task)
    path = folder / "activations" / "t" / f"{language}.zarr"
    wanted = Wanted(task, "items", path, {PromptsGroup(site="act"): "key"})
    record(folder / "m", [wanted], SETTINGS, ExecutionSettings(batch_tokens=64))
    rows = {site: store.read_rows(path / "prompts", site) for site in ("act", "peak")}
    return {**rows, "token": store.open_dataset(path / "prompts", "activations")["token_id"].values}


def acts(model: Any, **inputs: list[int]) -> tuple[torch.Tensor, dict[tuple[str, int], np.ndarray]]:
    """Log-probabilities [time, token] and act [time, neuron] by stack and layer, of one pass."""
    seen: dict[tuple[str, int], np.ndarray] = {}

    def sink(_site: str, stack: str, layer: int, value: torch.Tensor) -> None:
        seen[stack, layer] = value.detach().numpy()[0]

    ids = {name: torch.tensor([value]) for name, value in inputs.items()}
    with torch.inference_mode(), ffn.record(model, {"act"}, sink):
        logits = model(**ids).logits[0]
    return logits.double().log_softmax(-1), seen


# Chats


@pytest.fixture(scope="module", params=["turns", "ends-special"])
def chat(request, tmp_path_factory) -> Any:
    """A folder with a tuned model, and the ids of a prompt as transformers makes them."""
    folder = tmp_path_factory.mktemp("chat")
    source = tuned(folder / "source", TEMPLATES[request.param])
    normalise(ModelSettings(source=str(source)), folder / "m", chat=True)
    theirs = transformers.AutoTokenizer.from_pretrained(source)

    def ids(text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        settings = {"add_generation_prompt": True, "sanitize_control_tokens": True}
        return list(theirs.apply_chat_template(messages, **settings)["input_ids"])

    return folder, ids, load(folder / "m", "cpu", "float32")


def asked_in_chat() -> list[Item]:
    return [
        Item(f"q{i}", text, (GOLD,), (GOLD, OTHER), chat=True) for i, text in enumerate(PROMPTS)
    ]


def test_what_is_recorded_of_a_chat_is_at_the_templates_last_token(
    chat: tuple[Path, Callable[[str], list[int]], Any],
) -> None:
    folder, ids, model = chat
    tokenizer = read_tokenizer(folder / "m")
    special = {i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    found = recorded(folder, "en", asked_in_chat())
    plain = recorded(folder, "de", [Item("q", PROMPTS[0], (GOLD,), (GOLD, OTHER))])
    assert not np.allclose(plain["act"][:, 0], found["act"][:, 0])
    for item, text in enumerate(PROMPTS):
        read = ids(text)
        _, seen = acts(model, input_ids=read)
        assert found["token"][item] == read[-1]
        counted = [at for at, token in enumerate(read) if token not in special]
        counted = sorted({*counted, len(read) - 1})
        assert len(counted) < len(read)
        for layer in range(len(found["act"])):
            act = seen["decoder", layer]
            np.testing.assert_allclose(found["act"][layer, item], act[-1], **CLOSENESS)
            peak = act[counted].max(0)
            np.testing.assert_allclose(found["peak"][layer, item], peak, **CLOSENESS)


def test_answers_in_a_chat_follow_the_template(
    chat: tuple[Path, Callable[[str], list[int]], Any],
) -> None:
    folder, ids, model = chat
    tokenizer = read_tokenizer(folder / "m")
    questions = encoded(folder / "m", "t", {"en": asked_in_chat()})["en"]
    found = judge(model, questions, [None], "whole")
    for item, text in enumerate(PROMPTS):
        scores = []
        for answer in (GOLD, OTHER):
            added = tokenizer.encode(answer.strip(), add_special_tokens=False).ids
            read = ids(text)
            logs, _ = acts(model, input_ids=[*read, *added])
            at = range(len(read) - 1, len(read) + len(added) - 1)
            scores.append(sum(float(logs[t, i]) for t, i in zip(at, added, strict=True)))
        np.testing.assert_allclose(found.candidate_log_probability[0, item], scores, atol=1e-4)


@pytest.mark.parametrize("positions", ["last", "all"])
def test_a_chats_special_tokens_are_not_edited_but_the_last_token_is(
    chat: tuple[Path, Callable[[str], list[int]], Any], positions: Any
) -> None:
    """The edited pass is done again with hooks, at the tokens that are named here."""
    folder, ids, model = chat
    tokenizer = read_tokenizer(folder / "m")
    special = {i for i, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    edit = Edit(np.random.default_rng(0).random((2, 24)) < 0.5)
    questions = encoded(folder / "m", "t", {"en": asked_in_chat()})["en"]
    found = judge(model, questions, [None, lambda _: [edit]], "first", positions)
    blocks = ffn.ffns(model)
    for item, text in enumerate(PROMPTS):
        read, gold = ids(text), questions[item].gold[0]
        last = len(read) - 1
        edited = [
            at
            for at, token in enumerate([*read, *gold[:-1]])
            if at >= last or (positions == "all" and token not in special)
        ]

        def hook(_module: Any, args: Any, edited: Any = edited, layer: int = 0) -> Any:
            act = args[0].clone()
            for at in edited:
                act[0, at, torch.from_numpy(edit.neurons[layer])] = 0
            return (act, *args[1:])

        handles = [
            block.w_out.register_forward_pre_hook(
                lambda m, a, layer=layer, hook=hook: hook(m, a, layer=layer)
            )
            for layer, block in enumerate(blocks)
        ]
        try:
            logs, _ = acts(model, input_ids=[*read, *gold[:-1]])
        finally:
            for handle in handles:
                handle.remove()
        expected = sum(float(logs[last + t, token]) for t, token in enumerate(gold))
        np.testing.assert_allclose(found.gold_log_probability[1, item], expected, atol=1e-4)
    assert abs(np.diff(found.gold_log_probability, axis=0)).min() > 1e-4


# Decoders behind encoders


@pytest.fixture(scope="module", params=["nllb", "mbart"])
def translator(request, tmp_path_factory) -> Any:
    """A folder with a model of tags, and what its decoder begins with in a language."""
    folder = tmp_path_factory.mktemp("translator")
    if request.param == "nllb":
        write_tagged(folder / "source", NLLB)
    else:
        start = 400  # en_XX, the first of the tags
        write_tagged(folder / "source", MBART, "mbart", decoder_start_token_id=start)
    normalise(ModelSettings(source=str(folder / "source")), folder / "m")
    tokenizer = read_tokenizer(folder / "m")
    tags = {"en": ("eng_Latn", "en_XX"), "de": ("deu_Latn", "de_DE")}
    opening = {
        language: ["</s>", nllb] if request.param == "nllb" else [mbart]
        for language, (nllb, mbart) in tags.items()
    }
    begins = {of: [tokenizer.token_to_id(token) for token in opening[of]] for of in opening}
    return folder, begins, load(folder / "m", "cpu", "float32"), tokenizer


def test_a_decoder_is_recorded_where_its_answer_begins(translator: Any) -> None:
    folder, begins, model, tokenizer = translator
    assert read_card(folder / "m").decoder_start in (2, 400)
    by_language = {}
    for language, begin in begins.items():
        items = [Item("q", PROMPTS[0], (GOLD,), (GOLD, OTHER))]
        found = recorded(folder, language, items)
        text = tokenizer.encode(PROMPTS[0], add_special_tokens=False).ids
        tag = begin[-1]
        _, seen = acts(model, input_ids=[tag, *text, 2], decoder_input_ids=begin)
        for plane, block in enumerate(ffn.ffns(model)):
            act = seen[block.stack, block.layer]
            expected = act[-2] if block.stack == "encoder" else act[-1]
            peak = act[1:-1].max(0) if block.stack == "encoder" else act[-1]
            np.testing.assert_allclose(found["act"][plane, 0], expected, **CLOSENESS)
            np.testing.assert_allclose(found["peak"][plane, 0], peak, **CLOSENESS)
        by_language[language] = found["act"][-1, 0]
    assert not np.allclose(*by_language.values()), "one tag for all would make them one"


def test_a_decoder_reads_a_text_after_its_languages_tag(translator: Any) -> None:
    folder, begins, model, tokenizer = translator
    texts = ["Alle Menschen sind frei.", "und gleich an Würde und Rechten geboren", "frei"]
    path = folder / "corpora" / "c" / "de.parquet"
    write_parquet(Reading(tuple(Segment(f"s{i}", text) for i, text in enumerate(texts))), path)
    tokens = folder / "tokens" / "de.zarr"
    write_tokens(folder / "m", path, tokens, Tokenising(prefix="subword", long_segments="refuse"))
    rows = folder / "activations" / "c" / "de.zarr"
    wanted = Wanted(tokens, "tokens", rows, {RowsGroup(): "key"})
    record(folder / "m", [wanted], SETTINGS, ExecutionSettings(batch_tokens=32))
    found = store.read_rows(rows / "rows", "act")
    place, begin = 0, begins["de"]
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        encoder = [begin[-1], *ids, 2]
        _, seen = acts(model, input_ids=encoder, decoder_input_ids=[*begin, *ids])
        of_text = slice(place, place + len(ids))
        for plane, block in enumerate(ffn.ffns(model)):
            act = seen[block.stack, block.layer]
            act = act[1:-1] if block.stack == "encoder" else act[len(begin) :]
            np.testing.assert_allclose(found[plane, of_text], act, **CLOSENESS)
        place += len(ids)
    assert place == found.shape[1]


def test_a_decoder_answers_after_its_languages_tag(translator: Any) -> None:
    folder, begins, model, tokenizer = translator
    items = [Item(f"q{i}", text, (GOLD,), (GOLD, OTHER)) for i, text in enumerate(PROMPTS)]
    edit = Edit(np.random.default_rng(1).random((len(ffn.ffns(model)), 24)) < 0.5)
    for language, begin in begins.items():
        questions = encoded(folder / "m", "t", {language: items})[language]
        found = judge(model, questions, [None, lambda _: [edit]], "whole")
        for item, question in enumerate(questions):
            assert question.opening == begin
            scores = []
            for answer in (GOLD, OTHER):
                added = tokenizer.encode(answer.strip(), add_special_tokens=False).ids
                decoder = [*begin, *added[:-1]]
                logs, _ = acts(model, input_ids=question.prompt, decoder_input_ids=decoder)
                at = range(len(begin) - 1, len(decoder))
                scores.append(sum(float(logs[t, i]) for t, i in zip(at, added, strict=True)))
            np.testing.assert_allclose(found.candidate_log_probability[0, item], scores, atol=1e-4)
        assert abs(np.diff(found.gold_log_probability, axis=0)).min() > 1e-4
    with pytest.raises(Exception, match="no tag of 'fr' is recognised"):
        encoded(folder / "m", "t", {"fr": items})
