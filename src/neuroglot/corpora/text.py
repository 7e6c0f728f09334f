"""The user's own text: one UTF-8 file per language, one segment per line."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from neuroglot.corpora.base import Corpus, Segment, standard_id
from neuroglot.corpora.separated import separator, tab_separated, without_header
from neuroglot.corpora.template import FileSource, with_place
from neuroglot.errors import NeuroglotError

BYTE_ORDER_MARK = "\ufeff"


class TextCorpus(FileSource, Corpus):
    """Plain text, aligned by line number, or lines of an id, a tab and the text."""

    source: Literal["text"] = Field(description="UTF-8 files with a segment on each line.")
    path: Annotated[str, AfterValidator(with_place)] = Field(
        description="Path of a language's file, with {language} in it."
    )
    format: Literal["auto", "lines", "tsv"] = Field(
        "auto", description="lines, or tsv: id, tab, text; auto takes tsv for files named .tsv."
    )

    @property
    def numbered(self) -> bool:
        """Whether lines have no ids, so that line n has to be the translation of line n."""
        return not self._has_ids

    @property
    def _has_ids(self) -> bool:
        return self.format == "tsv" or (self.format == "auto" and self.path.endswith(".tsv"))

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        (path,) = self.inputs(language)
        lines = read_lines(path)
        if self._has_ids:
            return _with_ids(path, lines)
        if self.format == "auto" and all("\t" in line for line in lines if line.strip()):
            raise NeuroglotError(
                f"{path}: every line has a tab; set format: tsv if it stands between an id and a "
                "text, or format: lines if it belongs to the text"
            )
        if self.format == "auto":
            _refuse_commas(path, lines, "or set format: lines if the commas belong to the texts")
        return [Segment(f"{number:06d}", line) for number, line in enumerate(lines, start=1)], []


def read_lines(path: Path) -> list[str]:
    r"""Read a UTF-8 file's lines, which end with \n or \r\n; drop a byte order mark.

    Raises:
        NeuroglotError: The file is missing, empty or not UTF-8, has a NUL, or its lines end with
            \r alone.
    """
    try:
        text = path.read_bytes().decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise NeuroglotError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise NeuroglotError(
            f"{path}: is not UTF-8 at byte {error.start}, line {line}; convert it to UTF-8"
        ) from error
    if not text.strip():
        raise NeuroglotError(f"{path}: is empty")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise NeuroglotError(
            f"{path}: has a NUL character in line {line}, as UTF-16 has; convert it to UTF-8"
        )
    if "\r" in text and "\n" not in text:
        raise NeuroglotError(
            f"{path}: its lines end with a carriage return alone; convert them to line feeds"
        )
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _refuse_commas(path: Path, lines: list[str], otherwise: str) -> None:
    """Refuse comma-separated values, of which each line would be one text."""
    if separator(lines):
        first = next(line for line in lines if line.strip())
        raise NeuroglotError(
            f"{path}: looks like comma-separated values ({first[:80]!r}, …), and each line would "
            f"be read as one text; read it as a .csv file with source: table, {otherwise}"
        )


def _with_ids(path: Path, read: list[str]) -> tuple[list[Segment], list[str]]:
    """Make segments of lines of an id and a text; skip a line of column names, with a note."""
    lines: dict[str, int] = {}
    segments = []
    if not any("\t" in line for line in read):
        _refuse_commas(path, read, "or write an id, a tab and the text on each line")
    split, notes_on_marks = tab_separated(path, read)
    rows, notes = without_header(split)
    for number, cells in rows:
        if len(cells) < 2 or not cells[0].strip():
            raise NeuroglotError(
                f"{path}: line {number} is not an id, a tab and a text: {cells[0][:80]!r}"
            )
        if any(cell.strip() for cell in cells[2:]):
            raise NeuroglotError(
                f"{path}: line {number} has {len(cells)} columns, and a text has an id and a text: "
                f"{cells[2][:80]!r}; remove the others, or name them: source: table, columns: "
                "[id, …, text]"
            )
        identifier = standard_id(cells[0])
        if identifier in lines:
            raise NeuroglotError(
                f"{path}: segment id {identifier!r} stands in lines {lines[identifier]} and "
                f"{number}; ids must be distinct"
            )
        lines[identifier] = number
        segments.append(Segment(identifier, cells[1]))
    return segments, [*notes, *notes_on_marks]
