"""Fonts: the scripts that the installed ones draw, and the names of others to install."""

import functools
import unicodedata
from collections.abc import Iterable
from itertools import groupby, islice
from pathlib import Path

from fontTools.unicodedata import Scripts, script, script_name
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

MAIN = "DejaVu Sans"
"""The font of all figures, which comes with matplotlib."""
# Han comes first: fonts for it have the other scripts of Chinese, Japanese and Korean.
SCRIPTS = (
    "Hani Hang Hira Kana Adlm Arab Armn Bali Batk Beng Bugi Cakm Cans Cham Cher Copt Cyrl Deva "
    "Ethi Geor Grek Gujr Guru Hebr Java Khmr Knda Lana Laoo Latn Limb Lisu Mlym Mong Mtei Mymr "
    "Nkoo Olck Orya Rohg Saur Sinh Sund Syrc Tale Talu Taml Tavt Telu Tfng Thaa Thai Tibt Vaii "
    "Yiii"
)
"""ISO 15924 codes of the scripts, in use today, that fonts are looked for."""
PARTS = {
    "Aran": ["Arab"],
    "Hans": ["Hani"],
    "Hant": ["Hani"],
    "Jpan": ["Hani", "Hira", "Kana"],
    "Kore": ["Hang"],
}
"""The scripts that Unicode has, of languages' scripts that Unicode does not have."""
NOTO = {
    **dict.fromkeys(("Hani", "Hang", "Hira", "Kana"), "Noto Sans CJK SC"),
    **dict.fromkeys(("Latn", "Cyrl", "Grek"), "Noto Sans"),
    "Nkoo": "Noto Sans NKo",
    "Tibt": "Noto Serif Tibetan",
}
"""Noto fonts that are not called Noto Sans and the script's name."""
FIRST = {"Hani": 0x4E00, "Hang": 0xAC00}
"""Code points from which a script's common letters are found; others' are their first."""
LETTERS = 40
"""Letters by which a font is judged: it draws a script if it has half of them."""
NO_SCRIPT = ("Zyyy", "Zinh", "Zzzz")
"""The codes of characters that belong to no one script."""
LAST_RESORT = "last resort"
"""In the names of fonts that have a box for every character."""
LEFT_TO_RIGHT, RIGHT_TO_LEFT = "\u200e", "\u200f"
"""Unseen marks: texts stand from left to right, whatever the direction within each."""


def noto(code: str) -> str:
    """The name of the Noto font for a script."""
    return NOTO.get(code, f"Noto Sans {script_name(code)}")


def debian_package(font: str) -> str:
    """The Debian package that has a Noto font."""
    return "fonts-noto-cjk" if "CJK" in font else "fonts-noto-core"


@functools.cache
def letters(code: str) -> frozenset[int]:
    """The code points of a script's first letters."""
    ends = [*Scripts.RANGES[1:], 0x110000]
    points = (
        point
        for start, end, script_code in zip(Scripts.RANGES, ends, Scripts.VALUES, strict=True)
        if script_code == code
        for point in range(max(start, FIRST.get(code, 0)), end)
        if unicodedata.category(chr(point))[0] == "L"
    )
    return frozenset(islice(points, LETTERS))


@functools.cache
def characters(file: str) -> frozenset[int]:
    """The code points that a font has."""
    return frozenset(font_manager.get_font(file).get_charmap())


def draws(file: str, code: str) -> bool:
    """Whether a font has at least half of a script's first letters."""
    wanted = letters(code)
    return bool(wanted) and 2 * len(wanted & characters(file)) >= len(wanted)


@functools.cache
def chosen() -> dict[str, str]:
    """Files of the fonts of all figures, by name: each has scripts that those before it lack.

    A script's Noto font is preferred to other installed fonts. Few fonts are taken, because every
    text takes longer with each of them.
    """
    files = {
        font.name: font.fname
        for font in reversed(font_manager.fontManager.ttflist)  # matplotlib takes the first
        if (font.weight, font.style) == (400, "normal")
        and LAST_RESORT not in font.name.lower()
        and Path(font.fname).exists()
    }
    fonts = {MAIN: files[MAIN]}
    for code in SCRIPTS.split():
        if not any(draws(file, code) for file in fonts.values()):
            order = sorted(files, key=lambda name: (name != noto(code), name))
            first = next((name for name in order if draws(files[name], code)), MAIN)
            fonts[first] = files[first]
    return fonts


def missing_scripts(scripts: Iterable[str]) -> dict[str, str]:
    """Find the scripts that no installed font draws.

    Args:
        scripts: ISO 15924 codes, such as the scripts of languages.

    Returns:
        Names of Noto fonts to install, by the English name of the script.
    """
    parts = dict.fromkeys(part for code in scripts for part in PARTS.get(code, [code]))
    return {
        script_name(code): noto(code)
        for code in parts
        if letters(code) and not any(draws(file, code) for file in chosen().values())
    }


def shown(text: str) -> str:
    """The text, or in brackets the script that no font draws, such as [Thai].

    A character that belongs to no one script is named by its code point.
    """
    fonts = [characters(file) for file in chosen().values()]
    undrawn = [letter for letter in text if not any(ord(letter) in font for font in fonts)]
    if not undrawn:
        return text
    scripts = [script(letter) for letter in dict.fromkeys(undrawn)]
    names = dict.fromkeys(script_name(code) for code in scripts if code not in NO_SCRIPT)
    return f"[{', '.join(names) or f'U+{ord(undrawn[0]):04X}'}]"


def inches(text: str, points: float) -> float:
    """Width of a text in a size, in the fonts of the figures."""
    font = FontProperties(family=[*chosen()], size=points)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def filled(texts: Iterable[str], points: float, width: float, most: int) -> list[str]:
    """Fill lines with texts side by side, in their order, as far as they fit.

    Args:
        texts: short texts, such as tokens; those that no font draws are named by script.
        points: size of the letters.
        width: width of a line in inches.
        most: maximum number of lines.
    """
    lines = [""]
    for text, alike in groupby(map(shown, texts)):
        times = len([*alike])
        backwards = any(unicodedata.bidirectional(character) in ("R", "AL") for character in text)
        mark = RIGHT_TO_LEFT if backwards else ""
        word = f"{LEFT_TO_RIGHT}{mark}{text}{mark}" + (f" ×{times}" if times > 1 else "")
        longer = f"{lines[-1]}  {word}" if lines[-1] else word
        if inches(longer, points) <= width:
            lines[-1] = longer
        elif len(lines) < most and inches(word, points) <= width:
            lines.append(word)
        else:
            break
    return lines
