"""Language tags, the table of languages and what scripts say."""

import csv
import re
from importlib.resources import files

import langcodes
import pytest
from pydantic import ValidationError

from neuroglot.errors import NeuroglotError
from neuroglot.languages import (
    LanguageRow,
    find_language,
    language_id,
    with_script,
)
from support.languages import known_languages


@pytest.mark.parametrize(
    ("tag", "identifier"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("eng", "en"),
        ("zh_Hans", "zh-hans"),
        ("cmn-hant", "zh-hant"),
        ("arb", "ar"),
        ("swh", "sw"),
        ("pt_BR", "pt-br"),
        ("deu_Latn", "de"),
        ("iw", "he"),
        ("tl", "fil"),
        ("yue", "yue"),
    ],
)
def test_tags_are_standardised(tag, identifier):
    assert language_id(tag) == identifier
    assert language_id(identifier) == identifier


@pytest.mark.parametrize(
    ("tag", "nearest"),
    [("German", "'de'"), ("xx", "did you mean"), ("und", ""), ("a b", ""), ("", ""), ("../x", "")],
)
def test_bad_tags_are_refused_with_the_nearest(tag, nearest):
    with pytest.raises(NeuroglotError, match=re.escape(repr(tag))) as caught:
        language_id(tag)
    assert nearest in str(caught.value)


def test_table_is_consistent():
    text = files("neuroglot").joinpath("data/languages.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    tags = [row["tag"] for row in rows]
    assert tags == sorted(set(tags))
    assert len(tags) >= 150
    genera = {}
    for row in rows:
        assert language_id(row["tag"]) == row["tag"]
        assert re.fullmatch("[A-Z][a-z]{3}", row["script"])
        assert langcodes.tag_is_valid(f"und-{row['script']}")
        assert all(value == value.strip() != "" for value in row.values())
        assert genera.setdefault(row["genus"], row["family"]) == row["family"]


XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"
FLORES = """
af am as ast az be bn bs ca ceb ckb cs cy da et fa fi fil fuv ga gl gu ha he hr hu hy id ig is
it ja jv ka kam kea kk km kn ko ky lb lg ln lo lt luo lv mi mk ml mn mr ms mt my nb ne nl nso ny
oc om or pa pl ps pt ro sd sk sl sn so sr sv ta te tg uk umb uz wo xh yo zu
"""


def test_table_covers_common_benchmarks():
    assert set(XNLI.split() + FLORES.split()) <= set(known_languages())


@pytest.mark.parametrize(
    ("tag", "family", "genus", "script", "direction", "spaced"),
    [
        ("de", "Indo-European", "Germanic", "Latn", "ltr", True),
        ("hi", "Indo-European", "Indic", "Deva", "ltr", True),
        ("fa", "Indo-European", "Iranian", "Arab", "rtl", True),
        ("he", "Afro-Asiatic", "Semitic", "Hebr", "rtl", True),
        ("tr", "Altaic", "Turkic", "Latn", "ltr", True),
        ("th", "Tai-Kadai", "Kam-Tai", "Thai", "ltr", False),
        ("zh", "Sino-Tibetan", "Chinese", "Hans", "ltr", False),
        ("zh-tw", "Sino-Tibetan", "Chinese", "Hant", "ltr", False),
        ("ja", "Japanese", "Japanese", "Jpan", "ltr", False),
        ("ko", "Korean", "Korean", "Kore", "ltr", True),
        ("my", "Sino-Tibetan", "Burmese-Lolo", "Mymr", "ltr", False),
        ("bo", "Sino-Tibetan", "Bodic", "Tibt", "ltr", False),
        ("sw", "Niger-Congo", "Bantoid", "Latn", "ltr", True),
    ],
)
def test_languages(tag, family, genus, script, direction, spaced):
    found = find_language(tag)
    assert (found.family, found.genus, found.script) == (family, genus, script)
    assert (found.direction, found.spaced) == (direction, spaced)


def test_variants_fall_back_to_their_language_in_their_own_script():
    angolan = find_language("pt-AO")
    assert (angolan.id, angolan.tag, angolan.name) == ("pt-ao", "pt-AO", "Portuguese (AO)")
    assert find_language("sr-Latn-RS").script == "Latn"
    assert find_language("sr").script == "Cyrl"
    assert find_language("zh-Hant-HK").name == "Chinese (Traditional) (HK)"


ROW = {"tag": "tlh", "name": "Klingon", "family": "Made", "genus": "Up", "script": "Piqd"}


def test_users_add_and_correct_rows():
    assert find_language("tlh", [LanguageRow(**ROW)]).name == "Klingon"
    assert find_language("de", [LanguageRow(**ROW | {"tag": "deu"})]).name == "Klingon"
    assert find_language("de").name == "German"


def test_missing_language_asks_for_a_row():
    with pytest.raises(NeuroglotError, match=r"'tlh' is not in the table.*language_table"):
        find_language("tlh")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"script": "latin"}, "script"),
        ({"name": ""}, "name"),
        ({"genera": "x"}, "genera"),
        ({"tag": "klingon"}, "klingon"),
    ],
)
def test_bad_rows_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        LanguageRow(**ROW | change)


def test_ids_of_the_same_text_compare_equal_with_their_script():
    assert with_script("zh") == with_script("zh-hans") == "zh-hans"
    assert with_script("zh-tw") == "zh-hant-tw"
    assert with_script("sr") == with_script("sr-cyrl") != with_script("sr-latn")
    assert with_script("pt") != with_script("pt-br")
