"""Text in lexicon figures: titles, and the tokens that the fonts can draw."""

import functools
import unicodedata
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from xarray import Dataset

from neuroglot.figures import style

# Left-to-right scripts whose letters need no joining and no reordering: matplotlib draws one glyph
# after the other.
UNSHAPED = frozenset(
    (
        *("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "CHEROKEE", "ETHIOPIC"),
        *("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "BOPOMOFO", "HANGUL"),
        *("FULLWIDTH", "HALFWIDTH", "IDEOGRAPHIC", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"),
    )
)
LEFT_OUT = "…"
BETWEEN = "  "
SMALL = 8  # points


def title(figure: Figure, ds: Dataset, subject: str) -> None:
    """Title the figure with the model and the subject."""
    figure.suptitle(": ".join(filter(None, [ds.attrs.get("model"), subject])), wrap=True)


def token_lines(label: str, texts: Sequence[str], lines: int, width: float) -> str:
    """Write ``label`` and as many tokens of ``texts`` as fit, strongest first.

    Tokens in a row that the fonts cannot draw are replaced by one ….

    Args:
        label: text before the first token.
        texts: the tokens, without blanks at their ends.
        lines: maximum number of lines.
        width: width of a line, in inches.

    Returns:
        The lines, or an empty text if no token can be drawn.
    """
    words = [unicodedata.normalize("NFC", text) for text in texts]
    shown = [word if drawable(word) else LEFT_OUT for word in words]
    if set(shown) <= {LEFT_OUT}:
        return ""
    filled = [label]
    for word, before in zip(shown, ["", *shown], strict=False):
        if word == before == LEFT_OUT:
            continue
        longer = f"{filled[-1]}{BETWEEN}{word}"
        if inches(longer) <= width:
            filled[-1] = longer
        elif len(filled) < lines and inches(word) <= width:
            filled.append(word)
        else:
            break
    return "\n".join(filled)


def inches(text: str) -> float:
    """Width in inches of a drawable ``text`` at the size ``SMALL``."""
    font = get_font(_paths())
    font.set_size(SMALL, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72


def drawable(token: str) -> bool:
    """Whether matplotlib draws every character of ``token`` correctly."""
    return bool(token) and all(map(_drawable, token))


@functools.cache
def _drawable(character: str) -> bool:
    if character == " ":
        return True
    category = unicodedata.category(character)
    if category[0] in "CMZ" or unicodedata.bidirectional(character) in ("R", "AL", "AN"):
        return False
    if category[0] == "L" and unicodedata.name(character, "").split(" ")[0] not in UNSHAPED:
        return False
    return any(ord(character) in letters for letters in _letters())


@functools.cache
def _letters() -> tuple[frozenset[int], ...]:
    """The characters of each of the figures' fonts."""
    return tuple(frozenset(get_font(path).get_charmap()) for path in _paths())


@functools.cache
def _paths() -> tuple[str, ...]:
    """Files of the figures' fonts, in order of preference."""
    return tuple(str(findfont(FontProperties(family=[name]))) for name in style.fonts())
