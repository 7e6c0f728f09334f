"""Capitals as facts: CLDR's names, the shipped wordings, and mParaRel's folders."""

import csv
import json
import os
import unicodedata
from collections import Counter
from importlib.resources import files

import pytest
from pydantic import ValidationError

from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import check_same_items
from neuroglot.tasks.cldr import LANGUAGES, Capital, capitals, city_name, in_script, usable
from neuroglot.tasks.facts import COUNTRY, FactsTask, answer_blank, prompts
from neuroglot.tasks.mpararel import MpararelTask, read_pairs, read_wordings

REAL = os.environ.get("NEUROGLOT_MPARAREL")  # a folder of the published files
UNSPACED = ("th", "zh")


def facts(**settings):
    return FactsTask.model_validate({"source": "facts", **settings})


def named(language_id, territory):
    (found,) = [one for one in capitals(language_id) if one.territory == territory]
    return found.country, found.city


def test_france_and_paris_are_named_in_all_languages():
    assert {language_id: named(language_id, "fr") for language_id in LANGUAGES} == {
        "en": ("France", "Paris"),
        "de": ("Frankreich", "Paris"),
        "fr": ("France", "Paris"),
        "es": ("Francia", "París"),
        "pt": ("França", "Paris"),
        "cs": ("Francie", "Paříž"),
        "hi": ("फ़्रांस", "पेरिस"),
        "bn": ("ফ্রান্স", "প্যারিস"),
        "th": ("ฝรั่งเศส", "ปารีส"),
        "zh": ("法国", "巴黎"),
        "ru": ("Франция", "Париж"),
        "tr": ("Fransa", "Paris"),
        "vi": ("Pháp", "Paris"),
    }


@pytest.mark.parametrize(
    ("language_id", "territory", "expected"),
    [
        ("de", "at", ("Österreich", "Wien")),
        ("cs", "it", ("Itálie", "Řím")),
        ("pt", "ir", ("Irã", "Teerã")),
        ("fr", "cu", ("Cuba", "La Havane")),
        ("es", "et", ("Etiopía", "Adís Abeba")),
        ("en", "et", ("Ethiopia", "Addis Ababa")),
        ("zh", "jp", ("日本", "东京")),
        ("th", "th", ("ไทย", "กรุงเทพ")),
        ("en", "ua", ("Ukraine", "Kyiv")),
        ("ru", "et", ("Эфиопия", "Аддис-Абеба")),
        ("tr", "eg", ("Mısır", "Kahire")),
        ("vi", "ru", ("Nga", "Mát-xcơ-va")),
    ],
)
def test_names_are_those_of_each_language(language_id, territory, expected):
    assert named(language_id, territory) == expected


def test_every_country_of_the_table_is_asked_for_in_every_language():
    text = files("neuroglot.tasks").joinpath("data/capitals.csv").read_text(encoding="utf-8")
    territories = [row["territory"].lower() for row in csv.DictReader(text.splitlines())]
    assert len(territories) >= 60
    assert territories == sorted(set(territories))
    for language_id in LANGUAGES:
        assert [one.territory for one in capitals(language_id)] == territories


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_names_are_distinct_whole_and_in_the_languages_script(language_id):
    found = capitals(language_id)
    for names in ([one.country for one in found], [one.city for one in found]):
        assert len(set(names)) == len(found)
        for name in names:
            assert name == name.strip()
            assert not {"\N{SOFT HYPHEN}", "_", "&", "("} & set(name)
            latin = any("LATIN" in unicodedata.name(character) for character in name)
            assert latin == (language_id not in ("hi", "bn", "th", "zh", "ru")), name


def test_the_spelling_of_a_zones_id_is_taken_only_where_the_table_says_so():
    assert city_name("es", "America/Bogota", "Bogotá", ()) == "Bogotá"
    assert city_name("es", "America/Bogota", None, ("en", "fr")) is None
    assert city_name("en", "Asia/Phnom_Penh", None, ("en", "fr")) == "Phnom Penh"


def test_script_is_judged_by_letters_and_signs():
    assert in_script("Addis-Abeba", "Latn")
    assert in_script("दक्षिण कोरिया", "Deva")
    assert in_script("Куала-Лумпур", "Cyrl")
    assert not in_script("Кабул с a", "Cyrl")
    assert not in_script("Paris", "Thai")
    assert not in_script("巴黎 Paris", "Hans")
    assert not in_script("Reyk\N{SOFT HYPHEN}javik", "Latn")
    assert not in_script("…", "Latn")


