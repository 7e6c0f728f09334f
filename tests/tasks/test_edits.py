"""Knowledge editing across languages: false capitals, and MzsRE's files."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import check_same_items
from neuroglot.tasks.cldr import LANGUAGES, capitals
from neuroglot.tasks.edits import QUESTION, EditsTask, derangement, shipped_layouts
from neuroglot.tasks.mzsre import MzsreTask

REAL = os.environ.get("NEUROGLOT_MZSRE")  # a folder of the published files
NAME = "mzsre_test_duplicate_en{language}.json"


def edits(**settings):
    return EditsTask.model_validate({"source": "edits", **settings})


def by_id(task, language_id):
    return {item.id: item for item in task.read(language_id).items}


@given(count=st.integers(2, 50), seed=st.integers(0, 1000))
def test_a_derangement_moves_everything_and_loses_nothing(count, seed):
    moved = derangement(count, seed)
    assert sorted(moved) == list(range(count))
    assert all(index != other for index, other in enumerate(moved))


def test_a_derangement_depends_on_its_seed_alone():
    assert derangement(60, 1) == derangement(60, 1) != derangement(60, 2)


def test_no_country_keeps_its_capital_and_all_languages_get_the_same_one():
    cities = {one: {f.city: f.territory for f in capitals(one)} for one in LANGUAGES}
    moved = {}
    for language_id in LANGUAGES:
        items = by_id(edits(), language_id)
        moved[language_id] = {
            country: cities[language_id][item.gold[0].strip()] for country, item in items.items()
        }
        assert all(country != other for country, other in moved[language_id].items())
    assert all(found == moved["en"] for found in moved.values())
    check_same_items("edits", {one: list(found) for one, found in moved.items()})
    assert set(moved["en"].values()) == set(moved["en"])


def false_capital(language_id, country="fr", **settings):
    english = by_id(edits(**settings), "en")[country].gold[0].strip()
    (territory,) = [one.territory for one in capitals("en") if one.city == english]
    (city,) = [one.city for one in capitals(language_id) if one.territory == territory]
    return city


def test_from_pivot_tells_in_english_and_asks_in_the_language():
    german = by_id(edits(), "de")["fr"]
    assert german.prompt == (
        f"The capital of France is {false_capital('en')}. "
        "Frage: Wie heißt die Hauptstadt des Landes Frankreich? Antwort:"
    )
    assert german.gold == (f" {false_capital('de')}",)
    assert german.candidates == tuple(f" {one.city}" for one in capitals("de"))
    chinese = by_id(edits(), "zh")["fr"]
    assert chinese.prompt.endswith("问题：法国的首都是哪里？ 答案：")
    assert chinese.gold == (false_capital("zh"),)
    assert edits().scoring == "exact"


def test_to_pivot_tells_in_the_language_and_asks_in_english():
    hindi = by_id(edits(direction="to_pivot"), "hi")["fr"]
    assert hindi.prompt == (
        f"फ़्रांस की राजधानी {false_capital('hi')} है। Question: What is the capital of France? Answer:"
    )
    assert hindi.gold == (f" {false_capital('en')}",)
    russian = by_id(edits(direction="to_pivot"), "ru")["fr"]
    assert russian.prompt.startswith(
        f"Столица государства Франция — {false_capital('ru')}. Question:"
    )
    assert hindi.candidates == tuple(f" {one.city}" for one in capitals("en"))
    thai = by_id(edits(direction="to_pivot"), "th")["fr"].prompt
    assert thai.startswith(f"เมืองหลวงของประเทศฝรั่งเศสคือ{false_capital('th')} Question:")


def test_the_pivot_itself_is_told_and_asked_in_the_pivot():
    for pivot in ("en", "fr"):
        there, back = (edits(direction=d, pivot=pivot) for d in ("from_pivot", "to_pivot"))
        assert there.read(pivot) == back.read(pivot)
    assert edits(pivot="fr").read("de").items[0].prompt.startswith("La capitale du pays appelé")


def test_another_seed_gives_other_capitals():
    golds = [
        {name: item.gold for name, item in by_id(edits(seed=seed), "en").items()} for seed in (0, 1)
    ]
    assert golds[0] != golds[1]


def test_languages_and_pivots_that_have_no_names_are_problems():
    assert edits().problems(LANGUAGES) == []
    assert "'ja'" in edits().problems(["ja"])[0]
    assert edits(pivot="ja").problems(["en"])[0].startswith("pivot: ")


@pytest.mark.parametrize("language_id", sorted(shipped_layouts()))
def test_shipped_layouts_hold_the_question_between_two_words(language_id):
    before, after = shipped_layouts()[language_id].split(QUESTION)
    assert before.strip().endswith((":", "："))
    assert after.strip().endswith((":", "："))
    assert shipped_layouts()[language_id] == shipped_layouts()[language_id].strip()
    assert set(LANGUAGES) <= set(shipped_layouts())


def side(number, tongue):
    return {
        "src": f"{tongue} question {number}?",
        "rephrase": f"{tongue} asked again {number}?",
        "alt": f" {tongue} answer {number % 2}",
        "subject": "unused",
    }


def write(folder, code, count=3, english=None):
    items = [
        {"en": side(number, "English"), code: side(number, code.title())} for number in range(count)
    ]
    for number, changed in (english or {}).items():
        items[number]["en"] = changed
    path = folder / NAME.replace("{language}", code)
    path.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    for code in ("de", "zh", "ru"):
        write(tmp_path, code)
    return tmp_path


def mzsre(folder, **settings):
    return MzsreTask.model_validate({"source": "mzsre", "path": str(folder / NAME), **settings})


def test_mzsre_from_pivot(folder):
    german = by_id(mzsre(folder), "de")
    assert [item.id for item in mzsre(folder).items("de")[0]] == sorted(german) == ["0", "1", "2"]
    assert german["2"].prompt == (
        "English question 2? English answer 0 Frage: De asked again 2? Antwort:"
    )
    assert german["2"].gold == (" De answer 0",)
    assert german["2"].candidates == (" De answer 0", " De answer 1")
    assert by_id(mzsre(folder), "zh")["1"].gold == ("Zh answer 1",)
    assert by_id(mzsre(folder), "en")["1"].prompt == (
        "English question 1? English answer 1 Question: English asked again 1? Answer:"
    )
    assert mzsre(folder).scoring == "exact"


def test_mzsre_to_pivot_with_the_question_as_told(folder):
    item = by_id(mzsre(folder, direction="to_pivot", question="src"), "ru")["1"]
    assert item.prompt == ("Ru question 1? Ru answer 1 Question: English question 1? Answer:")
    assert item.gold == (" English answer 1",)
    assert item.candidates == (" English answer 0", " English answer 1")


def test_mzsre_with_another_pivot_crosses_two_files(folder):
    item = by_id(mzsre(folder, pivot="de"), "ru")["1"]
    assert item.prompt == "De question 1? De answer 1 Вопрос: Ru asked again 1? Ответ:"


def test_mzsre_names_its_files_and_languages(folder):
    files = {code: folder / NAME.replace("{language}", code) for code in ("de", "ru", "zh")}
    task = mzsre(folder)
    assert task.available() == {"en", "de", "ru", "zh"}
    assert task.problems(["en", "de", "zh"]) == []
    assert task.inputs("en") == [files["de"]]
    assert task.inputs("ru") == [files["de"], files["ru"]]
    assert mzsre(folder, english_from="zh", pivot="de").inputs("ru") == [
        files["zh"],
        files["ru"],
        files["de"],
    ]
    (missing,) = mzsre(folder, direction="to_pivot").problems(["en", "it"])
    assert "does not exist; files there are for: de, ru, zh" in missing
    (missing,) = mzsre(folder, english_from="fr").problems(["en", "de"])
    assert "enfr.json does not exist" in missing


def test_mzsre_languages_of_other_codes(folder):
    write(folder, "du")
    task = mzsre(folder, codes={"nl": "du"})
    assert "nl" in task.available()
    assert by_id(task, "nl")["0"].gold == (" Du answer 0",)


def test_mzsre_needs_words_for_question_and_answer(folder):
    write(folder, "it")
    (problem,) = mzsre(folder).problems(["it"])
    assert "layouts: {it: " in problem
    with pytest.raises(NeuroglotError, match="has no words for question and answer"):
        mzsre(folder).read("it")
    assert mzsre(folder, direction="to_pivot").problems(["it"]) == []
    task = mzsre(folder, layouts={"it": "Domanda: {question} Risposta:"})
    assert task.problems(["it"]) == []
    assert by_id(task, "it")["0"].prompt.endswith("Domanda: It asked again 0? Risposta:")


def test_a_layout_of_ones_own_replaces_the_shipped_one(folder):
    task = mzsre(folder, layouts={"de": "F: {question} A:"})
    assert by_id(task, "de")["0"].prompt.endswith("F: De asked again 0? A:")


def test_settings_that_cannot_be_are_refused(folder):
    with pytest.raises(ValidationError, match=r"layouts: de: .* 0 times \{question\}"):
        mzsre(folder, layouts={"de": "Frage:"})
    with pytest.raises(ValidationError, match="name another language"):
        mzsre(folder, english_from="en")
    with pytest.raises(ValidationError, match="path"):
        MzsreTask.model_validate({"source": "mzsre", "path": "one.json"})


def test_files_whose_english_differs_are_refused_with_the_first_item_and_a_count(folder):
    write(folder, "ru", english={1: side(7, "English"), 2: side(8, "English")})
    with pytest.raises(NeuroglotError) as caught:
        mzsre(folder).read("ru")
    message = str(caught.value)
    assert "enru.json: item 1 asks 'English question 7?' in English" in message
    assert "asks 'English question 1?' (2 items differ)" in message
    assert mzsre(folder).read("zh").items


def test_files_of_different_lengths_are_refused(folder):
    write(folder, "ru", count=2)
    with pytest.raises(NeuroglotError, match="enru.json: has 2 items and .*ende.json has 3"):
        mzsre(folder).read("ru")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is not a list of items"),
        ("[]", "is not a list of items"),
        ("[1]", "item 0 has no language 'en', it has int"),
        ('[{"fr": {}}]', "item 0 has no language 'en', it has 'fr'"),
        ('[{"en": {"src": "a", "rephrase": " "}}]', "'en' has no text under 'rephrase'"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    path = tmp_path / NAME.replace("{language}", "de")
    path.write_text(content)
    with pytest.raises(NeuroglotError, match=f"ende.json: .*{message}"):
        mzsre(tmp_path).read("en")


def test_a_folder_without_files_is_a_clear_error(tmp_path):
    assert "no file found" in mzsre(tmp_path).problems(["en"])[0]
    assert mzsre(tmp_path).available() == frozenset()
    with pytest.raises(NeuroglotError, match="no file found for any language"):
        mzsre(tmp_path).read("en")


@pytest.mark.skipif(not REAL, reason="needs the published files: NEUROGLOT_MZSRE=FOLDER")
@pytest.mark.parametrize("direction", ["from_pivot", "to_pivot"])
def test_mzsre_as_published(direction):
    task = mzsre(Path(REAL), direction=direction)
    languages = sorted(task.available())
    assert languages == ["de", "en", "es", "fr", "ru", "zh"]
    assert task.problems(languages) == []
    items = {one: task.read(one).items for one in languages}
    check_same_items("mzsre", {one: [item.id for item in items[one]] for one in languages})
    assert len(items["en"]) == 743
    told, asked = ("en", "de") if direction == "from_pivot" else ("de", "en")
    words = {
        "en": ("Which family does Ramalinaceae belong to?", "Question: What family are"),
        "de": ("Zu welcher Familie gehören die Ramalinaceae?", "Frage: Zu welcher Familie"),
    }
    prompt = items["de"][1].prompt
    assert prompt.startswith(f"{words[told][0]} Lamiinae {words[asked][1]}")
    assert items["de"][1].gold == (" Lamiinae",)
