"""Tokens as text, in small tokenizers of the three kinds that write their pieces differently."""

from collections import Counter

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.pre_tokenizers import ByteLevel

from neuroglot.models.vocabulary import BYTE_OF, token_texts
from support.tiny_checkpoints import train_tokenizer


def byte_characters(raw: bytes) -> str:
    """Bytes as byte-level BPE writes them, by asking the library itself where they are text."""
    character = {byte: character for character, byte in BYTE_OF.items()}
    return "".join(character[byte] for byte in raw)


def byte_level(pieces: list[str | bytes], decoder: bool = True) -> Tokenizer:
    vocabulary = {
        byte_characters(piece.encode() if isinstance(piece, str) else piece): index
        for index, piece in enumerate(pieces)
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    if decoder:
        tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_piece(pieces: list[str]) -> Tokenizer:
    """As Gemma's: the normaliser writes spaces as ▁, unknown characters fall back to bytes."""
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return tokenizer


def shown(tokenizer: Tokenizer, count: int) -> list[str]:
    return token_texts(tokenizer, range(count))


# What a token stands for, and how it is written.
WRITTEN = {
    "word": "word",
    " word": "␣word",
    "two words": "two␣words",
    " ": "␣",
    "   ": "␣␣␣",
    "    ": "⟨SPACE ×4⟩",
    "                f": "⟨SPACE ×16⟩f",
    "\n": "⟨LINE FEED⟩",
    "\n\n": "⟨LINE FEED⟩⟨LINE FEED⟩",
    "\n\n\n\n\n": "⟨LINE FEED ×5⟩",
    "\r\n\t": "⟨CARRIAGE RETURN⟩⟨LINE FEED⟩⟨CHARACTER TABULATION⟩",
    "\x01": "⟨U+0001⟩",
    "\u00a0": "⟨NO-BREAK SPACE⟩",
    "\u3000": "⟨IDEOGRAPHIC SPACE⟩",
    "\u200b": "⟨ZERO WIDTH SPACE⟩",
    "می\u200cشود": "می⟨ZERO WIDTH NON-JOINER⟩شود",
    "\u3164": "⟨HANGUL FILLER⟩",
    "\ufe0f": "⟨VARIATION SELECTOR-16⟩",
    "\ue000": "⟨U+E000⟩",
    "ा": "⟨DEVANAGARI VOWEL SIGN AA⟩",
    " \u0301\u0302": "␣⟨COMBINING ACUTE ACCENT⟩⟨COMBINING CIRCUMFLEX ACCENT⟩",
    "ार": "◌ार",
    "कि": "कि",
    "e\u0301": "e\u0301",
    "人人": "人人",
    "❤\ufe0f": "❤\ufe0f",
    "<0x0a>": "<0x0a>",
    "#": "#",
    "⟨": "⟨",
}


def test_byte_characters_are_the_librarys():
    assert set(BYTE_OF) == set(ByteLevel.alphabet())
    assert sorted(BYTE_OF.values()) == list(range(256))
    splitter = ByteLevel(add_prefix_space=False, use_regex=False)
    for text in ("aé \n\x7f\xadÿ", "हिन्दी 人", "\x00\u0080\u07ff\uffff🙂"):
        [(piece, _)] = splitter.pre_tokenize_str(text)
        assert byte_characters(text.encode()) == piece


@pytest.mark.parametrize("decoder", [True, False])
def test_byte_level_pieces(decoder):
    assert shown(byte_level(list(WRITTEN), decoder), len(WRITTEN)) == list(WRITTEN.values())


def test_incomplete_characters_are_bytes():
    pieces = {
        b"\xe0\xa4": "⟨bytes E0 A4⟩",
        b"\xb8": "⟨bytes B8⟩",
        b" \xe4\xba": "␣⟨bytes E4 BA⟩",
        b"\x80\x81ok": "⟨bytes 80 81⟩ok",
        "。".encode() + b"\xe3": "。⟨bytes E3⟩",
    }
    assert shown(byte_level(list(pieces)), len(pieces)) == list(pieces.values())


def test_sentence_piece_pieces():
    pieces = [text.replace(" ", "▁") for text in WRITTEN]
    assert shown(sentence_piece(pieces), len(pieces)) == list(WRITTEN.values())
    bytes_of = sentence_piece(["<0x0A>", "<0xE0>", "▁<0x0A>"])
    assert shown(bytes_of, 3) == ["⟨bytes 0A⟩", "⟨bytes E0⟩", "␣<0x0A>"]


def test_unigram_metaspace():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁bei", -1.0), ("de", -2.0)], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    assert shown(tokenizer, 3)[1:] == ["␣bei", "de"]


def test_word_piece():
    vocabulary = {"[UNK]": 0, "play": 1, "##ing": 2, "Ġ": 3, "##ा": 4}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[UNK]"])
    assert shown(tokenizer, 5) == ["⟨[UNK]⟩", "play", "##ing", "Ġ", "##ा"]


def test_special_added_and_missing_tokens():
    for tokenizer in (byte_level(["a", "b"]), sentence_piece(["a", "b"])):
        tokenizer.add_special_tokens(["<bos>", AddedToken("▁x", special=True)])
        tokenizer.add_tokens(["<h1>", "  ", "naïve é"])
        assert token_texts(tokenizer, [2, 4, 5, 6, 7, 10**6]) == [
            "⟨<bos>⟩",
            "<h1>",
            "␣␣",
            "naïve␣é",
            "⟨no token 7⟩",
            "⟨no token 1000000⟩",
        ]


def test_an_empty_token():
    assert shown(sentence_piece(["", "a"]), 2) == ["⟨empty⟩", "a"]


def test_ids_may_repeat_and_come_in_any_order():
    tokenizer = byte_level([" a", "b", "c"])
    ids = np.array([2, 0, 0, 1, 9], np.int32)
    assert token_texts(tokenizer, ids) == ["c", "␣a", "␣a", "b", "⟨no token 9⟩"]
    assert token_texts(tokenizer, []) == []


def test_a_trained_tokenizers_tokens_spell_the_text():
    tokenizer = train_tokenizer()
    text = "born free"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert "".join(token_texts(tokenizer, ids)) == text.replace(" ", "␣")
    every = shown(tokenizer, tokenizer.get_vocab_size())
    assert every[:4] == ["⟨<pad>⟩", "⟨<s>⟩", "⟨</s>⟩", "⟨<unk>⟩"]
    assert len(set(every)) == len(every)
    assert all(every)


def test_each_token_is_asked_for_once():
    """A tokenizer's tables take a second to copy: they are not asked for at every token."""
    asked = Counter[str]()

    class Counting:
        def __getattr__(self, name: str):
            asked[name] += 1
            return getattr(tokenizer, name)

    tokenizer = sentence_piece([f"▁слово{index}" for index in range(1000)])
    found = token_texts(Counting(), [*range(1000), *range(1000)])
    assert found[999] == found[-1] == "␣слово999"
    assert asked.pop("id_to_token") == 1000
    assert set(asked.values()) == {1}
