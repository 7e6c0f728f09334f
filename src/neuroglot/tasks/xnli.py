"""Rows of XNLI or of similar data, from the user's own files or a dataset of the Hub."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.hub import HubCorpus, check_pinned
from neuroglot.corpora.table import table_rows
from neuroglot.corpora.template import PLACE
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import LanguageId
from neuroglot.tasks.nli import LABELS, InferenceTask, tab_separated
from neuroglot.tasks.table import files_of


class XnliTask(InferenceTask):
    """Rows of XNLI, or of data like it: a premise, a hypothesis and a label.

    The language stands in exactly one place: in a path or name (`{language}`), or in a column of
    its own (`language_column`). Labels are written as words or as XNLI's numbers: 0 entailment,
    1 neutral, 2 contradiction.
    """

    source: Literal["xnli"] = Field(description="XNLI's files, or a dataset of the Hub.")
    path: str | None = Field(
        None,
        pattern=r"\.(parquet|tsv|jsonl)$",
        description="Path of the .parquet, .tsv or .jsonl file; may contain {language}.",
    )
    hub: str | None = Field(None, min_length=1, description="Hub id, or a local dataset's folder.")
    name: str | None = Field(
        None, description="Configuration's name in the dataset; may contain {language}."
    )
    split: str = Field("test", min_length=1, description="Split of the dataset to read.")
    revision: str | None = Field(
        None,
        pattern="^[0-9a-f]{40}$",
        description="Commit of the dataset; required unless `hub` is a folder.",
    )
    data_files: str | None = Field(
        None, description="File or pattern within the dataset; may contain {language}."
    )
    codes: dict[LanguageId, str] = Field(
        {}, description="The data's own code of a language where it is not our id."
    )
    premise_column: str = Field("premise", min_length=1, description="Column of the premise.")
    hypothesis_column: str = Field(
        "hypothesis", min_length=1, description="Column of the hypothesis."
    )
    label_column: str = Field("label", min_length=1, description="Column of the label.")
    id_column: str | None = Field(
        None, description="Column of the item id; row numbers if left out."
    )
    language_column: str | None = Field(
        None, description="Column of the language, where one table holds several."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path, for files, or hub, for a dataset")
        if self.hub is not None:
            check_pinned(self.hub, self.revision)
        elif self.name or self.data_files or self.revision:
            raise ValueError("name, data_files and revision belong to hub, not to path")
        names = [name for name in (self.path, self.name, self.data_files) if name is not None]
        if any(PLACE in name for name in names) == (self.language_column is not None):
            raise ValueError(
                f"the language must stand in one place: {PLACE} in a path or name, or "
                "language_column"
            )
        if self.language_column is not None and self.id_column is None:
            raise ValueError("id_column is required with language_column")
        return self

    def _dataset(self) -> HubCorpus:
        """Return a corpus of the same dataset, whose methods read its rows."""
        assert self.hub is not None
        return HubCorpus.model_construct(
            source="hub",
            path=self.hub,
            name=self.name,
            split=self.split,
            revision=self.revision,
            data_files=self.data_files,
            codes=self.codes,
        )

    def available(self) -> frozenset[str] | None:
        """Return the languages that have a file; None if they are known only after reading."""
        return files_of(self.path, self.codes).available() if self.path else None

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each missing file and each language without a prompt."""
        asked = list(language_ids)
        found = files_of(self.path, self.codes).problems(asked) if self.path else []
        for language_id in asked:
            try:
                self.wording(language_id)
            except NeuroglotError as error:
                found.append(str(error))
        return found

    def inputs(self, language_id: str) -> list[Path]:
        """Return the file that holds the language, or the files of a local dataset."""
        if self.path is None:
            return self._dataset().inputs(language_id)
        return files_of(self.path, self.codes).inputs(language_id)

    def leaf(self, language_id: str) -> dict[str, Any]:
        """Return the inputs of a language, with the names of a local dataset's files."""
        names = [] if self.hub is None else self._dataset().file_names()
        return {**super().leaf(language_id), "files": names}

    def sentences(self, language_id: str) -> Iterator[tuple[str, str, str, int]]:
        """Read one language's rows."""
        origin, rows = self._rows(language_id)
        code, others = self.codes.get(language_id, language_id), set()
        for number, row in enumerate(rows, start=1):
            where = f"{origin}: row {number}"
            if self.language_column:
                others.add(str(_cell(where, row, self.language_column)))
                if row[self.language_column] != code:
                    continue
            identifier = _cell(where, row, self.id_column) if self.id_column else f"{number:06d}"
            yield (
                str(identifier),
                _text(where, row, self.premise_column),
                _text(where, row, self.hypothesis_column),
                _label(where, row, self.label_column),
            )
        if self.language_column and code not in others:
            message = unknown_name("language code", code, others)
            raise NeuroglotError(
                f"{origin}: column {self.language_column!r}: {message}; "
                "`codes` can name the data's own code"
            )

    def _rows(self, language_id: str) -> tuple[str, Iterator[Mapping[str, Any]]]:
        if self.path is None:
            return str(self.hub), self._dataset().rows(language_id)
        (path,) = self.inputs(language_id)
        if path.suffix == ".tsv":
            return str(path), tab_separated(str(path), read_lines(path))
        columns = [self.premise_column, self.hypothesis_column, self.label_column]
        columns += [name for name in (self.id_column, self.language_column) if name is not None]
        return str(path), table_rows(path, columns)


def _cell(where: str, row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise NeuroglotError(f"{where}: {unknown_name('column', column, row)}")
    if row[column] is None or not str(row[column]).strip():
        raise NeuroglotError(f"{where}: column {column!r} is empty")
    return row[column]


def _text(where: str, row: Mapping[str, Any], column: str) -> str:
    value = _cell(where, row, column)
    if not isinstance(value, str):
        raise NeuroglotError(f"{where}: column {column!r} must hold text, found {value!r}")
    return value.strip()


def _label(where: str, row: Mapping[str, Any], column: str) -> int:
    """Read a label, written as a word or as XNLI's number."""
    value = _cell(where, row, column)
    written = [*LABELS, *map(str, range(len(LABELS)))]
    if str(value) not in written:
        raise NeuroglotError(
            f"{where}: column {column!r} must hold {', '.join(LABELS)} or 0, 1, 2 for them, "
            f"found {value!r}"
        )
    return written.index(str(value)) % len(LABELS)
