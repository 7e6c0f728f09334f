"""Natural-language inference: the shipped items, prompts and label words, and XNLI's files."""

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

import neuroglot.tasks
from neuroglot.errors import NeuroglotError
from neuroglot.languages import find_language
from neuroglot.tasks import TaskSettings

DATA = Path(neuroglot.tasks.__file__).parent / "data"
LANGUAGES = ("en", "de", "fr", "es", "pt", "cs", "hi", "bn", "th", "zh", "ru", "tr", "vi")
LABELS = ("entailment", "neutral", "contradiction")


def task(**settings):
    return TypeAdapter(TaskSettings).validate_python(settings)


def table(name):
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


SHIPPED = table("nli.tsv")
WORDING = {row["language"]: row for row in table("nli_templates.tsv")}


def shipped(language):
    return [row for row in SHIPPED if row["language"] == language]


@pytest.fixture(scope="module")
def readings():
    return {language: task(source="nli").items(language)[0] for language in LANGUAGES}


def test_all_languages_have_the_same_items_and_labels(readings):
    assert task(source="nli").available() == set(LANGUAGES)
    assert set(WORDING) == set(LANGUAGES)
    labels = {
        language: [(item.id, item.candidates.index(item.gold[0])) for item in items]
        for language, items in readings.items()
    }
    assert all(found == labels["en"] for found in labels.values())
    assert len(labels["en"]) == 36
    expected = [(row["item"], LABELS.index(row["label"])) for row in shipped("en")]
    assert labels["en"] == expected


@pytest.mark.parametrize("reserve", [0, 2])
def test_any_number_of_questions_is_balanced(reserve):
    items = task(source="nli", reserve=reserve).read("en").items
    labels = [item.candidates.index(item.gold[0]) for item in items]
    for number in range(1, len(labels) + 1):
        counts = Counter(labels[:number])
        assert max(counts.values()) - min(counts[label] for label in range(3)) <= 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_prompts_hold_both_sentences_and_the_label_words(readings, language):
    for item, row in zip(readings[language], shipped(language), strict=True):
        before, between, after = item.prompt.partition(row["premise"])
        assert before.strip(), item.prompt
        assert between == row["premise"]
        assert row["hypothesis"] in after
        options = after.partition(row["hypothesis"])[2]
        assert all(WORDING[language][label] in options for label in LABELS)
        assert item.prompt == item.prompt.strip()
        assert "{" not in item.prompt


def test_the_english_prompt_is_the_papers(readings):
    assert readings["en"][0].prompt == (
        "Take the following as truth: The cat is sleeping on the chair. Then the following "
        'statement: "An animal is sleeping on the chair." is "true", "false", or "inconclusive"?'
    )
    assert readings["en"][0].gold == (" true",)
    assert readings["en"][0].candidates == (" true", " inconclusive", " false")


@pytest.mark.parametrize("language", LANGUAGES)
def test_label_words_are_distinct_and_written_as_they_continue(language):
    template, words = task(source="nli").wording(language)
    answers = [word for _, word in words]
    assert len(set(answers)) == 3
    assert all(f"{{{place}}}" in template for place in ("premise", "hypothesis"))
    assert template[-1] in "?？"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_blank_stands_before_answers_of_spaced_scripts(readings, language):
    spaced = find_language(language).spaced
    assert spaced == (language not in ("th", "zh"))
    for item in readings[language]:
        assert all(answer.startswith(" ") == spaced for answer in item.candidates)
        assert all(answer == answer.rstrip() for answer in item.candidates)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_distinct_and_end_as_the_language_ends_them(language):
    rows = shipped(language)
    sentences = [row[column] for row in rows for column in ("premise", "hypothesis")]
    assert len(set(sentences)) == 72
    ends = {"hi": "।", "bn": "।", "zh": "。", "th": ""}
    for sentence in sentences:
        assert sentence == sentence.strip()
        assert sentence.endswith(ends.get(language, ".")), sentence


