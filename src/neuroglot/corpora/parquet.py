"""The Parquet file of one language's text or task: columns, notes, a digest of both and a key."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroglot.errors import NeuroglotError
from neuroglot.files import written_whole

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R")


def write_table(
    table: "pa.Table", notes: Sequence[str], content: str, path: Path, key: str
) -> None:
    """Write a table with notes and a digest of its content, whole or not at all.

    ``key`` is that of all that the table was made from. Equal arguments give equal bytes.
    """
    import pyarrow.parquet as pq

    about = {"notes": json.dumps(list(notes), ensure_ascii=False), "content": content, "key": key}
    metadata = {**(table.schema.metadata or {}), **about}
    with written_whole(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, compression="zstd")


def read_table(
    path: Path,
    noun: str,
    parse: Callable[["pa.Table", tuple[str, ...]], R],
    content_of: Callable[[R], str],
) -> R:
    """Read a file of `write_table`, which holds a ``noun``.

    ``parse`` makes the result of columns and notes, ``content_of`` computes a result's digest.

    Raises:
        NeuroglotError: The file is missing, damaged or was not written by `write_table`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # read_table needs imports of a quarter of a second
            table = file.read()
        metadata = table.schema.metadata or {}
        reading = parse(table, tuple(json.loads(metadata[b"notes"])))
        whole = content_of(reading) == metadata[b"content"].decode()
    except (OSError, KeyError, ValueError, TypeError, MemoryError, pa.ArrowException) as error:
        raise NeuroglotError(f"{path}: is not a {noun} file of this workflow: {error}") from error
    if not whole:
        raise NeuroglotError(f"{path} is damaged; remove it and run the workflow again")
    return reading


def key_of(path: Path) -> str | None:
    """Read the key of what a file was made from; None if there is no such file or it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata: dict[bytes, bytes] = pq.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return metadata.get(b"key", b"").decode("utf-8", "replace")
