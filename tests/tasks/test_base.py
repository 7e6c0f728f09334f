"""What all tasks share: examples, items that are checked, and the Parquet file of items."""

import json
import re
import string
import subprocess
import sys
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from neuroglot.analyses.sharing.settings import SharingSettings
from neuroglot.errors import NeuroglotError
from neuroglot.tasks import TaskSettings
from neuroglot.tasks.base import (
    Item,
    Task,
    TaskReading,
    check_same_items,
    read_items,
    write_items,
)
from support import ROOT

ENGLISH, CHINESE = (" 1", " 2", " 3", " 4"), ("1", "2", "3", "4")
ITEMS = {
    "en": [Item(f"i{n}", f"{n} plus one is", (ENGLISH[n],), ENGLISH) for n in range(4)],
    "zh": [Item(f"i{n}", f"{n}加一是", (CHINESE[n],), CHINESE) for n in range(4)],
}


class Sums(Task):
    """A task of four items in two languages, unless told others."""

    changed: dict[str, list[Item]] = {}  # noqa: RUF012 (a field)

    @property
    def scoring(self):
        return "rank"

    def available(self):
        return frozenset(ITEMS)

    def items(self, language_id):
        return (self.changed or ITEMS)[language_id], ["none left out"]


def test_without_examples_items_are_read_as_they_are():
    assert Sums().read("en") == TaskReading(tuple(ITEMS["en"]), ("none left out",))
    assert Sums(max_items=2).read("en").items == tuple(ITEMS["en"][:2])


def test_examples_are_written_before_every_question():
    first, second = Sums(shots=2).read("en").items
    examples = "0 plus one is 1\n\n1 plus one is 2\n\n"
    assert first.prompt == examples + "2 plus one is"
    assert second.prompt == examples + "3 plus one is"
    assert (first.gold, first.candidates) == (ITEMS["en"][2].gold, ITEMS["en"][2].candidates)


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_examples_are_no_questions_and_the_same_in_all_languages(shots):
    asked = {language: Sums(shots=shots).read(language).items for language in ITEMS}
    ids = [[item.id for item in items] for items in asked.values()]
    assert ids == [[f"i{n}" for n in range(shots, 4)]] * 2
    assert asked["zh"][0].prompt == "".join(f"{n}加一是{n + 1}\n\n" for n in range(shots)) + (
        f"{shots}加一是"
    )


def test_max_items_counts_questions():
    (only,) = Sums(shots=2, max_items=1).read("en").items
    assert only.id == "i2"


def test_examples_must_leave_a_question():
    with pytest.raises(NeuroglotError, match=r"'en': the task has 4 items and 4 .* lower shots"):
        Sums(shots=4).read("en")
    with pytest.raises(NeuroglotError, match="has 0 items and 0"):
        Sums(changed={"en": []}).read("en")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "i0"}, "item id 'i0' stands twice"),
        ({"prompt": " \n"}, "'i1' has no text in its prompt"),
        ({"gold": ()}, "'i1' has no text in .* gold"),
        ({"gold": (" 2", " ")}, "'i1' has no text in .* gold"),
        ({"gold": ("2",)}, "gold answer '2' of item 'i1' is not among its candidates"),
        ({"candidates": ()}, "' 2' of item 'i1' is not among its candidates"),
    ],
)
def test_bad_items_are_named(change, message):
    first, second, *others = ITEMS["en"]
    task = Sums(changed={"en": [first, replace(second, **change), *others]})
    with pytest.raises(NeuroglotError, match=f"language 'en': .*{message}"):
        task.read("en")


def test_other_spellings_need_not_be_candidates():
    item = replace(ITEMS["en"][0], gold=(" 1", " one"))
    assert Sums(changed={"en": [item]}).read("en").items == (item,)


def test_languages_without_items_are_named():
    assert Sums().problems(["en", "zh-hans"]) == []
    (problem,) = Sums().problems(["en", "de"])
    assert "unknown language of this task 'de'" in problem


def test_settings_are_strict():
    adapter = TypeAdapter(TaskSettings)
    with pytest.raises(ValidationError, match="extra"):
        adapter.validate_python({"source": "nli", "shot": 1})
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        adapter.validate_python({"source": "quiz"})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        adapter.validate_python({"source": "nli", "shots": -1})
    with pytest.raises(ValidationError, match="listed twice"):
        adapter.validate_python({"source": "nli", "languages": ["de", "deu"]})


