"""Writes files whole or not at all, and tells when one has changed.

A reader never sees half of a file, nor does a later run.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Nanoseconds in which a file may change twice and its times only once, as clocks of networks tick.
TICK = 2_000_000_000

written: list[Path] = []
"""What commands of this process said they write: the error of a full disk rarely names a file."""


def to_write(path: Path) -> Path:
    """Say what a command is about to write, and give the path back."""
    written.append(path)
    return path


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


def state_of(file: Path) -> dict[str, int]:
    """What differs once a file was written or replaced, whatever its time was set to."""
    stat = file.stat()
    return {
        "size": stat.st_size,
        "mtime": stat.st_mtime_ns,
        "ctime": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }
