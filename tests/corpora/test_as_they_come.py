"""Texts as users bring them: counts, headers, columns, quotation marks, ids, codes, Unicode."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from neuroglot.corpora import CorpusSettings
from neuroglot.corpora.base import Corpus, Reading
from neuroglot.corpora.shipped import find_id
from neuroglot.errors import NeuroglotError

EN = [f"Sentence number {i} is about human rights and duties." for i in range(1, 21)]
DE = [f"Satz Nummer {i} handelt von Menschenrechten und Pflichten." for i in range(1, 21)]


def corpus(folder: Path, suffix: str = "txt", source: str = "text", **settings: Any) -> Corpus:
    given = {"path": str(folder / f"{{language}}.{suffix}"), "pivot": "en", **settings}
    return TypeAdapter[Any](CorpusSettings).validate_python({"source": source, **given})


def write(folder: Path, suffix: str = "txt", **lines: list[str]) -> Path:
    for name, of in lines.items():
        (folder / f"{name}.{suffix}").write_text("".join(f"{one}\n" for one in of), "utf-8")
    return folder


def with_ids(lines: list[str], form: str = "{}") -> list[str]:
    return [f"{form.format(number)}\t{line}" for number, line in enumerate(lines, 1)]


def texts(reading: Reading) -> list[str]:
    return [segment.text for segment in reading.segments]


def ids(reading: Reading) -> list[str]:
    return [segment.id for segment in reading.segments]


class TestAlignedByLine:
    SPLIT = (*DE[:2], "Satz Nummer 3 handelt", "von Menschenrechten und Pflichten.", *DE[3:])

    def test_a_split_line_is_refused_with_both_counts(self, tmp_path: Path) -> None:
        write(tmp_path, en=EN, de=[*self.SPLIT])
        with pytest.raises(NeuroglotError, match="unequal numbers of lines") as caught:
            corpus(tmp_path).read("de")
        message = str(caught.value)
        assert "21 of 'de'" in message
        assert "20 of 'en'" in message
        assert "de.txt" in message
        assert ".tsv" in message
        assert len(corpus(tmp_path, parallel=False).read("de").segments) == 21

    def test_rows_without_ids_need_equal_numbers_too(self, tmp_path: Path) -> None:
        rows = {"en": EN, "de": self.SPLIT}
        write(
            tmp_path, "jsonl", **{k: [json.dumps({"text": t}) for t in v] for k, v in rows.items()}
        )
        with pytest.raises(NeuroglotError, match="unequal numbers of lines"):
            corpus(tmp_path, "jsonl", "table").read("de")

    def test_blank_lines_at_the_end_shift_nothing(self, tmp_path: Path) -> None:
        write(tmp_path, en=EN, de=[*DE, "", " "])
        assert texts(corpus(tmp_path).read("de")) == DE

    def test_a_last_line_that_is_not_translated_is_lacking(self, tmp_path: Path) -> None:
        write(tmp_path, en=EN, de=[*DE[:-1], ""])
        reading = corpus(tmp_path).read("de")
        assert texts(reading) == DE[:-1]
        assert "lacks 1 of the 20 segments drawn of en: 000020" in reading.notes

    def test_lines_that_all_have_a_tab_are_no_text(self, tmp_path: Path) -> None:
        write(tmp_path, en=with_ids(EN))
        with pytest.raises(NeuroglotError, match="every line has a tab; set format: tsv"):
            corpus(tmp_path).read("en")
        assert texts(corpus(tmp_path, format="tsv").read("en")) == EN
        assert texts(corpus(tmp_path, format="lines").read("en"))[0] == f"1\t{EN[0]}"

    def test_lines_of_carriage_returns_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "en.txt").write_bytes("\r".join(EN).encode())
        with pytest.raises(NeuroglotError, match="carriage return alone"):
            corpus(tmp_path).read("en")

    def test_a_nul_is_refused(self, tmp_path: Path) -> None:
        """As in UTF-16 without a byte order mark, which is valid UTF-8."""
        (tmp_path / "en.txt").write_bytes("\n".join(EN).encode("utf-16-le"))
        with pytest.raises(NeuroglotError, match=r"en\.txt: has a NUL character in line 1"):
            corpus(tmp_path).read("en")

    def test_a_language_without_text_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", en=with_ids(EN), de=["id\ttext"])
        with pytest.raises(NeuroglotError, match="'de' has no segment with text"):
            corpus(tmp_path, "tsv").read("de")


class TestTabSeparated:
    @pytest.mark.parametrize(
        "names",
        [
            *("id\ttext", "ID\tText", "segment\tsentence", "sentence_id\tde", "Sent-ID\tDeutsch"),
            *("key\tsource text", '"id"\t"text"', "ref\tsentence", "#\tsegment", "\ufeffid\ttext"),
        ],
    )
    def test_names_of_columns_are_skipped_with_a_note(self, tmp_path: Path, names: str) -> None:
        write(tmp_path, "tsv", de=[names, *with_ids(DE)])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading) == DE
        assert ids(reading)[0] == "1"
        assert reading.notes[0].startswith("skipped the first line, which names the columns: ")

    @pytest.mark.parametrize(
        "row", ["1\ttext", "s1\tText", "segment\tThis is a sentence of the text.", "intro\tHallo"]
    )
    def test_a_segment_is_no_header(self, tmp_path: Path, row: str) -> None:
        write(tmp_path, "tsv", de=[row, "x\tEins", "y\tZwei"])
        assert len(corpus(tmp_path, "tsv", pivot=None).read("de").segments) == 3

    def test_a_further_column_is_refused_or_named(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", de=[f"{i}\tde\t{text}" for i, text in enumerate(DE)])
        with pytest.raises(NeuroglotError, match="line 1 has 3 columns.*source: table, columns"):
            corpus(tmp_path, "tsv").read("de")
        columns = {"columns": ["id", "lang", "text"], "id_column": "id", "pivot": None}
        reading = corpus(tmp_path, "tsv", "table", **columns).read("de")
        assert texts(reading) == DE
        assert ids(reading)[:2] == ["0", "1"]

    @pytest.mark.parametrize("suffix", ["tsv", "csv"])
    def test_a_table_may_name_its_columns(self, tmp_path: Path, suffix: str) -> None:
        tab = "\t" if suffix == "tsv" else ","
        lines = [tab.join(row) for row in (("text", "key"), ('"Eins ""zwei"""', "7"), ("x", "8"))]
        write(tmp_path, suffix, de=lines)
        reading = corpus(tmp_path, suffix, "table", id_column="key", pivot=None).read("de")
        assert reading.segments == (("7", 'Eins "zwei"'), ("8", "x"))
        write(tmp_path, suffix, de=[*lines, "only one"])
        with pytest.raises(NeuroglotError, match=f"de.{suffix}: line 4 has 1 cells under 2 column"):
            corpus(tmp_path, suffix, "table", id_column="key").read("de")

    def test_a_cell_of_a_csv_file_may_have_several_lines(self, tmp_path: Path) -> None:
        write(tmp_path, "csv", de=["id,text", '1,"Eins,', 'zwei"', "2,drei"])
        reading = corpus(tmp_path, "csv", "table", id_column="id", pivot=None).read("de")
        assert texts(reading) == ["Eins,\nzwei", "drei"]
        write(tmp_path, "csv", de=["id,text", '1,"Eins'])
        with pytest.raises(NeuroglotError, match=r"de\.csv: line 2 is not CSV"):
            corpus(tmp_path, "csv", "table", id_column="id").read("de")

    def test_marks_of_a_program_are_removed_and_others_are_text(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", de=['1\t"Er sagte ""nein""."', "2\tPlain", '3\t"Ganz"'])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading) == ['Er sagte "nein".', "Plain", "Ganz"]
        assert "quotation marks" in reading.notes[0]
        write(tmp_path, "tsv", de=['1\t"Nein", sagte er.', "2\tPlain", '3\t"Ganz"'])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading) == ['"Nein", sagte er.', "Plain", '"Ganz"']
        assert reading.notes == (
            "took the quotation marks around 1 of 3 texts for the texts' own, since the others "
            "have none (line 3); remove them if a program wrote them",
        )
        write(tmp_path, "tsv", de=["id\ttext", '1\t"Eins"', '2\t"Zwei"'])
        assert texts(corpus(tmp_path, "tsv", pivot=None).read("de")) == ["Eins", "Zwei"]

    def test_a_quoted_cell_of_several_lines_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", de=['1\t"Er ""hier"""', '2\t"Eins', 'zwei"'])
        with pytest.raises(NeuroglotError, match="line 2: a quoted cell goes on in the next line"):
            corpus(tmp_path, "tsv").read("de")

    def test_ids_are_what_they_were_before_a_spreadsheet(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", en=with_ids(EN, "{:03d}"), de=with_ids(DE), fr=with_ids(DE, "{}.0"))
        for language in ("en", "de", "fr"):
            reading = corpus(tmp_path, "tsv").read(language)
            assert ids(reading) == [str(number) for number in range(1, 21)]
            assert not reading.notes
        write(tmp_path, "tsv", de=["007\ta", "7\tb"])
        with pytest.raises(NeuroglotError, match="'7' stands in lines 1 and 2"):
            corpus(tmp_path, "tsv").read("de")


class TestSharedIds:
    def test_a_missing_sentence_is_named(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", en=with_ids(EN), de=with_ids(DE)[:6] + with_ids(DE)[7:])
        reading = corpus(tmp_path, "tsv").read("de")
        assert reading.notes == ("lacks 1 of the 20 segments drawn of en: 7",)

    def test_less_than_half_is_refused(self, tmp_path: Path) -> None:
        other = [f"x{line}" for line in with_ids(DE)]
        write(tmp_path, "tsv", en=with_ids(EN), de=with_ids(DE)[:9] + other[9:])
        with pytest.raises(NeuroglotError, match="of the 20 .*'de' only 9 are in all of") as caught:
            corpus(tmp_path, "tsv").read("de")
        assert "less than half" in str(caught.value)
        write(tmp_path, "tsv", de=with_ids(DE)[:10] + other[10:])
        assert len(corpus(tmp_path, "tsv").read("de").segments) == 10

    def test_a_small_part_of_the_pivot_is_enough(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", en=with_ids(EN), de=with_ids(DE)[:4])
        assert len(corpus(tmp_path, "tsv").read("de").segments) == 4


class TestCodes:
    @pytest.mark.parametrize(
        ("language", "code"),
        [
            *(("en", "eng_Latn"), ("de", "deu"), ("zh", "cmn_Hans"), ("zh", "zh_CN")),
            *(("pt", "pt_BR"), ("ar", "arb_Arab"), ("et", "ekk_Latn"), ("zh", "cmn_Hani")),
            ("sr-latn", "sr@latin"),
        ],
    )
    def test_a_standard_spelling_is_recognised(
        self, tmp_path: Path, language: str, code: str
    ) -> None:
        write(tmp_path, **{code: EN})
        settings = corpus(tmp_path, parallel=False)
        assert settings.problems([language]) == []
        assert texts(settings.read(language)) == EN
        assert find_id(language, settings.available())

    @pytest.mark.parametrize(
        ("language", "code"), [("pt", "pt_PT"), ("en", "enm"), ("zh", "zh_TW"), ("pt-br", "pt")]
    )
    def test_another_language_is_not(self, tmp_path: Path, language: str, code: str) -> None:
        write(tmp_path, **{code: EN})
        (problem,) = corpus(tmp_path).problems([language])
        assert f"{language}.txt does not exist; files there are for: {code}; " in problem
        assert "codes: {xx: name}" in problem

    def test_two_spellings_are_refused_and_our_id_or_a_configured_code_wins(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path, deu=DE, deu_Latn=EN)
        (problem,) = corpus(tmp_path).problems(["de"])
        assert "deu and deu_Latn both spell it" in problem
        chosen = corpus(tmp_path, codes={"de": "deu_Latn"}, parallel=False)
        assert texts(chosen.read("de")) == EN
        write(tmp_path, de=[*reversed(DE)])
        assert texts(corpus(tmp_path, parallel=False).read("de")) == DE[::-1]

    def test_a_file_that_codes_give_to_another_language_is_not_taken(self, tmp_path: Path) -> None:
        write(tmp_path, deu=DE)
        settings = corpus(tmp_path, codes={"nds": "deu"})
        assert len(settings.problems(["de"])) == 1

    def test_one_code_for_two_languages_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="'de' and 'fr' have one code, 'x'"):
            corpus(tmp_path, codes={"de": "x", "fr": "x"})

    def test_spellings_are_recognised_in_a_column(self, tmp_path: Path) -> None:
        rows = [{"k": i, "lang": code, "text": f"{code} {i}"} for i in (1, 2) for code in
                ("deu", "eng_Latn", "spa")]  # fmt: skip
        path = tmp_path / "all.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = {"path": str(path), "id_column": "k", "language_column": "lang"}
        settings = corpus(tmp_path, "jsonl", "table", **given)
        assert texts(settings.read("de")) == ["deu 1", "deu 2"]
        assert texts(settings.read("en")) == ["eng_Latn 1", "eng_Latn 2"]
        with pytest.raises(NeuroglotError, match="'lang': unknown language code 'fr'"):
            settings.read("fr")
        path.write_text(
            "".join(json.dumps({**r, "lang": c}) + "\n" for r in rows for c in ("de", "deu"))
        )
        with pytest.raises(NeuroglotError, match="'de' and 'deu' both spell language 'de'"):
            settings.read("de")

    def test_a_folder_of_other_names_is_described(self, tmp_path: Path) -> None:
        (tmp_path / "german.tsv").write_text("1\ta\n")
        (problem,) = corpus(tmp_path).problems(["de"])
        assert problem.endswith(f"{tmp_path} holds german.tsv")

    @pytest.mark.parametrize("source", ["text"])
    def test_a_path_without_the_language_is_refused_in_words(
        self, tmp_path: Path, source: str
    ) -> None:
        with pytest.raises(ValidationError, match=r"must have \{language\} where the language's"):
            corpus(tmp_path, source=source, path="texts/de.txt")


class TestOtherHeaders:
    """First lines in words that nobody listed, told by their ids."""

    @pytest.mark.parametrize(
        "names", ["nummer\tsatz", "číslo\tvěta", "番号\t文", "n.\tOriginal text"]
    )
    @pytest.mark.parametrize("form", ["{}", "{:03}"])
    def test_an_id_that_is_no_number_among_numbers_names_columns(
        self, tmp_path: Path, names: str, form: str
    ) -> None:
        write(tmp_path, "tsv", de=[names, *with_ids(DE, form)])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading) == DE
        assert reading.notes == (
            f"skipped the first line ({names.replace(chr(9), ', ')}), which seems to name the "
            "columns: its id is no number, and all others are",
        )

    @pytest.mark.parametrize(
        ("first", "form"),
        [
            ("titel\tErklärung", "article-{}"),
            ("nummer\tsatz", "s{}"),
            ("intro\tDas ist ein ganzer Satz der Einleitung.", "{}"),
        ],
    )
    def test_where_it_may_be_a_segment_it_stays_with_a_note(
        self, tmp_path: Path, first: str, form: str
    ) -> None:
        write(tmp_path, "tsv", de=[first, *with_ids(DE, form)])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        name, _, text = first.partition("\t")
        assert texts(reading) == [text, *DE]
        assert reading.notes == (
            f"the id of the first line, {name!r}, has no digit, and all others have; if the line "
            "names the columns, remove it",
        )

    @pytest.mark.parametrize("first", ["0\tNull", "s0\tNull"])
    def test_an_id_with_a_digit_is_no_name(self, tmp_path: Path, first: str) -> None:
        write(tmp_path, "tsv", de=[first, *with_ids(DE)])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading) == ["Null", *DE]
        assert not reading.notes


class TestSingleQuotedCells:
    def test_marks_around_some_texts_stay_and_are_told(self, tmp_path: Path) -> None:
        rows = with_ids([*DE[:2], '"Ein Zitat."', *DE[3:9], '"Noch eins."', *DE[10:]])
        write(tmp_path, "tsv", de=["id\ttext", *rows])
        reading = corpus(tmp_path, "tsv", pivot=None).read("de")
        assert texts(reading)[2] == '"Ein Zitat."'
        assert reading.notes[1] == (
            "took the quotation marks around 2 of 21 texts for the texts' own, since the others "
            "have none (line 4, 11); remove them if a program wrote them"
        )

    def test_a_table_tells_them_too(self, tmp_path: Path) -> None:
        write(tmp_path, "tsv", de=["id\ttext", *with_ids(['"Ein Zitat."', *DE[1:]])])
        reading = corpus(tmp_path, "tsv", "table", id_column="id", parallel=False).read("de")
        assert texts(reading)[0] == '"Ein Zitat."'
        assert "around 1 of 21 texts" in reading.notes[0]

    def test_speech_within_a_text_is_not_told(self, tmp_path: Path) -> None:
        rows = with_ids(['"Ja", sagte er.', 'Er sagte: "Ja."', *DE[2:]])
        write(tmp_path, "tsv", de=rows)
        assert not corpus(tmp_path, "tsv", pivot=None).read("de").notes


TABLES = {
    "header": ["id,text", *(f"{i},{text}" for i, text in enumerate(DE))],
    "numbers": [f"{i},{text}" for i, text in enumerate(DE)],
    "quoted": [f'"s{i}","{text}"' for i, text in enumerate(DE)],
    "semicolons": ["nummer;satz", *(f"{i};{text}" for i, text in enumerate(DE))],
    "commas within": ["id,text", *(f'{i},"Ja, {text}"' for i, text in enumerate(DE))],
}


class TestCommas:
    """Comma-separated values under another name."""

    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize("suffix", ["txt", "tsv"])
    def test_they_are_refused_with_what_to_do(
        self, tmp_path: Path, table: str, suffix: str
    ) -> None:
        write(tmp_path, suffix, de=TABLES[table])
        with pytest.raises(
            NeuroglotError, match=rf"de\.{suffix}: looks like comma-separated"
        ) as told:
            corpus(tmp_path, suffix, pivot=None).read("de")
        assert "as a .csv file with source: table" in str(told.value)

    def test_format_lines_reads_them_as_they_stand(self, tmp_path: Path) -> None:
        write(tmp_path, de=TABLES["numbers"])
        reading = corpus(tmp_path, format="lines", pivot=None).read("de")
        assert texts(reading) == TABLES["numbers"]

    @pytest.mark.parametrize(
        "lines",
        [
            ["Ja, das ist wahr.", "Nein, das ist falsch.", "Gut, dann gehen wir."],
            ['"Ja", sagte er.', '"Nein", sagte sie.'],
            ['"Ja."', '"Nein."', '"Gut."'],
            ["2024, im Mai, kam er.", "2025, im Juni, ging er, sagt man."],
            ["1. Ja, gut.", "2. Nein, danke.", "3. Gut, ja."],
        ],
    )
    def test_prose_with_commas_is_text(self, tmp_path: Path, lines: list[str]) -> None:
        write(tmp_path, de=lines)
        assert texts(corpus(tmp_path, pivot=None).read("de")) == lines

    @pytest.mark.parametrize(
        ("suffix", "mark", "word"),
        [("tsv", ",", "commas"), ("csv", ";", "semicolons"), ("csv", "\t", "tabs")],
    )
    def test_a_table_of_other_marks_than_its_name_says_is_refused(
        self, tmp_path: Path, suffix: str, mark: str, word: str
    ) -> None:
        write(tmp_path, suffix, de=[f"id{mark}text", *(f"{i}{mark}a" for i in range(5))])
        given = {"id_column": "id", "parallel": False}
        with pytest.raises(
            NeuroglotError, match=rf"de\.{suffix}: its first line is one cell.* {word}"
        ):
            corpus(tmp_path, suffix, "table", **given).read("de")


class TestUnicode:
    VIETNAMESE = "Tất cả mọi người sinh ra đều được tự do"

    def test_text_is_composed_by_default_and_counted(self, tmp_path: Path) -> None:
        apart = unicodedata.normalize("NFD", self.VIETNAMESE)
        assert apart != self.VIETNAMESE
        write(tmp_path, vi=[apart, self.VIETNAMESE + "!"])
        reading = corpus(tmp_path, parallel=False).read("vi")
        assert texts(reading) == [self.VIETNAMESE, self.VIETNAMESE + "!"]
        assert reading.notes == ("1 of 2 segments changed in normalisation to NFC",)
        as_is = corpus(tmp_path, parallel=False, normalise="as_is").read("vi")
        assert texts(as_is) == [apart, self.VIETNAMESE + "!"]
        assert as_is.notes == ()

    def test_blanks_of_every_kind_go_from_the_ends(self, tmp_path: Path) -> None:
        write(tmp_path, fr=["\ufeff\u200b Un\u00a0deux ?\u202f", "\u200b\ufeff", "Trois\u00a0!"])
        reading = corpus(tmp_path, parallel=False).read("fr")
        assert reading.segments == (("000001", "Un\u00a0deux ?"), ("000003", "Trois\u00a0!"))
        assert "no-break blank in 2 segments" in reading.notes[0]
        assert reading.notes[1] == "left out without text: 000002"

    def test_joiners_that_belong_to_the_spelling_stay(self, tmp_path: Path) -> None:
        persian = "می\u200cخواهم"
        write(tmp_path, fa=[persian, f"{persian}\u200d"])
        reading = corpus(tmp_path, parallel=False).read("fa")
        assert texts(reading) == [persian, f"{persian}\u200d"]
        assert not reading.notes
