"""Fonts are found by the scripts that they have; what no font has is named."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib.tables._g_l_y_f import Glyph
from matplotlib import font_manager
from matplotlib.figure import Figure

from neuroglot.figures import fonts, style
from neuroglot.summary import without_font
from support import reading


@pytest.fixture(autouse=True)
def _only_the_main_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine that has no font but matplotlib's."""
    manager = font_manager.fontManager
    main = [entry for entry in manager.ttflist if entry.name == fonts.MAIN]
    monkeypatch.setattr(manager, "ttflist", main)
    forget()
    yield
    monkeypatch.undo()
    forget()


def forget() -> None:
    font_manager.fontManager._findfont_cached.cache_clear()
    fonts.chosen.cache_clear()


def install(folder: Path, family: str, characters: str) -> None:
    """Make a font whose glyphs are empty, and make it known to matplotlib."""
    names = {ord(character): f"u{ord(character):04X}" for character in characters}
    glyphs = [".notdef", *names.values()]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap(names)
    builder.setupGlyf(dict.fromkeys(glyphs, Glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (500, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    builder.save(folder / f"{family}.ttf")
    font_manager.fontManager.addfont(folder / f"{family}.ttf")
    forget()


THAI = "".join(map(chr, range(0x0E01, 0x0E5C)))
HAN = "".join(map(chr, range(0x4E00, 0x4F00)))


@pytest.mark.parametrize("text", ["the", "␣der", "ἀρχή", "слово", "سلام", "⟨LINE FEED⟩", "a b"])
def test_the_main_font_has(text: str) -> None:
    assert fonts.shown(text) == text


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("ไทย", "[Thai]"),
        ("␣ไทย", "[Thai]"),
        ("ใน हिन्दी", "[Thai, Devanagari]"),
        ("漢字かな", "[Han, Hiragana]"),
        ("\U000f0000", "[U+F0000]"),
    ],
)
def test_a_script_without_font_is_named(text: str, instead: str) -> None:
    assert fonts.shown(text) == instead
    assert fonts.shown(instead) == instead


def test_a_font_is_taken_for_its_letters(tmp_path: Path) -> None:
    install(tmp_path, "Some Thai", THAI)
    install(tmp_path, "Digits of Han", HAN[:10])
    assert [*fonts.chosen()] == [fonts.MAIN, "Some Thai"]
    assert fonts.shown("ไทย") == "ไทย"
    assert fonts.shown("一") == "[Han]"
    assert fonts.missing_scripts(["Latn", "Thai", "Hans"]) == {"Han": "Noto Sans CJK SC"}


def test_noto_is_preferred(tmp_path: Path) -> None:
    for family in ("Another Thai", "Noto Sans Thai", "Zierschrift Thai"):
        install(tmp_path, family, THAI)
    assert [*fonts.chosen()] == [fonts.MAIN, "Noto Sans Thai"]


def test_the_theme_draws_with_it(tmp_path: Path) -> None:
    figure = Figure()
    with style.theme():
        figure.text(0, 0, fonts.shown("ไทย"))
    assert reading.words(figure) == ["[Thai]"]
    install(tmp_path, "Some Thai", THAI)
    with style.theme():
        figure.text(0, 0.5, "ไทย")
        figure.draw_without_rendering()  # a missing glyph would be warned of
    assert fonts.inches("ไทย", 72) == pytest.approx(1.5, abs=0.1)


def test_languages_scripts_have_parts_and_some_have_no_letters() -> None:
    assert [*fonts.missing_scripts(["Jpan"])] == ["Han", "Hiragana", "Katakana"]
    assert fonts.missing_scripts(["Latn", "Cyrl", "Zzzz"]) == {}


def test_the_summary_says_how_to_get_fonts() -> None:
    assert without_font(["Latn", "Arab"]) == []
    first, second, third, fourth = without_font(["Latn", "Thai", "Jpan", "Tibt"])
    assert first.endswith(" Thai, Han, Hiragana, Katakana, Tibetan.")
    assert "[Thai]" in second
    assert "Noto Sans CJK SC, Noto Sans Thai, Noto Serif Tibetan" in third
    assert "apt install fonts-noto-cjk fonts-noto-core" in third
    assert "fontlist" in fourth
