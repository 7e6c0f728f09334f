"""Our tokens of a text are the model's own: those of transformers' tokenizer, in every family."""

import shutil
import unicodedata

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from neuroglot.errors import NeuroglotError
from neuroglot.models import checkpoint
from neuroglot.models.architectures import ARCHITECTURES
from neuroglot.models.source import ModelSettings
from neuroglot.tokens import as_tokens, tokenise
from support.tiny_checkpoints import TEXTS
from support.tiny_tokenizers import (
    CLASSES,
    PYTHON_ALONE,
    sentencepiece_model,
    write_python_tokenizer,
    write_tokenizer,
)

KOREAN, VIETNAMESE, HINDI = "한국어로 말해요", "Tiếng Việt rất đẹp", "मनुष्यों को क़ानून"
BATTERY = [
    *TEXTS,
    *(" leading blank", "  two leading", "double  blank", "trailing ", "three   blanks   here"),
    *("a\nb", "a\n\nb", "\nfirst", "a\tb", "\t", "a\r\nb", "no\u00a0break", "zero\u200bwidth"),
    *("👩‍👩‍👧 family", "🇩🇪", "👍🏽", "e\u0301 o\u0302", "x\u0301\u0323y", "ᚠᛇᚻ"),
    *(unicodedata.normalize(form, KOREAN) for form in ("NFC", "NFD")),
    *(unicodedata.normalize(form, VIETNAMESE) for form in ("NFC", "NFD")),
    *(unicodedata.normalize(form, HINDI) for form in ("NFC", "NFD")),
    *("ﬁne ﬀ ½ ①", "Ａｂｃ１２３", "ÅÅ", "İstanbul ıI", "straße ß"),
    *("مرحبا بالعالم", "שלום עולם", "a שלום b", "\u202bمرحبا\u202c"),
    *("日本語の文章です。", "人人生而自由", "ภาษาไทย", "ខ្មែរ"),
    *("the <s> mark", "</s>", "<pad><unk>", "<mask> a", "<|endoftext|>", "[INST] a", "eng_Latn x"),
    *("12345 007 3.14", "don't we're I'LL", "...!?", "C++ & C#", "https://a.b/c?d=e", "▁ under"),
    *("", " ", "  ", "\n"),
]


def made(folder, tmp_path):
    """The tokenizer that a model gets, as ``read_tokenizer`` reads it."""
    work = shutil.copytree(folder, tmp_path / "work")
    checkpoint.ensure_tokenizer(work, "source")
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def take_settings(folder, work):
    settings = ModelSettings.model_construct(source=str(folder), language_tags={})
    return checkpoint.take_settings(settings, folder, work, "source")


def test_every_supported_family_is_here():
    families = {family.split(":")[0] for family in CLASSES} | set(PYTHON_ALONE)
    assert families == {name for name, entry in ARCHITECTURES.items() if not entry.mixture}


@pytest.mark.parametrize("family", CLASSES)
def test_tokens_are_the_models_own(family, tmp_path):
    folder = write_tokenizer(tmp_path / "source", family)
    with checkpoint.reading_sentencepiece():
        theirs = AutoTokenizer.from_pretrained(folder)
    ours = made(folder, tmp_path)
    differ = {}
    for text in BATTERY:
        expected = theirs(text, split_special_tokens=True).input_ids
        if text.strip():
            data = tokenise(ours, [("1", text)], "subword", None, len(theirs), "refuse")
            (read,) = as_tokens(data).sequences()
            read = read.tolist()
        else:
            read = ours.encode(text).ids
        if read != expected:
            differ[text] = (read, expected)
    assert not differ
    # The battery is no row of unknown tokens, and languages are told apart.
    known = [set(theirs(text).input_ids) - {theirs.unk_token_id} for text in TEXTS]
    assert all(len(ids) > 4 for ids in known)


def test_a_tokenizer_that_knows_few_of_the_models_tokens_is_refused(tmp_path):
    # transformers makes a tokenizer without a vocabulary of the only file there is.
    folder = write_tokenizer(tmp_path / "source", "xglm")
    (folder / "tokenizer.json").unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece_model("unigram", False))
    with checkpoint.reading_sentencepiece():
        assert len(AutoTokenizer.from_pretrained(folder)) == 11
    (tmp_path / "work").mkdir()
    with pytest.raises(NeuroglotError, match="has 11 tokens and its embedding 256008 rows"):
        take_settings(folder, tmp_path / "work")


def test_a_tokenizer_that_lacks_what_it_puts_beside_texts_is_refused(tmp_path):
    # Of NLLB's SentencePiece model alone transformers makes a tokenizer without tags, and puts
    # <unk> in their place.
    folder = write_tokenizer(tmp_path / "source", "m2m_100:nllb")
    (tmp_path / "work").mkdir()
    with pytest.raises(NeuroglotError, match="puts 'eng_Latn' beside each text and has no such"):
        take_settings(folder, tmp_path / "work")


@pytest.mark.parametrize("family", PYTHON_ALONE)
def test_tokenizers_in_python_alone_are_refused_in_words(family, tmp_path):
    folder = write_python_tokenizer(tmp_path / "source", family)
    with pytest.raises(NeuroglotError, match=rf"its {PYTHON_ALONE[family]} exists only in Python"):
        made(folder, tmp_path)
