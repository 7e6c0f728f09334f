"""Compiled gettext catalogues: the binary format, the choice of sentences, hostile files."""

import gettext
import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuroglot.corpora.gettext import GettextCorpus, parse_mo, segment_id
from neuroglot.errors import NeuroglotError

HEADER = "Content-Type: text/plain; charset={}\nPlural-Forms: nplurals=2; plural=n != 1;\n"


def mo(messages, order="<", charset="UTF-8"):
    """Compile a catalogue as the GNU gettext manual lays it out."""
    entries = {"": HEADER.format(charset)} | messages
    pairs = [(k.encode(charset), v.encode(charset)) for k, v in sorted(entries.items())]
    count = len(pairs)
    start = 28 + 16 * count
    tables, data = ([], []), b""
    for side in (0, 1):
        for pair in pairs:
            tables[side].append((len(pair[side]), start + len(data)))
            data += pair[side] + b"\0"
    numbers = [n for side in tables for entry in side for n in entry]
    head = struct.pack(f"{order}7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, start)
    return head + struct.pack(f"{order}{len(numbers)}I", *numbers) + data


def parsed(content):
    return dict(parse_mo(content, "x.mo"))


@pytest.mark.parametrize("order", ["<", ">"])
def test_parse_agrees_with_the_standard_library(order):
    messages = {"Good day to you all": "Guten Tag, ihr Lieben", "ä": "ö"}
    assert parsed(mo(messages, order)) == messages
    theirs = gettext.GNUTranslations(io.BytesIO(mo(messages, order)))
    assert all(theirs.gettext(message) == text for message, text in messages.items())


def test_other_charsets():
    assert parsed(mo({"café": "crème"}, charset="ISO-8859-1")) == {"café": "crème"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a compiled"),
        (b"\xde\x12\x04\x95", "not a compiled"),
        (b"MZ" + bytes(40), "not a compiled"),
        (mo({"a": "b"})[:50], "truncated"),
        (mo({"a": "b"})[:-4], "beyond the file's end"),
        (struct.pack("<7I", 0x950412DE, 0, 2**32 - 1, 28, 28, 0, 28), "truncated"),
        (struct.pack("<9I", 0x950412DE, 0, 1, 28, 28, 0, 28, 2**31, 2**31), "beyond"),
        (mo({"a": "b"}).replace(b"UTF-8", b"hex_c"), "is not hex_c"),
        (mo({"a": "é"}, charset="latin-1").replace(b"latin-1", b"utf-8  "), "is not utf-8"),
    ],
)
def test_hostile_catalogues(content, message):
    with pytest.raises(NeuroglotError, match=f"x.mo.*{message}"):
        parsed(content)


@given(st.binary(max_size=200))
def test_random_bytes_after_the_magic_number_never_crash(rest):
    with suppress(NeuroglotError):
        parsed(struct.pack("<I", 0x950412DE) + rest)


GOOD = "This field cannot be null."
MESSAGES = {
    GOOD: "Dieses Feld darf nicht leer sein.",
    "Enter a valid\n email address.": "Bitte eine gültige\nE-Mail-Adresse eingeben.",
    "Too few words here": "Zu wenige Wörter hier",
    "You have exactly %d new messages": "Sie haben %d neue Nachrichten",
    "Hello {name}, how are you today?": "Hallo {name}, wie geht es?",
    "Please <b>do not</b> press this button": "Bitte <b>nicht</b> drücken",
    "Press this button and wait here": "Bitte <b>nicht</b> drücken",
    "menu\x04Open the file in another window": "Die Datei öffnen",
    "one file was removed from here\x00many files were": "eine\x00viele",
    "This one is not translated yet": "This one is not translated yet",
    "This one is empty in German": "",
}


@pytest.fixture
def folder(tmp_path):
    for locale, messages in {
        "de": MESSAGES,
        "zh_Hans": {GOOD: "此字段不能为空。", "Only known in the Chinese catalogue": "只有中文"},
        "sr@latin": {GOOD: "Ovo polje ne sme biti prazno."},
        "not a locale": {GOOD: "?"},
    }.items():
        path = tmp_path / locale / "LC_MESSAGES"
        path.mkdir(parents=True)
        (path / "app.mo").write_bytes(mo(messages))
    return tmp_path