def test_a_country_is_dropped_everywhere_where_one_language_cannot_ask_for_it():
    def language(**names):
        return {code: Capital(code, *pair) for code, pair in names.items()}

    english = language(
        aa=("A", "B"), bb=("C", "D"), cc=("E", "F"), dd=("G", "H"), ee=("I", "J"), ff=("K", "L")
    )
    thai = language(
        aa=("ก", "ข"), bb=("ค", "D"), cc=("ง", "ง"), dd=("จ", "ฉ"), ee=("ช", "ฉ")
    )  # bb is not in Thai, cc is its own capital, dd and ee share one, ff is missing
    assert usable({"en": english, "th": thai}) == usable({"th": thai, "en": english}) == ("aa",)


def test_all_languages_have_the_same_items_in_the_same_order():
    task = facts(paraphrases=3)
    for read in (task.items, lambda one: (task.read(one).items, ())):
        ids = {one: [item.id for item in read(one)[0]] for one in LANGUAGES}
        check_same_items("facts", ids)
        assert len(ids["en"]) == 3 * len(capitals("en"))
    assert [item.id for item in task.items("de")[0]][:4] == ["af-1", "af-2", "af-3", "ar-1"]


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_shipped_wordings_name_the_country_once_and_stop_before_the_capital(language_id):
    wording = prompts(language_id)
    assert len(wording["statements"]) >= 3
    assert len(set(wording["statements"])) == len(wording["statements"])
    for text in (*wording["statements"], wording["question"]):
        assert text.count(COUNTRY) == 1
        assert text == text.strip()
    for text in wording["statements"]:
        assert not text.endswith((COUNTRY, ".", "।", "。", "?", "？"))
        assert "{" not in text.replace(COUNTRY, "")


def test_an_item_asks_answers_and_offers_all_capitals():
    items = {item.id: item for item in facts().read("en").items}
    assert items["fr-1"].prompt == "The capital of France is"
    assert items["fr-2"].prompt == "France is a country whose capital is"
    assert items["fr-1"].gold == (" Paris",)
    assert items["fr-1"].candidates == tuple(" " + one.city for one in capitals("en"))
    assert "fr-3" not in items
    assert items["fr-1"].fact == items["fr-2"].fact == "fr"


@pytest.mark.parametrize("language_id", LANGUAGES)
def test_answers_begin_with_a_blank_where_words_are_spaced(language_id):
    blank = "" if language_id in UNSPACED else " "
    assert answer_blank(language_id) == blank
    for item in facts(paraphrases=3).read(language_id).items:
        assert item.prompt == item.prompt.strip()
        assert all(answer == blank + answer.strip() for answer in item.candidates)
    assert answer_blank("ja") == ""


def test_a_script_spelt_out_is_the_same_language():
    assert facts().read("zh-hans") == facts().read("zh")


def test_wordings_of_ones_own_replace_a_languages_shipped_ones():
    task = facts(paraphrases=1, templates={"en": ["Q: {country}'s capital? A: "]})
    assert task.items("en")[0][0].prompt == "Q: Afghanistan's capital? A:"
    assert task.read("fr") == facts(paraphrases=1).read("fr")


@pytest.mark.parametrize("text", ["The capital is", "{country} and {country}:", "{contry} is"])
def test_a_wording_without_its_slot_is_refused(text):
    with pytest.raises(ValidationError, match=r"templates: en: .*times \{country\}"):
        facts(templates={"en": [text]})


def test_more_paraphrases_than_wordings_are_refused_before_and_while_reading():
    task = facts(paraphrases=4)
    (problem,) = task.problems(["de"])
    assert "'de': has 3 templates, fewer than the 4" in problem
    with pytest.raises(NeuroglotError, match="has 3 templates"):
        task.read("de")


def test_a_language_that_cldr_is_not_read_for_is_a_problem():
    assert facts().available() == frozenset(LANGUAGES)
    assert facts().problems(["en", "zh-hans"]) == []
    (problem,) = facts().problems(["en", "ja"])
    assert "'ja'" in problem
    with pytest.raises(NeuroglotError, match="'ja'"):
        facts().read("ja")


