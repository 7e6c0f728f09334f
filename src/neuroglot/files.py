"""Writes files whole or not at all: a reader never sees half of one, nor does a later run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a place to write to, which becomes ``path`` when the block ends well.

    Args:
        path: of the file; its folder is made.
        suffix: of the temporary name, for libraries that look at it.

    Example:
        >>> with written_whole(path) as temporary:
        ...     table.to_csv(temporary)
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file's content whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
