"""Read members of downloaded tarballs and wheels in memory; nothing is ever unpacked to disk."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from neuroglot.errors import NeuroglotError

LARGEST_MEMBER = 16 * 1024 * 1024  # bytes; far above any catalogue, far below a bomb


def read_tar(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Read the wanted files of a gzipped tarball.

    Returns:
        Contents by member name.

    Raises:
        NeuroglotError: The file is no such tarball, or holds a link, a device, an absolute path
            or a path with `..`, wanted or not.
    """
    found = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _check_name(archive, member.name)
                if not (member.isfile() or member.isdir()):
                    raise NeuroglotError(f"{archive}: {member.name} is neither file nor folder")
                _check_size(archive, member.name, member.size)
                stream = tar.extractfile(member) if wanted(member.name) else None
                if stream is not None:
                    found[member.name] = stream.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise NeuroglotError(f"{archive}: cannot be read as a tarball: {error}") from error
    return found


def read_zip(archive: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Read the wanted files of a zip archive, such as a wheel.

    Returns:
        Contents by member name.

    Raises:
        NeuroglotError: The file is no zip archive, or holds an absolute path or one with `..`.
    """
    found = {}
    try:
        with zipfile.ZipFile(archive) as package:
            for member in package.infolist():
                _check_name(archive, member.filename)
                if wanted(member.filename) and not member.is_dir():
                    _check_size(archive, member.filename, member.file_size)
                    found[member.filename] = package.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise NeuroglotError(f"{archive}: cannot be read as a zip archive: {error}") from error
    return found


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise NeuroglotError(f"{archive}: unsafe member path {name!r}; the archive is refused")


def _check_size(archive: Path, name: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise NeuroglotError(
            f"{archive}: {name} has {size} bytes, more than the {LARGEST_MEMBER} accepted"
        )
