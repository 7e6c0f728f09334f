"""Base class of tables and Hub datasets: the columns of segment, text and language."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from neuroglot.corpora.base import Segment
from neuroglot.corpora.template import PLACE, TemplateCorpus
from neuroglot.errors import NeuroglotError, unknown_name


class ColumnCorpus(TemplateCorpus):
    """A corpus of rows with named columns.

    The language stands in exactly one place: in a path or name (`{language}`), in the name of the
    text column (`text_{language}`), or in a column of its own (`language_column`).
    """

    text_column: str = Field(
        "text", min_length=1, description="Column of the text; may contain {language}."
    )
    id_column: str | None = Field(
        None, description="Column of the segment id; row numbers if left out."
    )
    language_column: str | None = Field(
        None, description="Column of the language, where one table holds several."
    )

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
        if self.language_column is not None and self.id_column is None:
            raise ValueError("id_column is required with language_column")
        return self

    def columns(self, language_id: str) -> list[str]:
        """Return the columns to read for a language."""
        names = [self.id_column, self.spell(self.text_column, language_id), self.language_column]
        return [name for name in names if name is not None]

    def pick(
        self, origin: str, rows: Iterable[Mapping[str, Any]], language_id: str
    ) -> list[Segment]:
        """Take a language's segments from rows; stop after `last_segment` segments with text.

        Raises:
            NeuroglotError: A column is missing, a text is not a string, an id is empty, or no row
                has the language.
        """
        text_column = self.spell(self.text_column, language_id)
        segments: list[Segment] = []
        others: set[str] = set()
        texts = 0
        for number, row in enumerate(rows, start=1):
            self._check_row(origin, number, row, language_id)
            if self.language_column and row[self.language_column] != self.code(language_id):
                others.add(str(row[self.language_column]))
                continue
            identifier = str(row[self.id_column]) if self.id_column else f"{number:06d}"
            segments.append(Segment(identifier, row[text_column] or ""))
            texts += bool((row[text_column] or "").strip())
            if texts == self.last_segment:
                break
        if not segments and others:
            message = unknown_name("language code", self.code(language_id), others)
            raise NeuroglotError(
                f"{origin}: column {self.language_column!r}: {message}; "
                "`codes` can name the corpus's own code"
            )
        return segments

    def _check_row(
        self, origin: str, number: int, row: Mapping[str, Any], language_id: str
    ) -> None:
        for column in self.columns(language_id):
            if column not in row:
                raise NeuroglotError(
                    f"{origin}: row {number}: {unknown_name('column', column, row)}"
                )
        text = row[self.spell(self.text_column, language_id)]
        if not isinstance(text, str | None):
            raise NeuroglotError(
                f"{origin}: row {number}: column {self.spell(self.text_column, language_id)!r} "
                f"holds {type(text).__name__}, not text"
            )
        if self.id_column and row[self.id_column] is None:
            raise NeuroglotError(f"{origin}: row {number}: column {self.id_column!r} is empty")
