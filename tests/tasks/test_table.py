"""Tasks in the user's own Parquet or JSON-lines files."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from neuroglot.errors import NeuroglotError
from neuroglot.tasks import TaskSettings
from neuroglot.tasks.base import Item, TaskReading, facts_of, write_items

ROWS = [
    {"item": "b", "prompt": "Das Gegenteil von warm ist", "gold": [" kalt", " eisig"],
     "candidates": [" kalt", " rot"]},
    {"item": "a", "prompt": "Das Gegenteil von groß ist", "gold": [" klein"],
     "candidates": [" klein", " kalt"]},
]  # fmt: skip


def task(path, **settings):
    given = {"source": "table", "path": str(path), "scoring": "exact", **settings}
    return TypeAdapter(TaskSettings).validate_python(given)


def write_rows(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_rows_are_items_in_the_files_order(tmp_path, suffix):
    write_rows(tmp_path / f"de.{suffix}", ROWS)
    first, second = task(tmp_path / f"{{language}}.{suffix}").items("de")[0]
    assert first == Item("b", "Das Gegenteil von warm ist", (" kalt", " eisig"), (" kalt", " rot"))
    assert second.id == "a"
    (asked,) = task(tmp_path / f"{{language}}.{suffix}", shots=1).read("de").items
    assert asked.prompt == "Das Gegenteil von warm ist kalt\n\nDas Gegenteil von groß ist"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_rows_may_say_which_fact_they_ask_for(tmp_path, suffix):
    write_rows(tmp_path / f"de.{suffix}", [{**row, "fact": "size"} for row in ROWS])
    items = task(tmp_path / f"{{language}}.{suffix}").read("de").items
    assert facts_of({"de": items}) == ["size", "size"]
    write_rows(tmp_path / f"de.{suffix}", ROWS)
    items, _ = task(tmp_path / f"{{language}}.{suffix}").items("de")
    assert facts_of({"de": items}) == ["b", "a"]


def test_a_written_task_can_be_read_as_a_table(tmp_path):
    items = tuple(
        Item(row["item"], row["prompt"], tuple(row["gold"]), tuple(row["candidates"]), "size")
        for row in ROWS
    )
    write_items(TaskReading(items, ("a note",)), tmp_path / "de.parquet")
    assert task(tmp_path / "{language}.parquet").read("de").items == items


@pytest.mark.parametrize("scoring", ["rank", "exact", "string"])
def test_scoring_is_a_setting_that_survives_the_way_to_a_step(scoring):
    made = task("{language}.jsonl", scoring=scoring)
    assert made.scoring == scoring
    dumped = made.model_dump(mode="json")
    assert dumped["scoring"] == scoring
    assert TypeAdapter(TaskSettings).validate_python(dumped) == made
    nested = TypeAdapter(dict[str, TaskSettings])
    assert nested.dump_python({"mine": made})["mine"]["scoring"] == scoring


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scoring": "bleu"}, "'rank', 'exact' or 'string'"),
        ({"path": "items.jsonl"}, r"must have \{language\} where the language's code stands"),
        ({"path": "{language}.csv"}, r"ends with \.parquet or \.jsonl"),
        ({"judged": "rank"}, "extra"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValidationError, match=message):
        task(**{"path": "{language}.jsonl", **settings})


def test_scoring_is_required():
    with pytest.raises(ValidationError, match="scoring"):
        TypeAdapter(TaskSettings).validate_python({"source": "table", "path": "{language}.jsonl"})


def test_files_are_found_and_missing_ones_named(tmp_path):
    write_rows(tmp_path / "deu.jsonl", ROWS)
    made = task(tmp_path / "{language}.jsonl", codes={"de": "deu"})
    assert made.available() == {"de"}
    assert made.inputs("de") == [tmp_path / "deu.jsonl"]
    assert made.problems(["de"]) == []
    (problem,) = made.problems(["de", "fr"])
    assert "fr.jsonl does not exist; files there are for: deu;" in problem
    with pytest.raises(NeuroglotError, match=r"fr\.jsonl: cannot be read"):
        made.read("fr")


def without(column):
    return {key: value for key, value in ROWS[1].items() if key != column}


@pytest.mark.parametrize("column", ["item", "prompt", "gold", "candidates"])
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_missing_column_is_named(tmp_path, column, suffix):
    rows = [without(column), without(column)] if suffix == "parquet" else [ROWS[0], without(column)]
    write_rows(tmp_path / f"de.{suffix}", rows)
    with pytest.raises(NeuroglotError, match=rf"de\.{suffix}: .*unknown column '{column}'"):
        task(tmp_path / f"{{language}}.{suffix}").read("de")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": 3}, "'item' must hold text, found 3"),
        ({"item": None}, "'item' must hold text, found None"),
        ({"item": " "}, "'item' is empty; every item needs an id"),
        ({"item": "b"}, "item id 'b' stands twice"),
        ({"prompt": ["a"]}, r"'prompt' must hold text, found \['a'\]"),
        ({"gold": " klein"}, "'gold' must hold a list of text, found ' klein'"),
        ({"fact": 3}, "'fact' must hold text, found 3"),
        ({"candidates": [1, 2]}, r"'candidates' must hold a list of text, found \[1, 2\]"),
        ({"candidates": None}, "'candidates' must hold a list of text, found None"),
        ({"candidates": [" rot"]}, "' klein' of item 'a' is not among its candidates"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, change, message):
    write_rows(tmp_path / "de.jsonl", [ROWS[0], {**ROWS[1], **change}])
    with pytest.raises(NeuroglotError, match=message) as caught:
        task(tmp_path / "{language}.jsonl").read("de")
    assert "must hold" not in message or "de.jsonl: row 2: " in str(caught.value)


def test_broken_files_are_named(tmp_path):
    (tmp_path / "de.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(NeuroglotError, match=r"de\.parquet: cannot be read as Parquet"):
        task(tmp_path / "{language}.parquet").read("de")
    (tmp_path / "de.jsonl").write_text("{]")
    with pytest.raises(NeuroglotError, match=r"de\.jsonl: line 1 is not JSON"):
        task(tmp_path / "{language}.jsonl").read("de")


FRANCE = {"item": "fr", "prompt": "The capital of France is ", "gold": ["Paris"],
          "candidates": ["Paris", "Rome", "Oslo"]}  # fmt: skip


def read_rows(folder, *rows, language="en"):
    write_rows(folder / f"{language}.jsonl", rows)
    return task(folder / "{language}.jsonl").read(language)


def test_a_blank_at_the_prompts_end_moves_to_the_answers(tmp_path):
    reading = read_rows(tmp_path, FRANCE)
    (item,) = reading.items
    assert item.prompt == "The capital of France is"
    assert item.gold == (" Paris",)
    assert item.candidates == (" Paris", " Rome", " Oslo")
    assert reading.notes == ("moved the blank that ends 1 prompts to their answers",)


@pytest.mark.parametrize(
    ("end", "answer", "read"),
    [
        (" ", " Paris", " Paris"),
        ("  ", "Paris", " Paris"),
        ("\u00a0", "Paris", "\u00a0Paris"),
        (":\n", "Paris", "\nParis"),
        (":\n ", "Paris", "\n Paris"),
    ],
)
def test_one_blank_stands_between_prompt_and_answer(tmp_path, end, answer, read):
    row = {**FRANCE, "prompt": f"Capital{end}", "gold": [answer], "candidates": [answer, "\tRome"]}
    (item,) = read_rows(tmp_path, row).items
    assert (item.prompt + item.gold[0]).removeprefix("Capital").removeprefix(":") == read
    assert item.prompt[-1] == item.prompt[-1].rstrip(" \u00a0")


def test_examples_keep_their_text(tmp_path):
    rows = [{**FRANCE, "item": name} for name in "ab"]
    write_rows(tmp_path / "en.jsonl", rows)
    (asked,) = task(tmp_path / "{language}.jsonl", shots=1).read("en").items
    assert asked.prompt == "The capital of France is Paris\n\nThe capital of France is"


def test_answers_without_the_blank_that_the_script_needs_are_warned_about(tmp_path):
    row = {**FRANCE, "prompt": "The capital of France is"}
    (warning,) = read_rows(tmp_path, row).notes
    assert warning.startswith("warning: 3 answers have no blank before them")
    assert "'fr' is read as 'The capital of France isParis'; write ' Paris'" in warning
    thai = {**row, "prompt": "เมืองหลวงของฝรั่งเศสคือ", "gold": ["ปารีส"], "candidates": ["ปารีส", "โรม"]}
    assert not read_rows(tmp_path, thai, language="th").notes
    assert not read_rows(tmp_path, {**row, "prompt": "Capital:\n"}).notes
