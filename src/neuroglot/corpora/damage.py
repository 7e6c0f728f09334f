"""Finds texts whose characters were lost or changed when they were converted."""

import re

LOST = "\N{REPLACEMENT CHARACTER}"
_RUN = re.compile(r"[^\x00-\x7f]{2,}")
# Encodings in which UTF-8 is read by mistake.
_MISTAKEN = ("cp1252", "cp1251")
# One character that begins so is enough. Others, such as `É»` and `Сё`, are UTF-8 of one other
# character by chance, so two of a text must be.
_TELLING = ("Ã", "Â", "â€")


def misread(text: str) -> bool:
    """Whether a text seems to be UTF-8 that was read in another encoding.

    Example:
        >>> misread("MÃ¼ller"), misread("Müller"), misread("CAFÉ»")
        (True, False, False)
    """
    runs = _RUN.findall(text)
    return any(
        sum(_characters(run, encoding) * (2 if run.startswith(_TELLING) else 1) for run in runs) > 1
        for encoding in _MISTAKEN
    )


def _characters(run: str, encoding: str) -> int:
    """How many characters a run is as UTF-8 in bytes of ``encoding``; 0 if it is none."""
    try:
        return len(b"".join(_byte(character, encoding) for character in run).decode())
    except UnicodeError:
        return 0


def _byte(character: str, encoding: str) -> bytes:
    """A character's byte; for a control character that the encoding lacks, that of Latin-1."""
    try:
        return character.encode(encoding)
    except UnicodeEncodeError:
        return character.encode("latin-1") if "\x80" <= character <= "\x9f" else b"\xff"