def test_only_sentences_are_kept_in_one_order(folder):
    settings = GettextCorpus(source="gettext", folder=folder)
    german = settings.read("de").segments
    assert {s.text for s in german} == {
        "Dieses Feld darf nicht leer sein.",
        "Bitte eine gültige E-Mail-Adresse eingeben.",
    }
    assert [s.id for s in german] == sorted(s.id for s in german)
    assert segment_id(GOOD) in [s.id for s in german]
    english = {s.id: s.text for s in settings.read("en").segments}
    assert english[segment_id(GOOD)] == GOOD
    assert "Only known in the Chinese catalogue" in english.values()
    assert {s.id for s in settings.read("zh").segments} < set(english)
    assert {s.id for s in german} < set(english)


def test_segment_ids_are_stable():
    assert segment_id(GOOD) == "this-field-cannot-be-null-4ec21ec0"
    assert segment_id("A b c d e f g") != segment_id("A b c d e f h")


def test_folder_is_listed_without_reading(folder):
    settings = GettextCorpus(source="gettext", folder=folder)
    assert settings.available() == {"de", "en", "sr-latn", "zh-hans"}
    assert settings.problems(["de", "zh", "sr-latn"]) == []
    assert "did you mean" in settings.problems(["zh-hant"])[0]
    assert settings.inputs("zh") == [folder / "zh_Hans" / "LC_MESSAGES" / "app.mo"]
    assert len(settings.inputs("en")) == 4
    assert settings.package() is None
    with pytest.raises(NeuroglotError, match="at least two"):
        settings.read("sr-latn")
    with pytest.raises(NeuroglotError, match="'fr': unknown locale 'fr'"):
        settings.read("fr")


def test_wheel_is_read_in_memory(tmp_path):
    wheel = tmp_path / "x.whl"
    texts = {GOOD: "Dieses Feld!", "Enter only digits separated by commas.": "Nur Ziffern."}
    with zipfile.ZipFile(wheel, "w") as archive:
        for app in ("a", "b"):
            name = f"django/{app}/locale/de/LC_MESSAGES/django.mo"
            archive.writestr(name, mo({k: v + app for k, v in texts.items()}))
    settings = GettextCorpus(source="gettext")
    assert {s.text for s in settings.read("de", wheel).segments} == {
        "Dieses Feld!a",
        "Nur Ziffern.a",
    }
    assert {s.text for s in settings.read("en", wheel).segments} == set(texts)
    assert {"de", "hi", "zh-hans", "pt-br"} <= settings.available()
    assert settings.package().name == "django"
    assert GettextCorpus(source="gettext", release=OTHER).available() is None


OTHER = {"registry": "pypi", "name": "x", "version": "1", "sha256": "0" * 64}


def test_bad_wheels_are_refused(tmp_path):
    settings = GettextCorpus(source="gettext")
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"no zip")
    with pytest.raises(NeuroglotError, match="cannot be read as a zip"):
        settings.read("de", wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("../de/LC_MESSAGES/x.mo", b"")
    with pytest.raises(NeuroglotError, match="unsafe member path"):
        settings.read("de", wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("readme", b"")
    with pytest.raises(NeuroglotError, match="no catalogue"):
        settings.read("de", wheel)
    with pytest.raises(ValidationError, match="only wheels"):
        GettextCorpus(source="gettext", release=OTHER | {"registry": "npm", "version": "1.0.0"})


@pytest.mark.parametrize(("language", "locale"), [("zh", "zh_CN"), ("pt", "pt_BR")])
def test_a_folder_may_name_the_likeliest_territory(tmp_path, language, locale):
    made = folder_of(tmp_path, locale, "de")
    assert made.problems([language, "de"]) == []
    assert made.read(language).segments[0].text == f"Fünf Wörter stehen in {locale} hier"


def test_codes_name_a_locale(tmp_path):
    made = folder_of(tmp_path, "pt_PT", "german")
    (problem,) = made.problems(["pt"])
    assert "'pt': unknown locale 'pt'; did you mean 'pt_PT'?; `codes` can name" in problem
    coded = made.model_copy(update={"codes": {"pt": "pt_PT", "de": "german"}})
    assert coded.available() == {"en", "de", "pt"}
    assert coded.problems(["pt", "de"]) == []
    assert coded.inputs("de") == [tmp_path / "german" / "LC_MESSAGES" / "x.mo"]
    assert coded.read("pt").segments[0].text.startswith("Fünf Wörter stehen in pt_PT")


def folder_of(folder, *locales):
    messages = ("five words stand in this", "five words stand in that")
    for locale in locales:
        (folder / locale / "LC_MESSAGES").mkdir(parents=True)
        translated = dict.fromkeys(messages, f"Fünf Wörter stehen in {locale} hier")
        (folder / locale / "LC_MESSAGES" / "x.mo").write_bytes(mo(translated))
    return GettextCorpus(source="gettext", folder=folder)