def test_examples_are_other_countries_than_the_questions():
    task = facts(paraphrases=2, shots=2, max_items=3)
    countries = {fact.territory: fact.country for fact in capitals("en")}
    for language_id in ("en", "th"):
        items = task.read(language_id).items
        assert [item.fact for item in items[:2]] == [items[0].fact] * 2 != [items[2].fact] * 2
    for item in task.read("en").items:
        *examples, question = item.prompt.split("\n\n")
        assert len(examples) == 2
        assert all(example.startswith("The capital of ") for example in examples)
        assert countries[item.fact] in question
        assert all(countries[item.fact] not in example for example in examples)


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def tuples(*rows):
    columns = ("sub_uri", "obj_uri", "sub_label", "obj_label")
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture
def folder(tmp_path):
    patterns = {
        "en": [
            "[Y] is the capital of [X]",
            "the capital of [X] is [Y]",
            "[X]'s capital, [Y].",
            "[X] has [Y] as capital",
        ],
        "zh-hans": ["[X] 的首都是 [Y]", "[X]的首都是[Y]", "[X]首都：[Y]。"],
    }
    pairs = {
        "en": [
            ("Q142", "Q90", "France", "Paris"),
            ("Q17", "Q1490", "Japan", "Tokyo"),
            ("Q750", "Q1491", "Bolivia", "La Paz"),
            ("Q750", "Q2907", "Bolivia", "Sucre"),
            ("Q16", "Q1930", "Canada", "Ottawa"),
        ],
        "zh-hans": [
            ("Q750", "Q2907", "玻利维亚", "苏克雷"),
            ("Q750", "Q1491", "玻利维亚", "拉巴斯"),
            ("Q17", "Q1490", "日本", "东京"),
            ("Q142", "Q90", "法国", "巴黎"),
        ],
    }
    for code, texts in patterns.items():
        rows = [{"pattern": text, "checked-by-human": "。" in text} for text in texts]
        write_lines(tmp_path / "patterns" / code / "P36.jsonl", rows)
        write_lines(tmp_path / "tuples" / code / "P36.jsonl", tuples(*pairs[code]))
    return tmp_path


def mpararel(folder, languages=("en", "zh"), **settings):
    return MpararelTask.model_validate(
        {
            "source": "mpararel",
            "path": str(folder),
            "languages": languages,
            "codes": {"zh": "zh-hans"},
            **settings,
        }
    )


def test_mpararel_items_are_the_facts_of_all_languages_in_its_left_to_right_wordings(folder):
    task = mpararel(folder)
    read = {one: task.read(one) for one in ("en", "zh")}
    check_same_items("mpararel", {one: [i.id for i in own.items] for one, own in read.items()})
    ids = {one: [item.id for item in task.items(one)[0]] for one in read}
    check_same_items("mpararel", ids)
    facts_of_both = ["Q17-Q1490", "Q142-Q90", "Q750-Q1491", "Q750-Q2907"]
    assert ids["en"] == [f"{fact}-{number}" for fact in facts_of_both for number in (1, 2)]
    english = {item.id: item for item in read["en"].items}
    chinese = {item.id: item for item in read["zh"].items}
    assert english["Q142-Q90-1"].prompt == "the capital of France is"
    assert english["Q142-Q90-2"].prompt == "France's capital,"
    assert english["Q142-Q90-1"].gold == (" Paris",)
    assert english["Q142-Q90-1"].candidates == (" Tokyo", " Paris", " La Paz", " Sucre")
    assert english["Q750-Q2907-1"].gold == (" Sucre", " La Paz")
    assert chinese["Q142-Q90-1"].prompt == "法国首都："  # checked by a human, so first
    assert chinese["Q142-Q90-2"].prompt == "法国的首都是"
    assert chinese["Q142-Q90-2"].gold == ("巴黎",)
    assert {item.fact for item in read["zh"].items} == {"Q17", "Q142", "Q750"}
    assert english["Q750-Q2907-1"].fact == english["Q750-Q1491-2"].fact, "La Paz answers both"
    assert read["en"].notes == ("left out, lacking in another language: 1 facts",)
    assert read["zh"].notes == ("left out, lacking in another language: 0 facts",)


def test_mpararel_does_not_depend_on_the_order_of_languages_or_lines(folder):
    before = [mpararel(folder, order).read("en") for order in (("en", "zh"), ("zh", "en"))]
    path = folder / "tuples" / "en" / "P36.jsonl"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert before == [mpararel(folder).read("en")] * 2