@pytest.mark.parametrize("lacking", ["zh", "de"])
def test_a_missing_item_is_named_with_its_language(lacking):
    ids = {"en": ["a", "b", "c"], "zh": ["a", "b", "c"], "de": ["a", "b", "c"]}
    check_same_items("sums", ids)
    ids[lacking] = ["a", "c"]
    with pytest.raises(NeuroglotError, match=f"task 'sums': language '{lacking}' has no item 'b'"):
        check_same_items("sums", ids)


def test_an_item_too_many_is_missing_elsewhere():
    with pytest.raises(NeuroglotError, match=r"language 'en' has no item 'c' \(2 items stand"):
        check_same_items("sums", {"en": ["a", "b"], "zh": ["a", "b", "c", "d"]})


def test_items_in_another_order_are_refused():
    with pytest.raises(NeuroglotError, match="'en' and 'zh' have the same items in another order"):
        check_same_items("sums", {"en": ["a", "b"], "zh": ["b", "a"]})


def test_a_single_language_has_nothing_to_be_compared_with():
    check_same_items("sums", {"en": ["a"]})


def test_items_are_written_in_equal_bytes_and_read_back(tmp_path):
    reading = Sums(shots=1).read("zh")
    write_items(reading, tmp_path / "new" / "zh.parquet")
    write_items(reading, tmp_path / "again.parquet")
    assert read_items(tmp_path / "new" / "zh.parquet") == reading
    assert (tmp_path / "new/zh.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["zh.parquet"]
    table = pq.read_table(tmp_path / "again.parquet")
    assert table.column_names == ["item", "prompt", "gold", "candidates", "fact"]


TEXTS = st.text(st.characters(blacklist_categories=["Cs"]))
READINGS = st.builds(
    TaskReading,
    st.lists(
        st.builds(
            Item,
            TEXTS,
            TEXTS,
            st.lists(TEXTS, max_size=3).map(tuple),
            st.lists(TEXTS, max_size=4).map(tuple),
        ),
        max_size=5,
    ).map(tuple),
    st.lists(TEXTS, max_size=2).map(tuple),
)


@given(READINGS)
def test_any_items_are_read_back_as_written(tmp_path_factory, reading):
    path = tmp_path_factory.mktemp("items") / "en.parquet"
    write_items(reading, path)
    assert read_items(path) == reading


@given(st.integers(0, 6), st.integers(1, 6), st.lists(st.sampled_from(string.printable)))
def test_every_item_is_example_or_question(shots, count, letters):
    items = [Item(f"i{n}", f"{n}{''.join(letters)}?", (" yes",), (" yes",)) for n in range(count)]
    task = Sums(shots=shots, changed={"en": items})
    if shots >= count:
        with pytest.raises(NeuroglotError, match="leaves no question"):
            task.read("en")
        return
    asked = task.read("en").items
    before = "".join(f"{item.prompt} yes\n\n" for item in items[:shots])
    assert [item.prompt for item in asked] == [before + item.prompt for item in items[shots:]]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "en.parquet"
    write_items(Sums().read("en"), path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_items(Sums().read("zh"), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_foreign_parquet_is_refused(tmp_path):
    rows = [{"item": "1", "prompt": "a", "gold": ["b"], "candidates": ["b"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    schema = pa.schema([("segment", pa.string())], metadata={"notes": "[]"})
    pq.write_table(pa.Table.from_pylist([{"segment": "1"}], schema), tmp_path / "y.parquet")
    (tmp_path / "z.parquet").write_bytes(b"not parquet")
    for name in ("x", "y", "z", "absent"):
        with pytest.raises(NeuroglotError, match=f"{name}.parquet: is not a task file"):
            read_items(tmp_path / f"{name}.parquet")


def test_parsing_the_configuration_imports_nothing_heavy():
    heavy = ("pyarrow", "datasets", "pandas", "torch", "babel")
    code = f"import sys, neuroglot.tasks; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_documented_tasks_can_be_configured():
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    settings = {name: task for block in blocks for name, task in block["tasks"].items()}
    made = TypeAdapter(dict[str, TaskSettings]).validate_python(settings)
    sources = {"facts", "edits", "nli", "xnli", "mpararel", "mzsre", "table"}
    assert {task.source for task in made.values()} == sources
    for block in blocks:
        sharing = SharingSettings.model_validate(block.get("sharing", {"tasks": [*block["tasks"]]}))
        assert {*sharing.tasks, *sharing.few_shot} <= set(block["tasks"])
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert set(json.loads(example)) == {"item", "prompt", "gold", "candidates"}
