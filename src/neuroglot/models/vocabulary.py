"""Writes single tokens so that a table shows every space, byte and invisible character."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby

from tokenizers import Tokenizer

SPACE = "␣"
BASE = "◌"  # Unicode's base for a combining mark without a letter
BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
INVALID = re.compile("([\udc80-\udcff]+)")  # bytes that are not UTF-8, decoded by surrogateescape
LONGEST_RUN = 3
"""The longest run of equal spaces or invisible characters that is written one by one."""

# Characters without ink whose category is a letter or symbol.
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
"""Names of control characters; Python can look these aliases up, but not the other way round."""


def token_texts(tokenizer: Tokenizer, ids: Iterable[int]) -> list[str]:
    """Write each token so that a reader can tell it from every other token.

    Visible characters are written as they are, including WordPiece's ``##``. A space is ``␣``,
    whether the tokenizer's file writes it as ``▁`` (SentencePiece) or ``Ġ`` (byte-level BPE). These
    are written in angle brackets:

    - names of other characters without ink, and of combining marks in tokens that have nothing
      else: ``⟨LINE FEED⟩``, ``⟨ZERO WIDTH SPACE⟩``; more than three in a row as ``⟨SPACE ×8⟩``;
    - bytes that do not form a whole character, and byte tokens: ``⟨bytes E0 A4⟩``;
    - special tokens: ``⟨<bos>⟩``;
    - ids without a token, which padded vocabularies have: ``⟨no token 123⟩``.

    A combining mark at the start of a longer token is written after ``◌``, as in ``◌ার``.

    Args:
        tokenizer: the model's tokenizer.
        ids: token ids, in any order, repeated or not.

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
        if byte_level:  # added tokens are in the vocabulary as text, not as bytes
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
    """GPT-2's character for each byte: the byte's own if it has ink, else the next from U+0100."""
    inked = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in inked]
    return {
        **{chr(byte): byte for byte in inked},
        **{chr(0x100 + place): byte for place, byte in enumerate(others)},
    }


BYTE_OF = _byte_characters()


def _to_bytes(piece: str) -> bytes:
    """The bytes of a byte-level piece; a piece with other characters is encoded as UTF-8."""
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
    """Whether a character is visible: not a control, format, separator or blank."""
    return unicodedata.category(character)[0] not in "CZ" and character not in BLANK


def _named(character: str, count: int) -> str:
    if character == " " and count <= LONGEST_RUN:
        return SPACE * count
    name = CONTROLS.get(character) or unicodedata.name(character, f"U+{ord(character):04X}")
    return f"⟨{name} ×{count}⟩" if count > LONGEST_RUN else f"⟨{name}⟩" * count
