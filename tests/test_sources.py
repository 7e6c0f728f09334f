"""What one language is read from: its own settings, data and files, and no other language's."""

import csv
import importlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from neuroglot import keys
from neuroglot.corpora import CorpusSettings, shipped
from neuroglot.digests import Digests
from neuroglot.languages import LanguageId
from neuroglot.packages import file_sha256
from neuroglot.sources import Source
from neuroglot.tasks import TaskSettings, cldr, edits, facts, nli

CORPORA = get_args(get_args(CorpusSettings)[0])
TASKS = get_args(get_args(TaskSettings)[0])
REVISION = "0" * 40


def text(**settings: Any) -> Source:
    return TypeAdapter[Any](CorpusSettings).validate_python(settings)


def task(**settings: Any) -> Source:
    return TypeAdapter[Any](TaskSettings).validate_python(settings)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped data, to change: a copy that every source reads."""
    from shutil import copytree

    import neuroglot

    package = Path(neuroglot.__file__).parent
    copytree(package / "data", tmp_path / "neuroglot" / "data")
    copytree(package / "tasks" / "data", tmp_path / "neuroglot" / "tasks" / "data")
    monkeypatch.setattr(shipped, "files", lambda _package: tmp_path / "neuroglot")
    forget()
    yield tmp_path / "neuroglot"
    forget()


def forget() -> None:
    for cached in (
        shipped.shipped_table,
        cldr._named,
        cldr._usable,
        edits.shipped_layouts,
        facts._shipped_prompts,
        nli._shipped,
    ):
        cached.cache_clear()


def leaves(source: Source, *languages: str) -> dict[str, Any]:
    forget()
    return {language: json.loads(json.dumps(source.leaf(language))) for language in languages}


def changed(source: Source, file: Path, old: str, new: str, *languages: str) -> set[str]:
    """The languages whose leaf changes when a shipped file does."""
    before = leaves(source, *languages)
    content = file.read_text("utf-8")
    assert old in content
    file.write_text(content.replace(old, new, 1), "utf-8")
    after = leaves(source, *languages)
    return {language for language in languages if before[language] != after[language]}


class TestShippedData:
    def test_an_item_of_nli_is_of_its_language(self, data: Path) -> None:
        old, new = "Die Katze schläft auf dem Stuhl.", "Die Katze ruht auf dem Stuhl."
        file = data / "tasks" / "data" / "nli.tsv"
        assert changed(task(source="nli"), file, old, new, "de", "fr", "en") == {"de"}

    def test_its_key_changes_with_it(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keys, "fingerprint", lambda *targets: str(targets))
        source, cache = task(source="nli"), Digests(tmp_path / "keys.json", file_sha256)
        before = {one: keys.source_key(source, one, cache) for one in ("de", "fr")}
        file = data / "tasks" / "data" / "nli.tsv"
        assert changed(source, file, "Die Katze schläft", "Die Katze ruht", "de") == {"de"}
        assert keys.source_key(source, "de", cache) != before["de"]
        assert keys.source_key(source, "fr", cache) == before["fr"]

    def test_an_item_counts_if_it_is_drawn(self, data: Path) -> None:
        file, few = data / "tasks" / "data" / "nli.tsv", task(source="nli", max_items=3)
        drawn = {item.id for item in few.read("de").items}
        for row in csv.DictReader(file.read_text("utf-8").splitlines(), delimiter="\t"):
            if row["language"] == "de" and row["item"] in (*drawn, "01", "02", "03"):
                old, new = row["premise"], row["premise"] + " Ja."
                counts = row["item"] in drawn
                assert changed(few, file, old, new, "de") == ({"de"} if counts else set())
                assert changed(task(source="nli"), file, new, old, "de") == {"de"}

    def test_a_prompt_of_nli_is_of_its_language(self, data: Path) -> None:
        file = data / "tasks" / "data" / "nli_templates.tsv"
        old, new = "Nimm Folgendes als wahr an", "Nimm an"
        xnli = task(source="xnli", path="{language}.tsv")
        assert changed(xnli, file, old, new, "de", "fr") == {"de"}
        assert changed(task(source="nli"), file, new, old, "de", "fr") == {"de"}

    def test_a_wording_of_facts_is_of_its_language(self, data: Path) -> None:
        file = data / "tasks" / "data" / "capital_prompts.json"
        source = task(source="facts", paraphrases=1)
        old = "Die Hauptstadt des Landes {country} ist"
        assert changed(source, file, old, "Des Landes {country} Hauptstadt ist", "de", "fr") == {
            "de"
        }
        third = "Land: {country}. Hauptstadt:"
        assert changed(source, file, third, "Hauptstadt von {country}:", "de") == set()

    def test_a_shipped_wording_does_not_count_where_the_user_has_one(self, data: Path) -> None:
        file = data / "tasks" / "data" / "capital_prompts.json"
        source = task(source="facts", paraphrases=1, templates={"de": ["{country}:"]})
        old = "Die Hauptstadt des Landes {country} ist"
        assert changed(source, file, old, "In {country} liegt", "de", "fr") == set()

    def test_a_capital_of_one_language_is_of_that_language(self, data: Path, monkeypatch) -> None:
        before = leaves(task(source="facts"), "de", "fr")
        named = cldr.city_name

        def renamed(language_id: str, zone: str, *rest: Any) -> str | None:
            ours = language_id == "de" and zone == "Europe/Paris"
            return "Paname" if ours else named(language_id, zone, *rest)

        monkeypatch.setattr(cldr, "city_name", renamed)
        after = leaves(task(source="facts"), "de", "fr")
        assert after["de"] != before["de"]
        assert after["fr"] == before["fr"]

    def test_edits_read_the_pivot_they_tell_in(self, data: Path) -> None:
        file = data / "tasks" / "data" / "capital_prompts.json"
        told, asked = task(source="edits"), task(source="edits", direction="to_pivot")
        statement = "The capital of {country} is", "In {country}, the capital is"
        assert changed(told, file, *statement, "de", "fr", "en") == {"de", "fr", "en"}
        assert changed(asked, file, *statement[::-1], "de", "fr", "en") == {"en"}
        question = "Wie heißt die Hauptstadt des Landes {country}?", "Hauptstadt von {country}?"
        assert changed(told, file, *question, "de", "fr", "en") == {"de"}
        assert changed(asked, file, *question[::-1], "de", "fr", "en") == set()

    def test_a_layout_is_of_the_language_that_is_asked_in(self, data: Path) -> None:
        file = data / "tasks" / "data" / "question_layouts.json"
        old, new = "Frage: {question}", "F: {question}"
        assert changed(task(source="edits"), file, old, new, "de", "fr") == {"de"}
        pivot = task(source="edits", direction="to_pivot")
        assert changed(pivot, file, new, old, "de", "fr") == set()

    def test_a_declaration_is_of_its_language_or_of_all_if_the_reference(self, data: Path) -> None:
        file, source = data / "data" / "udhr.csv", text(source="udhr")
        rows = dict(csv.reader(file.read_text("utf-8").splitlines()))
        de, en = f"de,{rows['de']}", f"en,{rows['en']}"
        assert changed(source, file, de, "de,other", "de", "fr", "en") == {"de"}
        assert changed(source, file, en, "en,other", "de", "fr", "en") == {"de", "fr", "en"}
        assert changed(text(source="gettext"), file, "de,other", de, "de") == set()


class TestSettings:
    @pytest.mark.parametrize(
        ("source", "change", "reread"),
        [
            (text(source="udhr"), {"languages": ("de", "fr")}, set()),
            (text(source="udhr"), {"prefix": "word"}, set()),
            (text(source="udhr"), {"long_segments": "refuse"}, set()),
            (text(source="udhr"), {"max_segments": 5}, {"de", "fr"}),
            (text(source="udhr"), {"strip_punctuation": True}, {"de", "fr"}),
            (
                text(source="hub", path="a/b", revision=REVISION, name="{language}"),
                {"codes": {"de": "deu", "it": "ita"}},
                {"de"},
            ),
            (task(source="nli"), {"languages": ("de", "fr")}, set()),
            (task(source="nli"), {"shots": 1}, {"de", "fr"}),
            (
                task(source="nli"),
                {"template": {"de": "{premise} {hypothesis}?", "it": "{premise} {hypothesis}!"}},
                {"de"},
            ),
            (task(source="facts"), {"templates": {"fr": ["{country}:", "{country} :"]}}, {"fr"}),
            (
                task(source="table", path="{language}.jsonl", scoring="rank"),
                {"judged_by": "string"},
                set(),
            ),
            (
                task(source="table", path="{language}.jsonl", scoring="rank"),
                {"path": "elsewhere/{language}.jsonl"},
                set(),
            ),
            (
                task(source="table", path="{language}.jsonl", scoring="rank"),
                {"path": "{language}.parquet"},
                {"de", "fr"},
            ),
        ],
    )
    def test_only_what_a_language_reads_counts(
        self, source: Source, change: dict[str, Any], reread: set[str]
    ) -> None:
        values = source.model_dump(by_alias=True) | change
        if "judged_by" in change:
            values["scoring"] = values.pop("judged_by")
        other = type(source).model_validate(values)
        assert other != source
        before, after = leaves(source, "de", "fr"), leaves(other, "de", "fr")
        assert {one for one in before if before[one] != after[one]} == reread

    def test_a_text_that_moved_is_read_as_before(self, tmp_path: Path) -> None:
        source = text(source="text", path=f"{tmp_path}/{{language}}.txt")
        moved = text(source="text", path=f"{tmp_path}/elsewhere/{{language}}.txt")
        tabs = text(source="text", path=f"{tmp_path}/{{language}}.tsv")
        assert source.leaf("de") == moved.leaf("de")
        assert source.leaf("de") != tabs.leaf("de"), "segments' ids are then read from it"

    def test_the_name_of_a_local_datasets_file_counts(self, tmp_path: Path) -> None:
        (tmp_path / "train.jsonl").write_text("{}")
        sources = [
            text(source="hub", path=str(tmp_path), language_column="lang", id_column="id"),
            task(source="xnli", hub=str(tmp_path), language_column="lang", id_column="id"),
        ]
        before = [source.leaf("de") for source in sources]
        (tmp_path / "train.jsonl").rename(tmp_path / "test.jsonl")
        assert all(one.leaf("de") != old for one, old in zip(sources, before, strict=True))

    def test_mpararel_is_the_same_whatever_the_order_of_its_languages(self, tmp_path: Path) -> None:
        def relation(*languages: str) -> Source:
            return task(source="mpararel", path=str(tmp_path), languages=languages)

        one, other, more = relation("en", "de"), relation("de", "en"), relation("de", "en", "fr")
        assert one.leaf("de") == other.leaf("de") != more.leaf("de")
        assert one.inputs("de") == other.inputs("de")
        assert one.inputs("de") != one.inputs("en")

    def test_codes_of_mzsre_are_the_languages_and_the_pivots(self, tmp_path: Path) -> None:
        (tmp_path / "en_cs.json").write_text("[]")

        def mzsre(**codes: str) -> Source:
            return task(source="mzsre", path=f"{tmp_path}/en_{{language}}.json", codes=codes)

        before = mzsre().leaf("de")
        assert mzsre(fr="french").leaf("de") == before
        assert mzsre(de="german").leaf("de") != before
        assert mzsre(en="english").leaf("de") != before


class TestEverySource:
    @pytest.mark.parametrize("kind", [*CORPORA, *TASKS], ids=lambda kind: kind.__name__)
    def test_mappings_are_by_language(self, kind: type[Source]) -> None:
        for name, field in kind.model_fields.items():
            annotation = str(field.annotation)
            if "dict" in annotation or "Mapping" in annotation:
                assert get_args(field.annotation)[0] == LanguageId, name

    @pytest.mark.parametrize("kind", [*CORPORA, *TASKS], ids=lambda kind: kind.__name__)
    def test_what_is_not_read_is_a_setting_of_some_source(self, kind: type[Source]) -> None:
        fields = {name for one in (*CORPORA, *TASKS) for name in one.model_fields}
        assert kind.not_read <= fields

    @pytest.mark.parametrize("kind", [*CORPORA, *TASKS], ids=lambda kind: kind.__name__)
    def test_code_is_the_sources_own_and_never_the_union(self, kind: type[Source]) -> None:
        targets = kind.model_construct().code_targets()
        found = []
        for target in targets:
            module, name = target.split(":")
            assert module not in ("neuroglot.corpora", "neuroglot.tasks")
            found.append(getattr(importlib.import_module(module), name))
        assert found[0] is kind
        assert found[1].__name__ == ("write_parquet" if kind in CORPORA else "write_items")