def test_mpararel_alone_keeps_a_languages_own_facts(folder):
    task = mpararel(folder, ["en"], paraphrases=1)
    assert task.items("en")[0][0].id == "Q16-Q1930-1"


def test_mpararel_names_its_files_and_languages(folder):
    task = mpararel(folder)
    assert task.available() == {"en", "zh"}
    assert task.problems(["en", "zh"]) == []
    assert task.inputs("zh") == [
        folder / "patterns" / "zh-hans" / "P36.jsonl",
        folder / "tuples" / "en" / "P36.jsonl",
        folder / "tuples" / "zh-hans" / "P36.jsonl",
    ]
    missing = mpararel(folder, ["en", "de"]).problems(["en", "de"])
    assert len(missing) == 2
    assert "patterns/de/P36.jsonl does not exist; files there are for: en, zh-hans;" in missing[0]
    (unlisted,) = mpararel(folder, ["en"]).problems(["en", "zh"])
    assert "'zh': is not among the languages" in unlisted
    with pytest.raises(NeuroglotError, match="'zh': is not among the languages"):
        mpararel(folder, ["en"]).read("zh")


def test_mpararel_needs_its_languages(folder):
    with pytest.raises(ValidationError, match="languages"):
        MpararelTask.model_validate({"source": "mpararel", "path": str(folder)})


def test_mpararel_refuses_more_paraphrases_than_a_language_has(folder):
    with pytest.raises(NeuroglotError, match=r"zh-hans/P36.jsonl: has 2 patterns .*the 3"):
        mpararel(folder, paraphrases=3).read("zh")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"pattern": "the capital is [Y]"}', r"line 2: .* has 0 times \[X\]"),
        ('{"pattern": "[X] and [X] have [Y]"}', r"line 2: .* has 2 times \[X\]"),
        ('{"pattern": "the capital of [X]"}', r"line 2: .* has 0 times \[Y\]"),
        ('{"text": "[X] [Y]"}', "line 2: has no text under 'pattern'"),
        ("[1]", "line 2 is not a JSON object"),
        ("{", "line 2 is not JSON"),
    ],
)
def test_a_damaged_pattern_is_named_by_file_and_line(tmp_path, line, message):
    path = tmp_path / "P36.jsonl"
    path.write_text('{"pattern": "the capital of [X] is [Y]"}\n' + line + "\n")
    with pytest.raises(NeuroglotError, match=f"P36.jsonl: {message}"):
        read_wordings(path, " ")


def test_damaged_tuples_are_named_by_file_and_line(tmp_path):
    path = tmp_path / "P36.jsonl"
    row = ("Q142", "Q90", "France", "Paris")
    write_lines(path, tuples(row, row))
    with pytest.raises(NeuroglotError, match=r"line 2: the pair Q142, Q90 stands twice"):
        read_pairs(path)
    write_lines(path, tuples(row, ("Q17", "Q1490", "Japan", " ")))
    with pytest.raises(NeuroglotError, match=r"line 2: has no text under 'obj_label'"):
        read_pairs(path)


def test_languages_without_a_common_fact_are_refused(folder):
    write_lines(folder / "tuples/zh-hans/P36.jsonl", tuples(("Q1", "Q2", "甲", "乙")))
    with pytest.raises(NeuroglotError, match="no fact stands in all of en, zh"):
        mpararel(folder).read("en")


@pytest.mark.skipif(not REAL, reason="needs the published files: NEUROGLOT_MPARAREL=FOLDER")
def test_mpararel_as_published():
    languages = ["en", "de", "es", "fr", "ru", "zh"]
    task = mpararel(REAL, languages, paraphrases=3)
    items = {one: task.read(one).items for one in languages}
    check_same_items("mpararel", {one: [item.id for item in items[one]] for one in languages})
    subjects = Counter(item.id.rpartition("-")[0] for item in items["en"])
    assert len(subjects) == 359
    assert set(subjects.values()) == {3}
    prompts_of = {one: {i.id: i.prompt + i.gold[0] for i in items[one]} for one in languages}
    assert "the capital of Canada is Ottawa" in prompts_of["en"].values()
    assert prompts_of["zh"]["Q16-Q1930-1"] == "加拿大的首都是渥太华"
