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
SHOWN_LINES = 5


class Row(NamedTuple):
    """A line that is not blank: its number and its cells."""

    line: int
    cells: list[str]


def tab_separated(path: Path, lines: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Split lines into cells; return them and notes.

    A quotation mark is plain text, unless a program wrote the table with quoted cells. It did if a
    cell in quotation marks has doubled marks within, or if in every line the last cell is in
    quotation marks. Then the marks around cells are removed. A note tells of either.

    Raises:
        NeuroglotError: A quoted cell goes on in the next line.
    """
    cut = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    body = cut[1:] if len(cut) > 1 and is_header(cut[0][1]) else cut
    by_program = any(map(_has_doubled_marks, (cell for _, cells in body for cell in cells)))
    by_program |= len(body) > 1 and all(_in_marks(cells[-1]) for _, cells in body)
    if not by_program:
        return [Row(*line) for line in cut], _kept_marks(cut)
    rows = []
    for number, cells in cut:
        for cell in cells:
            if cell.startswith('"') and cell.count('"') % 2:
                raise NeuroglotError(
                    f"{path}: line {number}: a quoted cell goes on in the next line: "
                    f"{cell[:80]!r}; write each segment on one line"
                )
        plain = [cell[1:-1].replace('""', '"') if _in_marks(cell) else cell for cell in cells]
        rows.append(Row(number, plain))
    return rows, ["took quotation marks around cells for those of a table, and removed them"]


def _kept_marks(cut: Sequence[tuple[int, list[str]]]) -> list[str]:
    """Note the cells in quotation marks, of which the marks may be a program's after all."""
    marked = [str(number) for number, cells in cut if any(map(_in_marks, cells[1:]))]
    if not marked:
        return []
    shown = ", ".join(marked[:SHOWN_LINES]) + (", …" if len(marked) > SHOWN_LINES else "")
    return [
        f"took the quotation marks around {len(marked)} of {len(cut)} texts for the texts' own, "
        f"since the others have none (line {shown}); remove them if a program wrote them"
    ]


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


def without_header(rows: Sequence[Row]) -> tuple[Sequence[Row], list[str]]:
    """Leave out a first line that names an id's and a text's columns; return the rows and notes.

    A line of other words than the known ones is one of names if its id is no number and all others
    are. If its id merely has no digit and all others have, a note asks.
    """
    if not rows or is_header(rows[0].cells):
        named = [", ".join(row.cells) for row in rows[:1]]
        return rows[1:], [f"skipped the first line, which names the columns: {n}" for n in named]
    first, *texts = rows[0].cells
    others = [row.cells[0].strip() for row in rows[1:]]
    digits = [any(map(str.isdecimal, identifier)) for identifier in (first, *others)]
    if len(others) < 2 or digits[0] or not all(digits[1:]) or not first.strip():
        return rows, []
    short = all(len(text) <= LONGEST_NAME and len(text.split()) <= 3 for text in texts)
    if short and texts and all(map(str.isdecimal, others)):
        return rows[1:], [
            f"skipped the first line ({', '.join(rows[0].cells)}), which seems to name the columns:"
            " its id is no number, and all others are"
        ]
    return rows, [
        f"the id of the first line, {first[:LONGEST_NAME]!r}, has no digit, and all others have; "
        "if the line names the columns, remove it"
    ]


def separator(lines: Sequence[str]) -> str | None:
    """The mark that separates cells if lines look like comma-separated values; None if they do not.

    They do if all lines have equally many cells, and the first names columns, or each other begins
    with a number of its own, or all lines are in quotation marks.
    """
    filled = [line for line in lines if line.strip()]
    for mark in ",;":
        try:
            rows = list(csv.reader(filled, delimiter=mark, strict=True))
        except csv.Error:
            continue
        if len(rows) < 2 or {len(cells) for cells in rows} in ({1}, {0}):
            continue
        if len({len(cells) for cells in rows}) == 1 and (
            is_header(rows[0]) or _numbered(rows) or all(map(_in_marks, map(str.strip, filled)))
        ):
            return mark
    return None


def _numbered(rows: Sequence[Sequence[str]]) -> bool:
    """Whether all rows but the first begin with a whole number of their own."""
    numbers = [cells[0].strip() for cells in rows[1:]]
    return (
        len(numbers) > 1 and len(set(numbers)) == len(numbers) and all(map(str.isdecimal, numbers))
    )


def separated_rows(
    path: Path, lines: Sequence[str], columns: Sequence[str]
) -> tuple[Iterator[dict[str, Any]], list[str]]:
    """Read the rows of a .tsv or .csv file by the names of their columns; return them and notes.

    Args:
        path: the file; in a .csv file cells are quoted as in RFC 4180, in a .tsv file as
            `tab_separated` says.
        lines: its lines.
        columns: the columns' names; if there are none, the first line has them.

    Raises:
        NeuroglotError: A line has more or fewer cells than there are names; a name stands twice;
            cells are separated by another mark than the file's name says.
    """
    is_tsv = path.suffix == ".tsv"
    rows, notes = tab_separated(path, lines) if is_tsv else (_comma(path, lines), [])
    names = list(columns) if columns else [cell.strip() for cell in rows[0].cells]
    if len(set(names)) < len(names):
        raise NeuroglotError(f"{path}: two columns have one name: {', '.join(names)[:200]}")
    if len(rows[0].cells) == 1 and (
        others := [mark for mark in "\t,;" if mark in rows[0].cells[0]]
    ):
        raise NeuroglotError(
            f"{path}: its first line is one cell, {rows[0].cells[0][:80]!r}, and has "
            f"{_MARKS[others[0]]}: in a .tsv file tabs stand between cells, in a .csv file commas; "
            "rename or convert it"
        )
    return _by_name(path, rows[0 if columns else 1 :], names), notes


_MARKS = {"\t": "tabs", ",": "commas", ";": "semicolons"}


def _by_name(path: Path, rows: Sequence[Row], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number, cells in rows:
        if len(cells) != len(names):
            raise NeuroglotError(
                f"{path}: line {number} has {len(cells)} cells under {len(names)} column names"
            )
        yield dict(zip(names, cells, strict=True))


def _comma(path: Path, lines: Sequence[str]) -> list[Row]:
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), strict=True)
    try:
        return [Row(reader.line_num, cells) for cells in reader if any(cells)]
    except csv.Error as error:
        raise NeuroglotError(f"{path}: line {reader.line_num} is not CSV: {error}") from error
