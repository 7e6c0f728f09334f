"""The user's own Parquet or JSON-lines tables: one per language, or one for all languages."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from neuroglot.corpora.base import Segment
from neuroglot.corpora.columns import ColumnCorpus
from neuroglot.corpora.template import PLACE
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError, unknown_name


class TableCorpus(ColumnCorpus):
    """Rows of Parquet or JSON-lines files."""

    source: Literal["table"] = Field(description="Parquet or JSON-lines files.")
    path: str = Field(
        pattern=r"\.(parquet|jsonl)$",
        description="Path of the .parquet or .jsonl file; may contain {language}.",
    )

    def _names(self) -> list[str]:
        return [self.path]

    def available(self) -> frozenset[str] | None:
        """Return the languages that have a file; None if one file holds all languages."""
        return self.spelt(self.path) if PLACE in self.path else None

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each missing file."""
        if PLACE in self.path:
            return self.missing_files(self.path, language_ids)
        exists = os.path.isfile(self.path)  # noqa: PTH113 - a name may be too long for a path
        return [] if exists else [f"{self.path} does not exist"]

    def inputs(self, language_id: str) -> list[Path]:
        """Return the file that holds the language."""
        return [Path(self.spell(self.path, language_id))]

    def segments(
        self,
        language_id: str,
        archive: Path | None = None,  # noqa: ARG002 (the user's own file)
    ) -> tuple[list[Segment], list[str]]:
        """Read one language's rows."""
        (path,) = self.inputs(language_id)
        rows = table_rows(path, self.columns(language_id))
        return self.pick(str(path), rows, language_id), []


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
    return _json_lines(path)


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


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_lines(path), start=1):
        try:
            row = json.loads(line)
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()  # fails with half a surrogate pair
        except (ValueError, RecursionError) as error:
            raise NeuroglotError(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise NeuroglotError(f"{path}: line {number} is not a JSON object")
        yield row
