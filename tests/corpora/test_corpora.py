"""What all corpora share, and the sources of the user's own: text, tables and datasets."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import Reading, Segment, plain_ends, read_parquet, write_parquet
from neuroglot.errors import NeuroglotError

ADAPTER = TypeAdapter(CorpusSettings)


def corpus(**settings):
    return ADAPTER.validate_python(settings)


def text_corpus(tmp_path, **settings):
    return corpus(source="text", path=str(tmp_path / "{language}.txt"), **settings)


def test_parquet_keeps_order_text_and_notes_in_equal_bytes(tmp_path):
    reading = Reading((Segment("b", "ขอบ"), Segment("a", "x\ny")), ("article 2: kept whole",))
    write_parquet(reading, tmp_path / "new" / "en.parquet")
    write_parquet(reading, tmp_path / "again.parquet")
    assert read_parquet(tmp_path / "new" / "en.parquet") == reading
    assert (tmp_path / "new/en.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["en.parquet"]
    table = pq.read_table(tmp_path / "again.parquet")
    assert table.column_names == ["segment", "text", "place"]
    assert json.loads(table.schema.metadata[b"notes"]) == ["article 2: kept whole"]


def test_long_columns_are_written_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroglot.corpora.base.CHUNK_SEGMENTS", 2)
    for size in (0, 1, 2, 5):
        reading = Reading(tuple(Segment(f"s{index}", "ü" * index) for index in range(size)))
        write_parquet(reading, tmp_path / "en.parquet")
        assert read_parquet(tmp_path / "en.parquet") == reading


def test_writing_imports_no_pandas(tmp_path):
    code = (
        "import sys; from pathlib import Path; from neuroglot.corpora.base import *;"
        "write_parquet(Reading((Segment('1', 'a'),)), Path('en.parquet'));"
        "print('pandas' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.stdout.strip() == "False", result.stderr


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "en.parquet"
    write_parquet(Reading((Segment("1", "a"),)), path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        write_parquet(Reading((Segment("1", "b"),)), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_foreign_parquet_is_refused(tmp_path):
    pq.write_table(pa.table({"segment": ["1"], "text": ["a"]}), tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"not parquet")
    for name in ("x", "y", "absent"):
        with pytest.raises(NeuroglotError, match=f"{name}.parquet"):
            read_parquet(tmp_path / f"{name}.parquet")


def test_settings_are_strict():
    with pytest.raises(ValidationError, match="extra"):
        corpus(source="udhr", unitt="article")
    with pytest.raises(ValidationError, match="did you mean 'de'"):
        corpus(source="udhr", languages=["German"])
    with pytest.raises(ValidationError, match="listed twice"):
        corpus(source="udhr", languages=["de", "deu"])
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        corpus(source="opus100")
    assert corpus(source="udhr", languages=["zh_Hans"]).languages == ("zh-hans",)


def test_parsing_the_configuration_imports_nothing_heavy():
    code = (
        "import sys, neuroglot.corpora, neuroglot.languages;"
        "print([m for m in ('pyarrow', 'datasets', 'numpy', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_plain_text_is_aligned_by_line(tmp_path):
    (tmp_path / "de.txt").write_bytes("\ufeffEins,  ja.\r\n\r\nDrei\u2028vier.\r\n".encode())
    read = text_corpus(tmp_path).read("de")
    assert read.segments == (("000001", "Eins,  ja."), ("000003", "Drei\u2028vier."))
    assert read.notes == ("left out without text: 000002",)
    assert text_corpus(tmp_path, strip_punctuation=True).read("de").segments[0].text == "Eins ja."


def test_first_segments(tmp_path):
    (tmp_path / "de.txt").write_text("a\nb\nc\nd\n")
    assert [
        s.text for s in text_corpus(tmp_path, parallel=False, max_segments=3).read("de").segments
    ] == [*"abc"]


class TestDrawnOfThePivot:
    """Segments are drawn by id of the pivot, and each language reads those of them that it has."""

    ENGLISH = tuple(f"s{number:02d}" for number in range(40))

    @pytest.fixture
    def made(self, tmp_path: Path) -> Path:
        """German lacks every fifth segment, and has one of its own and another order."""
        german = [one for one in reversed(self.ENGLISH) if int(one[1:]) % 5] + ["own"]
        for language, ids in {"en": self.ENGLISH, "de": german, "fr": self.ENGLISH}.items():
            lines = "".join(f"{one}\t{language} {one}\n" for one in ids)
            (tmp_path / f"{language}.tsv").write_text(lines)
        return tmp_path

    def read(self, made: Path, language: str, **settings: Any) -> Reading:
        path = str(made / "{language}.tsv")
        return corpus(source="text", path=path, pivot="en", **settings).read(language)

    def ids(self, reading: Reading) -> list[str]:
        return [segment.id for segment in reading.segments]

    def test_a_language_gets_no_replacements_for_what_it_lacks(self, made: Path) -> None:
        english, german = (self.read(made, one, max_segments=20) for one in ("en", "de"))
        assert english.drawn == german.drawn == len(self.ids(english)) == 20
        expected = [one for one in self.ids(english) if int(one[1:]) % 5]
        assert self.ids(german) == expected != self.ids(english)
        assert all(one.text == f"de {one.id}" for one in german.segments)
        (note,) = german.notes
        lacking, ids = note.split(" of the 20 segments drawn of en: ")
        assert lacking == f"lacks {20 - len(expected)}"
        assert set(ids.split(", ")) == set(self.ids(english)) - set(expected)

    def test_a_segment_has_the_same_place_in_every_language(self, made: Path) -> None:
        readings = [self.read(made, one, max_segments=20) for one in ("en", "de", "fr")]
        of_english, of_german, of_french = (
            dict(zip(self.ids(one), one.places, strict=True)) for one in readings
        )
        assert of_french == of_english
        assert of_german.items() <= of_english.items()
        assert sorted(of_english.values()) == list(range(20))

    def test_held_out_segments_are_others_in_every_language(self, made: Path) -> None:
        for language in ("en", "de"):
            chosen_on = self.read(made, language, max_segments=20)
            held_out = self.read(made, "fr", skip_segments=20)
            assert set(self.ids(chosen_on)).isdisjoint(self.ids(held_out))
            assert len(self.ids(held_out)) == 20

    def test_the_first_drawn_ones_are_the_same_however_many_are_drawn(self, made: Path) -> None:
        few, many = (self.read(made, "en", max_segments=count) for count in (5, 30))
        assert set(self.ids(few)) < set(self.ids(many))
        assert self.ids(few) == sorted(self.ids(few)), "in the pivot's order"
        assert self.ids(few) != [*self.ENGLISH[:5]], "not the first of the alphabet"
        assert self.ids(self.read(made, "en", max_segments=5, seed=1)) != self.ids(few)

    def test_what_is_not_parallel_is_read_as_it_comes(self, made: Path) -> None:
        reading = self.read(made, "de", parallel=False, max_segments=3)
        assert self.ids(reading) == ["s39", "s38", "s37"]
        assert reading.places == (0, 1, 2)

    def test_a_language_without_the_drawn_segments_is_refused(self, made: Path) -> None:
        (made / "de.tsv").write_text("x\tEins\ny\tZwei\n")
        with pytest.raises(NeuroglotError, match="the 2 segment ids of 'de' only 0 are in all"):
            self.read(made, "de", max_segments=8)

    def test_the_pivots_file_counts_and_other_languages_files_do_not(self, made: Path) -> None:
        settings = corpus(source="text", path=str(made / "{language}.tsv"), pivot="en")
        assert settings.files("de") == [made / "de.tsv", made / "en.tsv"]
        assert settings.files("en") == [made / "en.tsv"]
        alone = settings.model_copy(update={"parallel": False})
        assert alone.files("de") == [made / "de.tsv"]

    def test_parquet_keeps_places(self, made: Path) -> None:
        reading = self.read(made, "de", max_segments=20)
        write_parquet(reading, made / "de.parquet")
        assert read_parquet(made / "de.parquet") == reading


def test_skipped_segments_are_held_out(tmp_path):
    (tmp_path / "de.txt").write_text("a\n\nb\nc\nd\ne\n")
    own = {"parallel": False}
    first = text_corpus(tmp_path, max_segments=2, **own).read("de").segments
    rest = text_corpus(tmp_path, skip_segments=2, **own).read("de").segments
    assert [s.text for s in first] == ["a", "b"], "a line without text is no segment"
    assert [s.text for s in rest] == ["c", "d", "e"]
    assert first + rest == text_corpus(tmp_path).read("de").segments
    middle = text_corpus(tmp_path, skip_segments=1, max_segments=2, **own).read("de").segments
    assert [s.id for s in middle] == ["000003", "000004"]
    with pytest.raises(NeuroglotError, match=r"'de': skip_segments leaves out 4 of 5 segments"):
        text_corpus(tmp_path, skip_segments=4).read("de")
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        text_corpus(tmp_path, skip_segments=-1)


def test_segments_whose_ids_match_are_kept(tmp_path):
    (tmp_path / "de.tsv").write_text("p.1\ta\nx.1\tb\nx.2\tc\nX.3\td\nx.4\te\n")
    chosen = {
        "path": str(tmp_path / "{language}.tsv"),
        "segment_ids": "x.*",
        "parallel": False,
    }

    def texts(**more):
        return [s.text for s in corpus(source="text", **chosen, **more).read("de").segments]

    assert texts() == ["b", "c", "e"], "case matters"
    assert texts(skip_segments=1) == ["c", "e"], "counted among those that match"
    assert texts(max_segments=2) == ["b", "c"]
    with pytest.raises(NeuroglotError, match=r"'de': segment_ids: no .* 'y\*'; the first is 'p.1'"):
        corpus(source="text", **{**chosen, "segment_ids": "y*"}).read("de")


def test_tab_separated(tmp_path):
    (tmp_path / "de.tsv").write_text("x\tEins\t\n\ny\tZwei drei\n", encoding="utf-8")
    settings = corpus(source="text", path=str(tmp_path / "{language}.tsv"))
    assert settings.read("de").segments == (("x", "Eins"), ("y", "Zwei drei"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (b"good\nb\xffd\n", "not UTF-8 at byte 6, line 2"),
        (b"one\n", r"found 1 segment\(s\).*at least two"),
    ],
)
def test_bad_text_files(tmp_path, content, message):
    (tmp_path / "de.txt").write_bytes(content)
    with pytest.raises(NeuroglotError, match=message):
        text_corpus(tmp_path).read("de")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x\ta\nno tab\n", "line 2 is not an id, a tab and a text"),
        ("x\ta\n\tb\n", "line 2"),
        ("x\ta\ny\tb\nx\tc\n", "'x' stands in lines 1 and 3"),
    ],
)
def test_bad_tab_separated_files(tmp_path, content, message):
    (tmp_path / "de.txt").write_text(content)
    with pytest.raises(NeuroglotError, match=f"de.txt.*{message}"):
        text_corpus(tmp_path, format="tsv").read("de")


def test_missing_text_file_is_named_before_any_job(tmp_path):
    (tmp_path / "de.txt").write_text("a\nb\n")
    (tmp_path / "notes.txt").write_text("a\nb\n")
    settings = text_corpus(tmp_path)
    assert settings.available() == {"de"}
    assert settings.inputs("de") == [tmp_path / "de.txt"]
    (problem,) = settings.problems(["de", "fr"])
    assert "fr.txt does not exist" in problem
    assert "files there are for: de, notes" in problem
    with pytest.raises(NeuroglotError, match=r"fr\.txt: cannot be read"):
        settings.read("fr")


def test_own_codes_and_repeated_places(tmp_path):
    (tmp_path / "deu_Latn").mkdir()
    (tmp_path / "deu_Latn" / "deu_Latn.txt").write_text("a\nb\n")
    template = str(tmp_path / "{language}" / "{language}.txt")
    settings = corpus(source="text", path=template, codes={"de": "deu_Latn"})
    assert settings.available() == {"de"}
    assert settings.problems(["de"]) == []
    assert len(settings.read("de").segments) == 2


LINES = st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]))


@given(st.lists(LINES, min_size=2))
def test_any_lines_keep_their_numbers(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("text")
    (folder / "de.txt").write_bytes("\n".join(lines).encode())
    expected = [
        (f"{number:06d}", plain_ends(line))
        for number, line in enumerate(lines, start=1)
        if plain_ends(line)
    ]
    as_it_is = text_corpus(folder, format="lines", normalise="as_is")
    if len(expected) < 2:
        with pytest.raises(NeuroglotError):
            as_it_is.read("de")
    else:
        assert list(as_it_is.read("de").segments) == expected


ROWS = [
    {"key": 7, "lang": "deu", "text": "Eins", "text_de": "Eins", "text_en": "One"},
    {"key": 7, "lang": "eng", "text": "One", "text_de": "Zwei", "text_en": "Two"},
    {"key": 8, "lang": "deu", "text": "Zwei", "text_de": None, "text_en": "Three"},
    {"key": 8, "lang": "eng", "text": "Two", "text_de": "Vier", "text_en": "Four"},
]
BY_COLUMN = {"id_column": "key", "language_column": "lang", "codes": {"de": "deu", "en": "eng"}}


def write_rows(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(params=["parquet", "jsonl"])
def table(tmp_path, request):
    path = tmp_path / f"all.{request.param}"
    write_rows(path, ROWS)
    return str(path)


def test_segments_that_match_are_found_behind_others_in_a_table(tmp_path):
    path = tmp_path / "all.jsonl"
    write_rows(path, [{"key": i, "text_de": f"t{i}"} for i in range(30)])
    table = {"path": str(path), "id_column": "key", "text_column": "text_{language}"}
    chosen = {"segment_ids": "2?", "max_segments": 3, "parallel": False}
    found = corpus(source="table", **table, **chosen).read("de")
    assert [s.text for s in found.segments] == ["t20", "t21", "t22"]


def test_table_with_language_column(table):
    settings = corpus(source="table", path=table, **BY_COLUMN)
    assert settings.read("de").segments == (("7", "Eins"), ("8", "Zwei"))
    assert settings.read("en").segments == (("7", "One"), ("8", "Two"))
    assert settings.available() is None
    with pytest.raises(NeuroglotError, match=r"column 'lang': unknown language code 'fr'"):
        settings.read("fr")


def test_table_with_languages_in_columns(table):
    settings = corpus(source="table", path=table, text_column="text_{language}")
    read = settings.read("de")
    assert read.segments == (("000001", "Eins"), ("000002", "Zwei"), ("000004", "Vier"))
    assert read.notes == ("left out without text: 000003",)
    with pytest.raises(NeuroglotError, match=r"unknown column 'text_fr'"):
        settings.read("fr")
    first = corpus(source="table", path=table, text_column="text_{language}", max_segments=2)
    assert len(first.read("de").segments) == 2
    two = {"max_segments": 2, "skip_segments": 1, "parallel": False}
    later = corpus(source="table", path=table, text_column="text_{language}", **two)
    assert later.read("de").segments == (("000002", "Zwei"), ("000004", "Vier"))


def test_table_per_language(tmp_path):
    write_rows(tmp_path / "de.jsonl", [{"text": "a"}, {"text": "b"}])
    settings = corpus(source="table", path=str(tmp_path / "{language}.jsonl"))
    assert settings.read("de").segments == (("000001", "a"), ("000002", "b"))
    assert settings.available() == {"de"}
    assert "fr.jsonl does not exist" in settings.problems(["fr"])[0]
    gone = corpus(source="table", path=str(tmp_path / "x.parquet"), **BY_COLUMN)
    assert "x.parquet does not exist" in gone.problems(["de"])[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{]", "line 1 is not JSON"),
        ("[1]", "line 1 is not a JSON object"),
        ('{"text": 3}', "row 1: column 'text' holds int"),
        ('{"text": "a", "id": null}', "column 'id' is empty"),
        ('{"text": "a", "id": 1}\n{"text": "b", "id": 1}', "segment id '1' stands twice"),
        ('{"txt": "a", "id": 1}', "did you mean 'txt'"),
    ],
)
def test_bad_json_lines(tmp_path, content, message):
    (tmp_path / "de.jsonl").write_text(content)
    settings = corpus(source="table", path=str(tmp_path / "{language}.jsonl"), id_column="id")
    if "holds int" in message:
        settings = settings.model_copy(update={"id_column": None})
    with pytest.raises(NeuroglotError, match=message):
        settings.read("de")


def test_broken_parquet_is_named(tmp_path):
    (tmp_path / "de.parquet").write_bytes(b"PAR1 no")
    settings = corpus(source="table", path=str(tmp_path / "{language}.parquet"))
    with pytest.raises(NeuroglotError, match=r"de\.parquet: cannot be read as Parquet"):
        settings.read("de")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "x.jsonl"}, "found 0"),
        ({"path": "{language}.jsonl", "text_column": "{language}"}, "found 2"),
        ({"path": "x.jsonl", "language_column": "lang"}, "id_column is required"),
        ({"path": "x.xls", "language_column": "lang"}, "a table's file ends with one of"),
    ],
)
def test_language_stands_in_one_place(settings, message):
    with pytest.raises(ValidationError, match=message):
        corpus(source="table", **settings)


@pytest.fixture
def quiet_datasets(monkeypatch, tmp_path_factory):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.usefixtures("quiet_datasets")
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_local_dataset(tmp_path, suffix):
    write_rows(tmp_path / f"train.{suffix}", ROWS)
    settings = corpus(source="hub", path=str(tmp_path), **BY_COLUMN)
    assert settings.read("de").segments == (("7", "Eins"), ("8", "Zwei"))
    assert settings.inputs("de") == [tmp_path / f"train.{suffix}"]
    assert settings.available() is None
    assert settings.problems(["de"]) == []


@pytest.mark.usefixtures("quiet_datasets")
def test_local_dataset_with_a_file_per_language(tmp_path):
    write_rows(tmp_path / "de.jsonl", [{"text": "a"}, {"text": "b"}])
    write_rows(tmp_path / "en.jsonl", [{"text": "c"}, {"text": "d"}])
    settings = corpus(source="hub", path=str(tmp_path), data_files="{language}.jsonl")
    assert [s.text for s in settings.read("en").segments] == ["c", "d"]
    with pytest.raises(NeuroglotError, match=r"fr\.jsonl.*cannot be read"):
        settings.read("fr")


def test_remote_datasets_are_pinned():
    with pytest.raises(ValidationError, match="revision is required"):
        corpus(source="hub", path="some/dataset", name="{language}")
    with pytest.raises(ValidationError, match="pattern"):
        corpus(source="hub", path="some/dataset", name="{language}", revision="main")
    assert corpus(source="hub", path="some/set", name="{language}", revision="a" * 40).revision
