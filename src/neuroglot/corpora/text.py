"""The user's own text: one UTF-8 file per language, one segment per line."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroglot.corpora.base import Corpus, Segment
from neuroglot.corpora.template import FileSource
from neuroglot.errors import NeuroglotError

BYTE_ORDER_MARK = "\ufeff"


class TextCorpus(FileSource, Corpus):
    """Plain text, aligned by line number, or lines of an id, a tab and the text."""

    source: Literal["text"] = Field(description="UTF-8 files with a segment on each line.")
    path: str = Field(
        pattern=r"\{language\}", description="Path of a language's file, with {language} in it."
    )
    format: Literal["auto", "lines", "tsv"] = Field(
        "auto", description="lines, or tsv: id, tab, text; auto takes tsv for files named .tsv."
    )

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        (path,) = self.inputs(language)
        lines = read_lines(path)
        if self.format == "tsv" or (self.format == "auto" and path.suffix == ".tsv"):
            return _tab_separated(path, lines), []
        return [Segment(f"{number:06d}", line) for number, line in enumerate(lines, start=1)], []


def read_lines(path: Path) -> list[str]:
    r"""Read a UTF-8 file's lines, which end with \n or \r\n; drop a byte order mark.

    Raises:
        NeuroglotError: The file is missing, empty or not UTF-8.
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
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _tab_separated(path: Path, lines: list[str]) -> list[Segment]:
    numbers: dict[str, int] = {}
    segments = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        identifier, tab, text = line.partition("\t")
        identifier = identifier.strip()
        if not tab or not identifier:
            raise NeuroglotError(
                f"{path}: line {number} is not an id, a tab and a text: {line[:80]!r}"
            )
        if identifier in numbers:
            raise NeuroglotError(
                f"{path}: segment id {identifier!r} stands in lines {numbers[identifier]} and "
                f"{number}; ids must be distinct"
            )
        numbers[identifier] = number
        segments.append(Segment(identifier, text))
    return segments
