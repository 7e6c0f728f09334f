"""The user's own Parquet or JSON-lines tables: one per language, or one for all languages."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from neuroglot.corpora.base import Segment
from neuroglot.corpora.columns import ColumnCorpus
from neuroglot.corpora.template import FileSource
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError, unknown_name


class TableCorpus(FileSource, ColumnCorpus):
    """Rows of Parquet or JSON-lines files."""

    source: Literal["table"] = Field(description="Parquet or JSON-lines files.")
    path: str = Field(
        pattern=r"\.(parquet|jsonl)$",
        description="Path of the .parquet or .jsonl file; may contain {language}.",
    )

    def _names(self) -> list[str]:
        return [self.path]

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        (path,) = self.inputs(language)
        return self.pick(str(path), table_rows(path, self.columns(language)), language), []


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
