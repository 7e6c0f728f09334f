"""Punctuation and word boundaries of a segment, by Unicode category."""

import re
import unicodedata

ETHIOPIC_WORDSPACE = "\u1361"
SYLLABLE_MARKS = frozenset("\u0f0b\u0f0c")  # Tibetan tsheg: part of the spelling, like a letter
_SPACE = re.compile(rf"[\s{ETHIOPIC_WORDSPACE}]+")
_WORD = re.compile(rf"[^\s{ETHIOPIC_WORDSPACE}]+")


def is_punctuation(character: str) -> bool:
    """Whether a character is a punctuation mark: Unicode category P with two exceptions.

    The exceptions are the Ethiopic wordspace, which is a space, and the Tibetan tsheg, which ends a
    syllable. Vowel signs and other combining marks (M) are not punctuation.
    """
    return (
        unicodedata.category(character).startswith("P")
        and character != ETHIOPIC_WORDSPACE
        and character not in SYLLABLE_MARKS
    )


def strip_punctuation(text: str) -> str:
    """Remove surplus white space, and all punctuation except a mark at the text's end.

    Marks inside a word are deleted without a space, as in the roles paper's example, so that
    "co-operation" stays one word.

    Example:
        >>> strip_punctuation("Elementary, my dear Watson.")
        'Elementary my dear Watson.'
    """
    spaced = _SPACE.sub(" ", text).strip()
    body, last = (spaced[:-1], spaced[-1:]) if spaced else ("", "")
    kept = "".join(character for character in body if not is_punctuation(character)) + last
    return _SPACE.sub(" ", kept).strip()


def words(text: str) -> list[tuple[int, int]]:
    """Find the words of a text; a last punctuation mark is a word of its own.

    Returns:
        Start and end of each word, in characters, in reading order.

    Example:
        >>> [text[start:end] for text in ["dear Watson."] for start, end in words(text)]
        ['dear', 'Watson', '.']
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    if spans and is_punctuation(text[spans[-1][1] - 1]):
        start, end = spans.pop()
        spans += [(start, end - 1)] if end - 1 > start else []
        spans.append((end - 1, end))
    return spans
