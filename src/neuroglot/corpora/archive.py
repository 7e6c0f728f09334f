"""Reads members of downloaded tarballs and wheels in memory; nothing is unpacked to disk."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from neuroglot.errors import NeuroglotError
from neuroglot.packages import UNREADABLE

LARGEST_MEMBER = 16 * 1024 * 1024  # bytes; far above any catalogue, far below a zip bomb
LARGEST_READ = LARGEST_MEMBER  # bytes at once; tarfile trusts the sizes in headers
LARGEST_ARCHIVE = 512 * 1024 * 1024  # bytes: a tarball's members, or the members read from a wheel


class _Gzip(gzip.GzipFile):
    """A gzip stream that refuses to read more than LARGEST_READ bytes in one call."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def read_tar(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Read the wanted files of a gzipped tarball.

    Returns:
        Contents by member name.

    Raises:
        NeuroglotError: The file is not such a tarball or too large; or any member is a link, a
            device or too large, or has an absolute path or a path with `..`.
    """
    contents = {}
    try:
        with _Gzip(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                _check_size(archive, f"all up to {member.name}", tar.offset, LARGEST_ARCHIVE)
                _check_name(archive, member.name)
                if not (member.isfile() or member.isdir()):
                    raise NeuroglotError(
                        f"{archive}: {member.name[:200]} is neither file nor folder"
                    )
                _check_size(archive, member.name, member.size, LARGEST_MEMBER)
                file = tar.extractfile(member) if wanted(member.name) else None
                if file is not None:
                    contents[member.name] = file.read()
            if len(stream.read(LARGEST_READ)) == LARGEST_READ:  # checks the checksum at the end
                raise tarfile.ReadError("it goes on after its end")
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise NeuroglotError(f"{archive}: cannot be read as a tarball: {error}") from error
    return contents


def read_zip(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Read the wanted files of a zip archive, such as a wheel.

    Returns:
        Contents by member name.

    Raises:
        NeuroglotError: The file is not a zip archive; a member has an absolute path or a path with
            `..`; a wanted member, or all together, are too large.
    """
    contents, size = {}, 0
    try:
        with zipfile.ZipFile(archive) as package:
            for member in package.infolist():
                _check_name(archive, member.filename)
                if wanted(member.filename) and not member.is_dir():
                    _check_size(archive, member.filename, member.file_size, LARGEST_MEMBER)
                    size += member.file_size
                    _check_size(archive, "what is wanted of it", size, LARGEST_ARCHIVE)
                    contents[member.filename] = package.read(member)
    except UNREADABLE as error:
        raise NeuroglotError(f"{archive}: cannot be read as a zip archive: {error}") from error
    return contents


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise NeuroglotError(
            f"{archive}: unsafe member path {name[:200]!r}; the archive is refused"
        )


def _check_size(archive: Path, name: str, size: int, largest: int) -> None:
    if size > largest:
        raise NeuroglotError(
            f"{archive}: {name[:200]} has {size} bytes, more than the {largest} accepted"
        )
