"""Writes single tokens so that a table can show them: every space, byte and invisible mark."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

from tokenizers import Tokenizer

SPACE = "␣"
BASE = "◌"  # what Unicode draws a combining mark on where there is no letter
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
INVALID = re.compile("([\udc80-\udcff]+)")  # how surrogateescape decodes bytes that are not UTF-8
LONGEST_RUN = 3
"""Equal spaces or invisible characters in a row that are written one by one."""

# Letters and symbols by category that have no ink.
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
CONTROLS = {
    unicodedata.lookup(name): name
    for name in (
        "NULL",
        "BACKSPACE",
        "CHARACTER TABULATION",
        "LINE FEED",
        "LINE TABULATION",
        "FORM FEED",
        "CARRIAGE RETURN",
        "ESCAPE",
        "DELETE",
        "NEXT LINE",
    )
}
"""Control characters have no name in the database, only aliases that can be looked up."""


def token_texts(tokenizer: Tokenizer, ids: Iterable[int]) -> list[str]:
    """Write tokens one by one as a reader can tell them apart.

    Readable characters stand as they are, WordPiece's ``##`` too. A space is ``␣``, whether the
    tokenizer's file writes it as ``▁`` (SentencePiece) or ``Ġ`` (byte-level BPE). In angle
    brackets stand

    - the names of other characters without ink, and of combining marks where a token has nothing
      else: ``⟨LINE FEED⟩``, ``⟨ZERO WIDTH SPACE⟩``, more than three in a row as ``⟨SPACE ×8⟩``;
    - bytes that make no whole character, and byte tokens: ``⟨bytes E0 A4⟩``;
    - special tokens, ``⟨<bos>⟩``, and ids without a token, ``⟨no token 123⟩``, which models whose
      vocabulary is padded have.

    A combining mark that begins a longer token is drawn on ``◌``, as in ``◌ার``.

    Args:
        tokenizer: of the model.
        ids: in any order, repeated or not.

    Returns:
        One text for each id.
    """
    wanted = [int(index) for index in ids]
    added = tokenizer.get_added_tokens_decoder()
    byte_level = _byte_level(tokenizer)

    def text(index: int) -> str:
        piece = tokenizer.id_to_token(index)
        if piece is None:
            return f"⟨no token {index}⟩"
        if not piece:
            return "⟨empty⟩"
        if index in added and added[index].special:
            return f"⟨{piece}⟩"
        if byte_level:  # added tokens stand in the vocabulary as they are, not as bytes
            return _visible(piece) if index in added else _of_bytes(_to_bytes(piece))
        if byte := BYTE_TOKEN.fullmatch(piece):
            return _bytes(bytes.fromhex(byte[1]))
        return _visible(piece.replace("▁", " "))

    texts = {index: text(index) for index in set(wanted)}
    return [texts[index] for index in wanted]


def _byte_level(tokenizer: Tokenizer) -> bool:
    """Whether the vocabulary writes bytes as characters, as GPT-2's does."""
    parts = (tokenizer.decoder, tokenizer.pre_tokenizer)
    return any(part is not None and b'"ByteLevel"' in part.__getstate__() for part in parts)


def _byte_characters() -> dict[str, int]:
    """GPT-2's character of each byte: itself if it has ink, else the next one from U+0100."""
    inked = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in inked]
    return {
        **{chr(byte): byte for byte in inked},
        **{chr(0x100 + place): byte for place, byte in enumerate(others)},
    }


BYTE_OF = _byte_characters()


def _to_bytes(piece: str) -> bytes:
    """Bytes of a byte-level piece; what is none of its characters counts as itself."""
    try:
        return bytes(map(BYTE_OF.__getitem__, piece))
    except KeyError:
        return piece.encode()


def _of_bytes(raw: bytes) -> str:
    parts = INVALID.split(raw.decode(errors="surrogateescape"))
    return "".join(
        _bytes(part.encode(errors="surrogateescape")) if INVALID.match(part) else _visible(part)
        for part in parts
    )


def _bytes(raw: bytes) -> str:
    return f"⟨bytes {raw.hex(' ').upper()}⟩"


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.replace(" ", SPACE)
    marks_alone = all(_combining(character) or not _inked(character) for character in text)
    shown: list[str] = []
    on_letter = False
    for character, run in groupby(text):
        count = len(list(run))
        if not _inked(character) or (marks_alone and _combining(character)):
            shown.append(_named(character, count))
            on_letter = False
        else:
            shown.append(BASE if _combining(character) and not on_letter else "")
            shown.append(character * count)
            on_letter = True
    return "".join(shown)


def _combining(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _inked(character: str) -> bool:
    """Whether a character can be seen; controls, formats, separators and blanks cannot."""
    return unicodedata.category(character)[0] not in "CZ" and character not in BLANK


def _named(character: str, count: int) -> str:
    if character == " " and count <= LONGEST_RUN:
        return SPACE * count
    name = CONTROLS.get(character) or unicodedata.name(character, f"U+{ord(character):04X}")
    return f"⟨{name} ×{count}⟩" if count > LONGEST_RUN else f"⟨{name}⟩" * count