def test_examples_come_with_their_answers(readings):
    items = task(source="nli", shots=2, max_items=3).read("de").items
    drawn = [item.id for item in task(source="nli").read("de").items]
    by_id = {item.id: item for item in readings["de"]}
    first, second = (by_id[name] for name in drawn[:2])
    assert {first.gold[0], second.gold[0]} < {" wahr", " unklar", " falsch"}
    examples = f"{first.prompt}{first.gold[0]}\n\n{second.prompt}{second.gold[0]}\n\n"
    assert [item.prompt for item in items] == [examples + by_id[item.id].prompt for item in items]
    assert len({item.gold for item in items}) == 3
    assert not {item.id for item in items} & {*drawn[:2]}


def test_scoring_and_other_spellings_of_a_language():
    made = task(source="nli", max_items=1)
    assert made.scoring == "string"
    assert made.read("zh-hans") == made.read("zh")
    (problem,) = made.problems(["de", "ja"])
    assert "unknown language of this task 'ja'" in problem
    with pytest.raises(NeuroglotError, match="'ja'"):
        made.read("ja")


ITALIAN = "{premise} Quindi: {hypothesis}"
WORDS = {"entailment": "vero", "neutral": "incerto", "contradiction": "falso"}


@pytest.mark.parametrize("place", ["premise", "hypothesis"])
def test_a_template_without_a_sentence_names_its_language(place):
    broken = ITALIAN.replace(f"{{{place}}}", "{sentence}")
    with pytest.raises(ValidationError, match=rf"language 'it': no \{{{place}\}}"):
        task(source="nli", template={"it": broken})


def test_label_words_must_differ():
    with pytest.raises(ValidationError, match="three label words must differ"):
        task(source="nli", labels={"it": {**WORDS, "neutral": " vero"}})
    with pytest.raises(ValidationError, match="contradiction"):
        task(source="nli", labels={"it": {"entailment": "vero", "neutral": "incerto"}})
    with pytest.raises(ValidationError, match="pattern"):
        task(source="nli", labels={"it": {**WORDS, "neutral": " "}})


def test_own_wording_replaces_the_shipped_one():
    words = {"entailment": "yes", "neutral": "maybe", "contradiction": "no"}
    made = task(source="nli", max_items=2, template={"en": "{hypothesis} ← {premise}:"},
                labels={"en": words})  # fmt: skip
    first, second, *_ = made.items("en")[0]
    assert first.prompt == (
        "An animal is sleeping on the chair. ← The cat is sleeping on the chair.:"
    )
    assert (first.gold, second.gold) == ((" yes",), (" maybe",))
    assert made.read("de") == task(source="nli", max_items=2).read("de")


ROWS = [
    {"premise": "Marco dorme.", "hypothesis": "Marco è sveglio.", "label": "contradiction"},
    {"premise": 'Piove {hypothesis} "oggi.', "hypothesis": "C'è acqua.", "label": "entailment"},
    {"premise": "Ho un cane.", "hypothesis": "Il cane è nero.", "label": "neutral"},
]
NUMBERS = {"entailment": 0, "neutral": 1, "contradiction": 2}
IN_ITALIAN = {"source": "xnli", "template": {"it": ITALIAN}, "labels": {"it": WORDS}}


