"""Base classes of tables and Hub datasets: the columns of id, text and language."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from neuroglot.corpora.base import Corpus, Segment, standard_id
from neuroglot.corpora.template import PLACE, TemplateSource
from neuroglot.errors import NeuroglotError, unknown_name

Row = Mapping[str, Any]


class RowSource(TemplateSource):
    """A source of rows with named columns, which may hold several languages."""

    id_column: str | None = Field(None, description="Column of the id; row numbers if left out.")
    language_column: str | None = Field(
        None, description="Column of the language, where one table holds several."
    )

    @model_validator(mode="after")
    def _rows_have_ids(self) -> Self:
        if self.language_column is not None and self.id_column is None:
            raise ValueError("id_column is required with language_column")
        return self

    def rows_of(
        self, language: str, origin: str, rows: Iterable[Row]
    ) -> Iterator[tuple[str, str, Row]]:
        """Choose a language's rows; yield each one's place for messages, its id, and the row.

        Raises:
            NeuroglotError: A column is missing, an id is empty, or no row has the language.
        """
        others: set[str] = set()
        code: str | None = None  # the one by which the rows name the language
        for number, row in enumerate(rows, start=1):
            where = f"{origin}: row {number}"
            if self.language_column:
                written = str(cell(where, row, self.language_column))
                if written != code and (written in others or not self.has_code(written, language)):
                    others.add(written)
                    continue
                if code not in (None, written):
                    raise NeuroglotError(
                        f"{where}: column {self.language_column!r}: {code!r} and {written!r} both "
                        f"spell language {language!r}; name one under codes"
                    )
                code = written
            identifier = f"{number:06d}"
            if self.id_column:
                identifier = standard_id(str(filled(where, row, self.id_column)))
            yield where, identifier, row
        if others and code is None:
            message = unknown_name("language code", self.code(language), others)
            raise NeuroglotError(
                f"{origin}: column {self.language_column!r}: {message}; "
                "`codes` can name the data's own code"
            )


class ColumnCorpus(RowSource, Corpus):
    """A corpus of rows with named columns.

    The language stands in exactly one place: in a path or name (`{language}`), in the name of the
    text column (`text_{language}`), or in a column of its own (`language_column`).
    """

    text_column: str = Field(
        "text", min_length=1, description="Column of the text; may contain {language}."
    )

    @property
    def numbered(self) -> bool:
        """Whether rows have no ids, so that row n has to be the translation of row n."""
        return self.id_column is None and PLACE not in self.text_column

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the paths and names that may contain {language}."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        places = [
            any(PLACE in name for name in self._names()),
            PLACE in self.text_column,
            self.language_column is not None,
        ]
        if sum(places) != 1:
            raise ValueError(
                f"the language must stand in one place, found {sum(places)}: {PLACE} in a path or "
                f"name, {PLACE} in text_column, or language_column"
            )
        return self

    def read_columns(self, language: str) -> list[str]:
        """Return the columns to read for a language."""
        names = [self.id_column, self.spell(self.text_column, language), self.language_column]
        return [name for name in names if name is not None]

    def pick(self, origin: str, rows: Iterable[Row], language: str) -> list[Segment]:
        """Take a language's segments from rows; stop after `last_segment` segments with text.

        Raises:
            NeuroglotError: As `rows_of`; or a text is not a string.
        """
        text_column = self.spell(self.text_column, language)
        segments: list[Segment] = []
        with_text = 0
        for where, identifier, row in self.rows_of(language, origin, rows):
            text = cell(where, row, text_column)
            if not isinstance(text, str | None):
                raise NeuroglotError(
                    f"{where}: column {text_column!r} holds {type(text).__name__}, not text"
                )
            segments.append(Segment(identifier, text or ""))
            with_text += bool(text and text.strip())
            if with_text == self.last_segment:
                break
        return segments


def cell(where: str, row: Row, column: str) -> Any:
    """Return a row's value in a column.

    Raises:
        NeuroglotError: There is no such column; begins with ``where``.
    """
    if column not in row:
        raise NeuroglotError(f"{where}: {unknown_name('column', column, row)}")
    return row[column]


def filled(where: str, row: Row, column: str) -> Any:
    """Return a row's value in a column, which must not be empty.

    Raises:
        NeuroglotError: There is no such column, or its value is empty; begins with ``where``.
    """
    content = cell(where, row, column)
    if content is None or not str(content).strip():
        raise NeuroglotError(f"{where}: column {column!r} is empty")
    return content
