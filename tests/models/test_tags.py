"""Encoder-decoders read every text with the tag of its own language."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from neuroglot.analyses.answers import encoded
from neuroglot.capture.tokenise import tokenised
from neuroglot.corpora.base import Reading
from neuroglot.digests import Digests
from neuroglot.errors import NeuroglotError
from neuroglot.keys import model_key
from neuroglot.models.card import read_card, read_tokenizer
from neuroglot.models.checkpoint import reading_sentencepiece
from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings
from neuroglot.models.tags import opening, with_own_tag
from neuroglot.packages import file_sha256
from neuroglot.tasks.base import Item
from neuroglot.tasks.edits import EditsTask
from neuroglot.tokens import as_tokens
from support.tags import M2M, MBART, NLLB, tagged, write_tagged
from support.tiny_checkpoints import train_tokenizer
from support.tiny_tokenizers import write_tokenizer


@pytest.mark.parametrize(
    ("tags", "language", "own"),
    [
        *((NLLB, "en", "eng_Latn"), (NLLB, "de", "deu_Latn"), (NLLB, "ar", "arb_Arab")),
        *((NLLB, "zh", "zho_Hans"), (NLLB, "zh-hant", "zho_Hant"), (NLLB, "zh-tw", "zho_Hant")),
        *((NLLB, "no", "nob_Latn"), (NLLB, "nb", "nob_Latn"), (NLLB, "sw", "swh_Latn")),
        *((MBART, "de", "de_DE"), (MBART, "ar", "ar_AR"), (MBART, "zh", "zh_CN")),
        *((MBART, "pt-br", "pt_XX"), (M2M, "de", "__de__"), (M2M, "nb", "__no__")),
    ],
)
def test_a_language_gets_its_own_tag(tags, language, own):
    tokenizer = tagged(tags)
    before = [tokenizer.token_to_id(tags[0]), 1]
    assert with_own_tag(before, tokenizer, language, {}) == [tokenizer.token_to_id(own), 1]


@pytest.mark.parametrize(
    ("tags", "language"),
    [(NLLB, "fr"), (NLLB, "da"), (MBART, "zh-hant"), (M2M, "nn"), (NLLB, "nso")],
)
def test_a_language_without_tag_is_refused_not_guessed(tags, language):
    tokenizer = tagged(tags)
    with pytest.raises(NeuroglotError, match=rf"no tag of '{language}'.*language_tags.*{tags[1]}"):
        with_own_tag([tokenizer.token_to_id(tags[0])], tokenizer, language, {})


def test_special_tokens_that_are_no_tags_stay():
    tokenizer = train_tokenizer()
    assert with_own_tag([1, 2, 0], tokenizer, "fr", {}) == [1, 2, 0]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_tagged(tmp_path_factory.mktemp("source"))


def before_of(model, language):
    card, tokenizer = read_card(model), read_tokenizer(model)
    text = model.parent / "corpora" / f"{language}.parquet"
    data = tokenised(card, tokenizer, text, Reading([("1", "frei und gleich")], []), "refuse")
    tokens = as_tokens(data)
    (read,) = tokens.sequences()
    alone = tokenizer.encode("frei und gleich", add_special_tokens=False).ids
    np.testing.assert_array_equal(read, [*tokens.before, *alone, *tokens.after])
    assert tokens.position[0] == len(tokens.before)
    return [tokenizer.id_to_token(token) for token in (*tokens.before, *tokens.after)]


def test_a_text_is_read_with_the_tag_of_its_language(source, tmp_path):
    normalise(ModelSettings(source=str(source)), tmp_path / "m")
    for language, own in (("en", "eng_Latn"), ("de", "deu_Latn"), ("zh", "zho_Hans")):
        assert before_of(tmp_path / "m", language) == [own, "</s>"]
    with pytest.raises(NeuroglotError, match=r"fr\.parquet: .*no tag of 'fr' is recognised"):
        before_of(tmp_path / "m", "fr")


def test_a_tag_for_which_the_embedding_has_no_row_is_refused(source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    tokenizer = tagged((*NLLB, *(f"extra {number}" for number in range(10)), "fra_Latn"))
    tokenizer.save(str(tmp_path / "source" / "tokenizer.json"))
    normalise(ModelSettings(source=str(tmp_path / "source")), tmp_path / "m")
    with pytest.raises(
        NeuroglotError, match=r"fr\.parquet: .*fra_Latn.* outside the model's vocab"
    ):
        before_of(tmp_path / "m", "fr")


def test_a_tag_after_the_text_is_replaced_too(source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    legacy = tagged(NLLB, template="$A </s> {}")
    legacy.save(str(tmp_path / "source" / "tokenizer.json"))
    normalise(ModelSettings(source=str(tmp_path / "source")), tmp_path / "m")
    assert before_of(tmp_path / "m", "de") == ["</s>", "deu_Latn"]


def test_a_chosen_tag_goes_before_a_recognised_one(source, tmp_path):
    chosen = {"fr": "deu_Latn", "de": "nob_Latn"}
    settings = ModelSettings(source=str(source), language_tags=chosen)
    normalise(settings, tmp_path / "m")
    assert before_of(tmp_path / "m", "fr") == ["deu_Latn", "</s>"]
    assert before_of(tmp_path / "m", "de") == ["nob_Latn", "</s>"]
    assert before_of(tmp_path / "m", "en") == ["eng_Latn", "</s>"]
    # What they were made with is part of the model.
    plain = ModelSettings(source=str(source))
    assert read_card(tmp_path / "m").sha256 != normalise(plain, tmp_path / "n").sha256
    digests = Digests(tmp_path / "digests.json", file_sha256)
    assert model_key(settings, digests) != model_key(plain, digests)


def test_a_prompt_is_read_with_the_tag_of_its_language(source, tmp_path):
    normalise(ModelSettings(source=str(source)), tmp_path / "m")
    tokenizer = read_tokenizer(tmp_path / "m")
    item = Item("i", "frei und", ("gleich",), ("gleich", "Rechten"))
    asked = encoded(tmp_path / "m", "task", {"en": [item], "de": [item]})
    for language, own in (("en", "eng_Latn"), ("de", "deu_Latn")):
        (question,) = asked[language]
        assert tokenizer.id_to_token(question.prompt[0]) == own
    with pytest.raises(NeuroglotError, match="'task', language 'fr': .*no tag of 'fr'"):
        encoded(tmp_path / "m", "task", {"fr": [item]})


@pytest.mark.parametrize(
    ("tokenizer", "tags", "message"),
    [
        (tagged(NLLB), {"fr": "fra_Latn"}, "language_tags.fr: its tokenizer has no token 'fra_L"),
        (train_tokenizer(), {"fr": "</s>"}, "puts no language's tag beside a text; leave"),
    ],
    ids=["no token", "no tag"],
)
def test_tags_that_cannot_be_are_refused_when_the_model_is_made(
    source, tmp_path, tokenizer: Tokenizer, tags, message
):
    shutil.copytree(source, tmp_path / "source")
    tokenizer.save(str(tmp_path / "source" / "tokenizer.json"))
    settings = ModelSettings(source=str(tmp_path / "source"), language_tags=tags)
    with pytest.raises(NeuroglotError, match=message):
        normalise(settings, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_the_tags_that_are_chosen_are_on_the_card(source, tmp_path):
    settings = ModelSettings(source=str(source), language_tags={"fr": "deu_Latn"})
    normalise(settings, tmp_path / "m")
    kept = json.loads((tmp_path / "m" / "language_tags.json").read_text())
    assert read_card(tmp_path / "m").language_tags == kept == {"fr": "deu_Latn"}


# What decoders begin with


@pytest.mark.parametrize(
    ("tags", "start", "expected"),
    [
        (NLLB, "</s>", ["</s>", "deu_Latn"]),
        (M2M, "</s>", ["</s>", "__de__"]),
        (MBART, "</s>", ["</s>", "de_DE"]),  # mBART-50
        (MBART, "en_XX", ["de_DE"]),  # mBART, whose start token is a tag
    ],
)
def test_a_decoder_begins_with_the_tag_of_its_language(tags, start, expected):
    tokenizer = tagged(tags)
    beside = [tokenizer.token_to_id(tags[0]), tokenizer.token_to_id("</s>")]
    found = opening(tokenizer, tokenizer.token_to_id(start), beside, "de", {})
    assert [tokenizer.id_to_token(token) for token in found] == expected
    chosen = opening(tokenizer, tokenizer.token_to_id(start), beside, "fr", {"fr": tags[2]})
    assert tokenizer.id_to_token(chosen[-1]) == tags[2]
    with pytest.raises(NeuroglotError, match="no tag of 'fr' is recognised"):
        opening(tokenizer, tokenizer.token_to_id(start), beside, "fr", {})


def test_a_decoder_without_tags_begins_with_its_start_token_alone():
    assert opening(train_tokenizer(), 2, [2], "de", {}) == [2]


@pytest.mark.parametrize(
    ("family", "english", "german", "start"),
    [
        ("m2m_100:nllb", "eng_Latn", "deu_Latn", "</s>"),
        ("mbart:50", "en_XX", "de_DE", "</s>"),
        ("mbart", "en_XX", "de_DE", "en_XX"),
    ],
)
def test_decoders_read_what_they_are_trained_on_in_transformers(
    tmp_path, family, english, german, start
):
    """Their classes make labels of a target text; their models shift them to the right."""
    if family == "mbart":
        from transformers.models.mbart.modeling_mbart import shift_tokens_right
    else:
        from transformers.models.m2m_100.modeling_m2m_100 import shift_tokens_right

    write_tokenizer(tmp_path, family)
    with reading_sentencepiece():
        theirs = transformers.AutoTokenizer.from_pretrained(
            tmp_path, src_lang=english, tgt_lang=german
        )
    theirs.add_tokens([english, german], special_tokens=True)  # which a tiny NLLB-200 lacks
    theirs.src_lang = english
    ours = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
    number = ours.token_to_id(start)
    labels = theirs(text_target="frei und gleich", return_tensors="pt").input_ids
    shifted = (
        shift_tokens_right(labels, theirs.pad_token_id)
        if family == "mbart"
        else shift_tokens_right(labels, theirs.pad_token_id, number)
    )
    text = theirs("frei und gleich", add_special_tokens=False).input_ids
    encoding = ours.encode("frei und gleich")
    beside = [i for i, s in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if s]
    read = [*opening(ours, number, beside, "de", {}), *text]
    assert read == shifted[0, : len(read)].tolist()
    assert torch.isin(shifted[0, len(read) :], torch.tensor([theirs.eos_token_id])).all()


def test_an_edit_that_is_asked_in_the_pivot_is_answered_with_its_tag(source, tmp_path):
    normalise(ModelSettings(source=str(source)), tmp_path / "m")
    tokenizer, task = (
        read_tokenizer(tmp_path / "m"),
        EditsTask(source="edits", direction="to_pivot"),
    )
    asked = {"de": task.read("de").items[:1], "en": task.read("en").items[:1]}
    for language, [question] in encoded(tmp_path / "m", "edits", asked).items():
        own = {"de": "deu_Latn", "en": "eng_Latn"}[language]
        assert tokenizer.id_to_token(question.prompt[0]) == own
        assert [tokenizer.id_to_token(token) for token in question.opening] == ["</s>", "eng_Latn"]
