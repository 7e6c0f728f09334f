"""The user's own tables (Parquet, JSON lines, TSV, CSV): one per language, or one for all."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from neuroglot.corpora.base import Segment
from neuroglot.corpora.columns import ColumnCorpus
from neuroglot.corpora.separated import separated_rows
from neuroglot.corpora.template import FileSource
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError, unknown_name

SUFFIXES = (".parquet", ".jsonl", ".tsv", ".csv")


def _readable(path: str) -> str:
    if not path.endswith(SUFFIXES):
        raise ValueError(f"a table's file ends with one of {', '.join(SUFFIXES)}")
    return path


class TableCorpus(FileSource, ColumnCorpus):
    """Rows of Parquet, JSON-lines, TSV or CSV files."""

    source: Literal["table"] = Field(description="Parquet, JSON-lines, TSV or CSV files.")
    path: Annotated[str, AfterValidator(_readable)] = Field(
        description="Path of the .parquet, .jsonl, .tsv or .csv file; may contain {language}.",
    )
    columns: tuple[str, ...] = Field(
        (),
        description="Names of the columns, in order, of a .tsv or .csv file whose first line does "
        "not name them.",
    )

    @model_validator(mode="after")
    def _names_columns(self) -> Self:
        if self.columns and not self.path.endswith((".tsv", ".csv")):
            raise ValueError("columns: only .tsv and .csv files can lack names of their columns")
        return self

    def _names(self) -> list[str]:
        return [self.path]

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        (path,) = self.inputs(language)
        if path.suffix in (".tsv", ".csv"):
            rows, notes = separated_rows(path, read_lines(path), self.columns)
        else:
            rows, notes = table_rows(path, self.read_columns(language)), []
        return self.pick(str(path), rows, language), notes


def table_rows(
    path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Read the rows of a .parquet or .jsonl file; from Parquet, only the named columns.

    Args:
        path: the file.
        columns: columns that the file must have.
        optional: columns that are read if the file has them.

    Raises:
        NeuroglotError: The file cannot be read, or a Parquet file lacks one of `columns`.
    """
    if path.suffix == ".parquet":
        return _parquet(path, columns, optional)
    return (
        json_object(f"{path}: line {number}", line)
        for number, line in enumerate(read_lines(path), start=1)
    )


def _parquet(
    path: Path, columns: Sequence[str], optional: Sequence[str]
) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for column in columns:
                if column not in file.schema_arrow.names:
                    message = unknown_name("column", column, file.schema_arrow.names)
                    raise NeuroglotError(f"{path}: {message}")
            held = [column for column in optional if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=[*columns, *held]):
                yield from batch.to_pylist()
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:  # or single values
        raise NeuroglotError(f"{path}: cannot be read as Parquet: {error}") from error


def json_object(where: str, line: str) -> dict[str, Any]:
    """Read a line of JSON.

    Raises:
        NeuroglotError: It is not a JSON object; begins with ``where``.
    """
    try:
        row = json.loads(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # fails with half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise NeuroglotError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise NeuroglotError(f"{where} is not a JSON object")
    return row
