"""Writes files whole or not at all.

Readers and later runs never see half a file.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

written: list[Path] = []
"""Paths that this process writes, for messages: errors of a full disk rarely name a file."""


def to_write(path: Path) -> Path:
    """Note a path that a command is about to write, and return the path."""
    written.append(path)
    return path


@contextmanager
def written_whole(path: Path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path, which is renamed to ``path`` if the block ends without an error.

    Args:
        path: the file's path; its folder is made.
        suffix: suffix of the temporary name, for libraries that need one.

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
