"""Removing punctuation by Unicode category, and word boundaries."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroglot.corpora.punctuation import is_punctuation, strip_punctuation, words


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("Elementary, my dear Watson.", "Elementary my dear Watson."),
        ("Co-operation: l'homme (and) “rights”!", "Cooperation lhomme and rights!"),
        ("War — and  peace", "War and peace"),
        ("Whereas,", "Whereas,"),
        ("no end, here", "no end here"),
        ("है, सभी को आज़ादी मिली।", "है सभी को आज़ादी मिली।"),
        ("人人生而自由,在尊严和权利上一律平等。", "人人生而自由在尊严和权利上一律平等。"),
        ("ሰብአዊ፡መብት፣ ነው።", "ሰብአዊ መብት ነው።"),
        ("འགྲོ་བ་མིའི།", "འགྲོ་བ་མིའི།"),
        ("He said: 'no.'", "He said no'"),
        ("...", "."),
        (" , ", ","),
        ("", ""),
    ],
)
def test_strip_punctuation(text, stripped):
    assert strip_punctuation(text) == stripped


def test_vowel_signs_stay():
    text = "".join(map(chr, range(0x0900, 0x0964)))  # Devanagari letters, signs and marks
    assert strip_punctuation(text) == text
    assert strip_punctuation("कि, की.") == "कि की."


@given(st.text())
def test_only_punctuation_and_spaces_are_lost(text):
    stripped = strip_punctuation(text)
    assert stripped == strip_punctuation(stripped)
    assert "  " not in stripped
    assert not any(map(is_punctuation, stripped[:-1]))

    def rest(value):
        return [c for c in value if unicodedata.category(c)[0] != "P" and not c.isspace()]

    assert rest(stripped) == rest(text)


def test_words_give_the_papers_prefixes():
    text = "Elementary my dear Watson."
    prefixes = [text[:end] for _, end in words(text)]
    assert prefixes[-2:] == ["Elementary my dear Watson", "Elementary my dear Watson."]
    assert [text[start:end] for start, end in words(text)] == [*text[:-1].split(), "."]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("क ख है ।", ["क", "ख", "है", "।"]),
        ("it's so, no", ["it's", "so,", "no"]),
        ("end .  ", ["end", "."]),
        ("ሰብአዊ፡መብት", ["ሰብአዊ", "መብት"]),
        (".", ["."]),
        ("", []),
        ("  ", []),
    ],
)
def test_words(text, found):
    assert [text[start:end] for start, end in words(text)] == found


@given(st.text())
def test_words_cover_everything_but_spaces(text):
    spans = words(text)
    assert all(start < end for start, end in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    joined = "".join(text[start:end] for start, end in spans)
    assert joined == "".join(text.replace("\u1361", " ").split())
