"""Rows of tab- and comma-separated files: cells, quotation marks, a first line of names."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from neuroglot.errors import NeuroglotError

ID_NAMES = frozenset(
    {
        *("id", "ids", "uid", "guid", "key", "#", "no", "no.", "nr", "nr.", "number", "num"),
        *("index", "idx", "line", "row", "segment", "item", "name"),
    }
)
TEXT_NAMES = frozenset(
    {
        *("text", "sentence", "segment", "source", "target", "translation", "content", "string"),
        *("src", "tgt", "paragraph", "utterance"),
    }
)
LONGEST_NAME = 40  # characters of a column's name; a sentence has more


class Row(NamedTuple):
    """A line that is not blank: its number, its cells, and whether marks around one went."""

    line: int
    cells: list[str]
    quoted: bool


def tab_separated(path: Path, lines: Sequence[str]) -> list[Row]:
    """Split lines into cells.

    A quotation mark is plain text, unless a program wrote the table with quoted cells. It did if a
    cell in quotation marks has doubled marks within, or if in every line the last cell is in
    quotation marks. Then the marks around cells are removed.

    Raises:
        NeuroglotError: A quoted cell goes on in the next line.
    """
    cut = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    body = cut[1:] if len(cut) > 1 and is_header(cut[0][1]) else cut
    by_program = any(map(_has_doubled_marks, (cell for _, cells in body for cell in cells)))
    by_program |= len(body) > 1 and all(_in_marks(cells[-1]) for _, cells in body)
    if not by_program:
        return [Row(number, cells, False) for number, cells in cut]
    rows = []
    for number, cells in cut:
        for cell in cells:
            if cell.startswith('"') and cell.count('"') % 2:
                raise NeuroglotError(
                    f"{path}: line {number}: a quoted cell goes on in the next line: "
                    f"{cell[:80]!r}; write each segment on one line"
                )
        plain = [cell[1:-1].replace('""', '"') if _in_marks(cell) else cell for cell in cells]
        rows.append(Row(number, plain, plain != cells))
    return rows


def _in_marks(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _has_doubled_marks(cell: str) -> bool:
    """Whether all marks within a cell in quotation marks are doubled, and there are some."""
    within = cell[1:-1] if _in_marks(cell) else ""
    return '""' in within and '"' not in within.replace('""', "")


def is_header(cells: Sequence[str]) -> bool:
    """Whether a first line names columns: of an id (and no long text follows), or of a text."""
    if len(cells) < 2 or max(map(len, cells)) > LONGEST_NAME:
        return False
    first, *others = (re.sub(r"[\s-]+", "_", cell.strip(' "').casefold()) for cell in cells)
    if any(other.count("_") > 2 for other in others):
        return False  # four words are a sentence
    names_text = not TEXT_NAMES.isdisjoint(others) and bool(re.fullmatch(r"[^\W\d]+", first))
    return first in ID_NAMES or first.endswith("_id") or names_text


def separated_rows(
    path: Path, lines: Sequence[str], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Read the rows of a .tsv or .csv file by the names of their columns.

    Args:
        path: the file; in a .csv file cells are quoted as in RFC 4180, in a .tsv file as
            `tab_separated` says.
        lines: its lines.
        columns: the columns' names; if there are none, the first line has them.

    Raises:
        NeuroglotError: A line has more or fewer cells than there are names; a name stands twice.
    """
    rows = tab_separated(path, lines) if path.suffix == ".tsv" else _comma(path, lines)
    names = list(columns) if columns else [cell.strip() for cell in rows[0].cells]
    if len(set(names)) < len(names):
        raise NeuroglotError(f"{path}: two columns have one name: {', '.join(names)[:200]}")
    for number, cells, _ in rows[0 if columns else 1 :]:
        if len(cells) != len(names):
            raise NeuroglotError(
                f"{path}: line {number} has {len(cells)} cells under {len(names)} column names"
            )
        yield dict(zip(names, cells, strict=True))


def _comma(path: Path, lines: Sequence[str]) -> list[Row]:
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), strict=True)
    try:
        return [Row(reader.line_num, cells, False) for cells in reader if any(cells)]
    except csv.Error as error:
        raise NeuroglotError(f"{path}: line {reader.line_num} is not CSV: {error}") from error
