"""What all tasks share: examples, items that are checked, and the Parquet file of items."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import permutations

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


def ids(items):
    return [item.id for item in items]


def test_all_items_are_read_in_the_order_of_a_draw():
    reading = Sums().read("en")
    assert {item.id: item for item in reading.items} == {item.id: item for item in ITEMS["en"]}
    assert reading.notes == ("none left out",)
    assert ids(reading.items) == ids(Sums().read("zh").items) == ["i2", "i1", "i0", "i3"]


def test_examples_are_written_before_every_question():
    first, second = Sums(shots=2).read("en").items
    examples = "2 plus one is 3\n\n1 plus one is 2\n\n"
    assert first.prompt == examples + "0 plus one is"
    assert second.prompt == examples + "3 plus one is"
    assert (first.gold, first.candidates) == (ITEMS["en"][0].gold, ITEMS["en"][0].candidates)


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_examples_are_no_questions_and_the_same_in_all_languages(shots):
    drawn = ids(Sums().read("en").items)
    for language, between in (("en", " plus one is "), ("zh", "加一是")):
        items = Sums(shots=shots).read(language).items
        assert ids(items) == drawn[shots:]
        numbers = [int(name.removeprefix("i")) for name in drawn[: shots + 1]]
        told = [f"{number}{between}{number + 1}" for number in numbers]
        assert items[0].prompt == "\n\n".join(told)[: -len(told[-1][-1])].rstrip()


def quiz(facts, wordings=1, labels=1, **settings):
    """A task with several wordings of every fact, whose label is its number modulo ``labels``."""
    answers = tuple(f" {label}" for label in range(labels))

    class Quiz(Sums):
        def stratum(self, item):
            return item.candidates.index(item.gold[0])

    items = [
        Item(f"i{n}-{w}", f"wording {w} of {n}:", (answers[n % labels],), answers, f"f{n}")
        for n in range(facts)
        for w in range(wordings)
    ]
    return Quiz(changed={"en": items, "zh": items[::-1]}, **settings)


@given(st.integers(0, 5), st.integers(2, 40), st.integers(1, 3), st.integers(1, 60))
def test_what_is_drawn_depends_on_seed_and_facts_alone(seed, facts, wordings, most):
    """Not on the language, its order, the number of questions or that of examples."""
    made = {"facts": facts, "wordings": wordings, "seed": seed, "reserve": 1}
    drawn = ids(quiz(**made).read("en").items)
    assert len(drawn) == (facts - 1) * wordings
    assert ids(quiz(**made, max_items=most).read("en").items) == drawn[:most]
    assert ids(quiz(**made, shots=1).read("en").items) == drawn
    other = ids(quiz(**made).read("zh").items)
    assert [name.partition("-")[0] for name in other] == [name.partition("-")[0] for name in drawn]


def test_a_draw_is_no_order_of_the_source_and_another_seed_is_another_draw():
    draws = [ids(quiz(40, seed=seed, max_items=10).read("en").items) for seed in range(20)]
    assert len({*map(tuple, draws)}) == len(draws)
    chosen = [int(name[1:].partition("-")[0]) for draw in draws for name in draw]
    assert 15 < sum(chosen) / len(chosen) < 24, "all facts are as likely to be drawn"


@given(st.integers(0, 5), st.integers(2, 20), st.integers(0, 6), st.integers(1, 3))
def test_an_example_never_tells_a_fact_that_is_asked(seed, facts, shots, wordings):
    task = quiz(facts, wordings, seed=seed, shots=shots)
    if shots >= facts:
        with pytest.raises(NeuroglotError, match="leaves no question"):
            task.read("en")
        return
    for item in task.read("en").items:
        *examples, question = item.prompt.split("\n\n")
        assert len(examples) == shots
        told = {example.partition(" of ")[2].partition(":")[0] for example in examples}
        assert len(told) == shots
        assert question.partition(" of ")[2].partition(":")[0] not in told


def test_as_many_are_reserved_whatever_the_number_of_examples():
    asked = {
        shots: [
            (item.id, item.prompt.rpartition("\n\n")[2])
            for item in quiz(12, 2, reserve=4, shots=shots, max_items=7).read("en").items
        ]
        for shots in (0, 2, 4)
    }
    assert asked[0] == asked[2] == asked[4]
    assert quiz(12, reserve=4, shots=6).reserved == 6


@given(st.integers(0, 5), st.integers(0, 7), st.integers(2, 4), st.integers(1, 30))
def test_labels_take_turns(seed, reserve, labels, most):
    items = quiz(60, labels=labels, seed=seed, reserve=reserve, max_items=most).read("en").items
    counts = Counter(item.gold[0] for item in items)
    assert max(counts.values()) - min(counts[f" {label}"] for label in range(labels)) <= 1


def test_turns_are_in_no_fixed_order():
    items = quiz(180, labels=3).read("en").items
    orders = {tuple(item.gold[0] for item in items[turn : turn + 3]) for turn in range(0, 180, 3)}
    assert orders == set(permutations((" 0", " 1", " 2"))), "an order could be learnt from examples"


def test_max_items_counts_questions():
    (only,) = Sums(shots=2, max_items=1).read("en").items
    assert only.id == "i0"


def test_examples_must_leave_a_question():
    with pytest.raises(NeuroglotError, match=r"'en': the task has 4 facts and keeps 4 .* lower"):
        Sums(reserve=4).read("en")
    with pytest.raises(NeuroglotError, match="has 0 facts and keeps 0"):
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
    columns = ["item", "prompt", "gold", "candidates", "fact", "chat", "answered_in"]
    assert table.column_names == columns


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
            TEXTS,
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