def write_rows(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        lines = [rows[0], *(row.values() for row in rows)]
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("suffix", ["parquet", "tsv", "jsonl"])
def test_a_file_per_language(tmp_path, suffix, numbered):
    rows = [{**row, "label": NUMBERS[row["label"]]} for row in ROWS] if numbered else ROWS
    write_rows(tmp_path / f"it.{suffix}", rows)
    made = task(path=str(tmp_path / f"{{language}}.{suffix}"), **IN_ITALIAN)
    items, _ = made.items("it")
    assert [item.id for item in items] == ["000001", "000002", "000003"]
    assert [item.gold for item in items] == [(" falso",), (" vero",), (" incerto",)]
    assert items[1].prompt == "Piove {hypothesis} \"oggi. Quindi: C'è acqua."
    assert {item.candidates for item in items} == {(" vero", " incerto", " falso")}
    assert made.inputs("it") == [tmp_path / f"it.{suffix}"]
    assert made.available() == {"it"}


ORIGINAL = [
    {"language": language, "gold_label": row["label"], "sentence1": f"{language}: {row['premise']}",
     "sentence2": row["hypothesis"], "pairID": number}
    for language in ("itx", "de")
    for number, row in enumerate(ROWS, start=1)
]  # fmt: skip
COLUMNS = {
    "premise_column": "sentence1",
    "hypothesis_column": "sentence2",
    "label_column": "gold_label",
    "id_column": "pairID",
    "language_column": "language",
    "codes": {"it": "itx"},
}


@pytest.mark.parametrize("suffix", ["parquet", "tsv", "jsonl"])
def test_one_file_for_all_languages(tmp_path, suffix):
    path = tmp_path / f"test.{suffix}"
    write_rows(path, ORIGINAL)
    made = task(path=str(path), **IN_ITALIAN, **COLUMNS)
    found = {language: made.items(language)[0] for language in ("it", "de")}
    assert [[item.id for item in items] for items in found.values()] == [["1", "2", "3"]] * 2
    assert found["it"][0].prompt.startswith("itx: Marco")
    assert "de: Marco" in found["de"][0].prompt
    assert found["de"][0].gold == (" falsch",)
    assert made.available() is None
    assert made.problems(["it", "de"]) == []
    assert made.inputs("it") == made.inputs("de") == [path]
    with pytest.raises(NeuroglotError, match=r"column 'language': unknown language code 'fr'"):
        made.read("fr")


def golds(tmp_path, labels, **settings):
    rows = [{**ROWS[n % 3], "label": label} for n, label in enumerate(labels)]
    write_rows(tmp_path / "it.jsonl", rows)
    made = task(path=str(tmp_path / "{language}.jsonl"), **IN_ITALIAN, **settings)
    items, notes = made.items("it")
    return [item.gold[0].strip() for item in items], notes


def test_rows_without_a_label_are_left_out_and_counted(tmp_path):
    found, notes = golds(tmp_path, [0, -1, 2, "-", 1.0, -1.0])
    assert found == ["vero", "falso", "incerto"]
    assert notes == ["left out 3 items without a label"]


def test_labels_may_have_other_words_and_another_order(tmp_path):
    assert golds(tmp_path, ["Entailment", "NEUTRAL"]) == (["vero", "incerto"], [])
    order = {"contradiction": 0, "entailment": 1, "neutral": 2}
    assert golds(tmp_path, [0, 1, 2, "2"], label_values=order)[0] == [
        *("falso", "vero", "incerto", "incerto")
    ]
    words = {"entailment": "e", "neutral": "n", "contradiction": ["c", "not e"]}
    assert golds(tmp_path, ["c", "e", "not e"], label_values=words)[0] == ["falso", "vero", "falso"]
    with pytest.raises(NeuroglotError, match=r"row 2: .*one of 1, 2, 0, found 3; label_values"):
        golds(tmp_path, [0, 3], label_values=order)
    with pytest.raises(ValidationError, match="'1' stands for two labels"):
        golds(tmp_path, [0], label_values={"contradiction": 0, "entailment": 1})


def test_questions_are_drawn_from_all_rows_and_labels_take_turns(tmp_path):
    labels = ["contradiction"] * 40 + ["entailment"] * 40 + ["neutral"] * 40
    rows = [
        {"premise": f"Vedo {n} cani.", "hypothesis": "Vedo cani.", "label": label}
        for n, label in enumerate(labels)
    ]
    write_rows(tmp_path / "it.jsonl", rows)
    path = str(tmp_path / "{language}.jsonl")
    items = task(path=path, shots=1, max_items=9, **IN_ITALIAN).read("it").items
    assert Counter(item.gold[0] for item in items) == {" vero": 3, " falso": 3, " incerto": 3}
    assert max(int(item.id) for item in items) > 100
    write_rows(tmp_path / "it.jsonl", [*rows, {"premise": 5}])
    with pytest.raises(NeuroglotError, match="row 121"):
        task(path=path, max_items=1, **IN_ITALIAN).read("it")


def test_missing_files_and_wordings_are_named_before_any_job(tmp_path):
    write_rows(tmp_path / "it.jsonl", ROWS)
    write_rows(tmp_path / "ru.jsonl", ROWS)
    path = str(tmp_path / "{language}.jsonl")
    assert task(path=path, **IN_ITALIAN).problems(["it", "ru"]) == []
    (unworded,) = task(source="xnli", path=path).problems(["it", "ru"])
    assert "'it': no template and labels" in unworded
    (unlabelled,) = task(source="xnli", path=path, template={"it": ITALIAN}).problems(["it"])
    assert "'it': no labels" in unlabelled
    (missing,) = task(source="xnli", path=path).problems(["de"])
    assert "de.jsonl does not exist; files there are for: it, ru" in missing
    gone = task(source="xnli", path=str(tmp_path / "x.tsv"), **COLUMNS)
    assert "x.tsv does not exist" in gone.problems(["de"])[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "maybe"}, "'label' must hold one of entailment, 0, .* found 'maybe'"),
        ({"label": 3}, "found 3"),
        ({"label": 4}, "found 4"),
        ({"label": True}, "found True"),
        ({"label": None}, "'label' is empty"),
        ({"premise": 7}, "'premise' must hold text, found 7"),
        ({"hypothesis": " "}, "'hypothesis' is empty"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    write_rows(tmp_path / "it.jsonl", [ROWS[0], {**ROWS[1], **change}])
    with pytest.raises(NeuroglotError, match=rf"it\.jsonl: row 2: .*{message}"):
        task(path=str(tmp_path / "{language}.jsonl"), **IN_ITALIAN).read("it")


@pytest.mark.parametrize("suffix", ["parquet", "tsv", "jsonl"])
def test_a_missing_column_is_named(tmp_path, suffix):
    write_rows(tmp_path / f"it.{suffix}", [{"premise": "a", "hypotesis": "b", "label": 0}])
    with pytest.raises(NeuroglotError, match=rf"it\.{suffix}.*did you mean 'hypotesis'"):
        task(path=str(tmp_path / f"{{language}}.{suffix}"), **IN_ITALIAN).read("it")


def test_uneven_tab_separated_lines_are_named(tmp_path):
    (tmp_path / "it.tsv").write_text("premise\thypothesis\tlabel\na\tb\t0\na\tb\n")
    with pytest.raises(NeuroglotError, match=r"it\.tsv: line 3 has 2 cells under 3 column names"):
        task(path=str(tmp_path / "{language}.tsv"), **IN_ITALIAN).read("it")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either path"),
        ({"path": "{language}.tsv", "hub": "some/set"}, "either path"),
        ({"path": "x.csv"}, "pattern"),
        ({"path": "x.tsv"}, "in one place"),
        ({"path": "{language}.tsv", "language_column": "l", "id_column": "i"}, "in one place"),
        ({"path": "x.tsv", "language_column": "l"}, "id_column is required"),
        ({"path": "{language}.tsv", "name": "x"}, "belong to hub"),
        ({"hub": "some/set", "name": "{language}"}, "revision is required"),
        ({"hub": "some/set", "name": "{language}", "revision": "main"}, "pattern"),
        ({"hub": "some/set", "revision": "a" * 40}, "in one place"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValidationError, match=message):
        task(source="xnli", **settings)


def test_a_pinned_dataset_is_accepted_and_has_no_files_here():
    made = task(source="xnli", hub="some/set", name="{language}", revision="a" * 40)
    assert made.inputs("de") == []
    assert made.problems(["de"]) == []


def test_a_local_dataset_of_the_hub(tmp_path, monkeypatch, tmp_path_factory):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    write_rows(tmp_path / "it.parquet", [{**row, "label": NUMBERS[row["label"]]} for row in ROWS])
    made = task(hub=str(tmp_path), data_files="{language}.parquet", split="train", **IN_ITALIAN)
    items, _ = made.items("it")
    assert [item.gold for item in items] == [(" falso",), (" vero",), (" incerto",)]
    assert made.inputs("it") == [tmp_path / "it.parquet"]
    with pytest.raises(NeuroglotError, match=r"fr\.parquet.*cannot be read"):
        made.read("fr")
