"""Whose results a folder holds: the configuration that made them, and what another would overwrite.

An id names a folder, so a second configuration that means another text or model by it would replace
the first one's results without a word. What ids stand for is kept beside the results, in
``configuration.json``. A text of which more is read, or in another way, is the same text, whose
results are brought up to date as usual.
"""

import json
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot.models.source import ModelSettings
from neuroglot.sources import Source
from neuroglot.store import write_json

CONFIGURATION = "configuration.json"
PACKAGES = (
    "neuroglot",
    "numpy",
    "snakemake",
    "tokenizers",
    "torch",
    "transformers",
    "xarray",
    "zarr",
)
# Texts and tasks share the folders of their stores, and so their ids.
RIVALS = {"models": ("models",), "corpora": ("corpora", "tasks"), "tasks": ("corpora", "tasks")}
STORES = ("tokens", "activations", "states")

# What a configuration's ids stand for, by its sections models, corpora and tasks.
Sections = Mapping[str, Mapping[str, ModelSettings | Source]]


class Owned(BaseModel):
    """What an id stands for, and the configuration's files that say so."""

    model_config = ConfigDict(frozen=True)

    origin: dict[str, str | None]
    files: tuple[str, ...]


class Kept(BaseModel):
    """What is kept of the configuration that results were made with.

    Attributes:
        configuration: as it was read, without what it leaves to defaults.
        files: its files.
        versions: of Python and of the packages that numbers depend on most.
        owned: by section and id; of earlier configurations too.
    """

    model_config = ConfigDict(frozen=True)

    configuration: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    owned: dict[str, dict[str, Owned]] = {}


def read_kept(results: Path) -> Kept:
    """Read what is kept; nothing where results have no ``configuration.json`` or a damaged one."""
    try:
        return Kept.model_validate_json((results / CONFIGURATION).read_bytes())
    except (OSError, ValidationError):
        return Kept()


def remember(
    results: Path, configuration: Mapping[str, Any], files: Sequence[Path], named: Sections
) -> None:
    """Keep the configuration that results are made with, and what its ids stand for.

    The file is written whole, and only if something changes. Ids of earlier configurations are kept
    while their results are there.

    Args:
        results: the folder of results.
        configuration: as it was read.
        files: the configuration's files.
        named: what its ids stand for.
    """
    earlier, names = read_kept(results), tuple(map(str, files))
    owned: dict[str, dict[str, Owned]] = {kind: {} for kind in named}
    for kind, one, entry in _there(results, earlier):
        owned[kind][one] = entry
    for kind, ids in named.items():
        owned[kind] |= {
            one: Owned(origin=_origin(results, what), files=names) for one, what in ids.items()
        }
    kept = Kept(
        configuration=json.loads(json.dumps(configuration, default=str)),
        files=names,
        versions=dict(versions()),
        owned=owned,
    )
    if kept != earlier:
        results.mkdir(parents=True, exist_ok=True)
        write_json(results / CONFIGURATION, kept.model_dump(mode="json"))


def clashes(results: Path, files: Sequence[Path], named: Sections) -> list[str]:
    """Word one message for each id whose results are of another text, task or model.

    Args:
        results: the folder of results.
        files: the configuration's files, for the messages.
        named: what the configuration's ids stand for.
    """
    found = []
    for kind, one, entry in _there(results, read_kept(results)):
        for asked in RIVALS[kind]:
            what = named[asked].get(one)
            if what is not None and (asked, _origin(results, what)) != (kind, entry.origin):
                removed = shlex.join(["rm", "-r", *map(str, _folders(results, kind, one))])
                found.append(
                    f"{asked}.{one}: {results / kind / one} was made from {_said(entry.origin)} "
                    f"({', '.join(entry.files)}), and this configuration would replace it with "
                    f"{_said(_origin(results, what))}. Give it another id; or keep both: "
                    f"{_elsewhere(files, what)}; or replace it: {removed}"
                )
    return found


def _elsewhere(files: Sequence[Path], what: ModelSettings | Source) -> str:
    """How to run a configuration in another folder."""
    options = [part for file in files for part in ("--configfile", str(file))]
    command = shlex.join(["snakemake", "--cores", "all", "--directory", "FOLDER", *options])
    places = [place for place in what.origin().values() if isinstance(place, Path)]
    if all(place.is_absolute() for place in places):
        return command
    return f"{command} (with absolute paths in it: relative ones start in FOLDER)"


def _said(origin: Mapping[str, str | None]) -> str:
    first = sorted(origin.items(), key=lambda pair: pair[0] != "source")
    return ", ".join(f"{key}: {value}" for key, value in first if value is not None)


def _origin(results: Path, what: ModelSettings | Source) -> dict[str, str | None]:
    """Where something comes from, with paths that hold when the whole project is moved."""
    project = results.absolute().parent.resolve()

    def placed(path: Path) -> str:
        found = (project / path).resolve()
        return str(found.relative_to(project) if found.is_relative_to(project) else found)

    return {
        key: placed(value) if isinstance(value, Path) else value
        for key, value in what.origin().items()
    }


def _there(results: Path, kept: Kept) -> Iterator[tuple[str, str, Owned]]:
    """Section, id and entry of what is known and still there."""
    for kind in RIVALS:
        for one, entry in kept.owned.get(kind, {}).items():
            folder = results / kind / one
            # Snakemake leaves an empty folder where a job failed.
            if folder.is_dir() and any(folder.iterdir()):
                yield kind, one, entry


def _folders(results: Path, kind: str, one: str) -> list[Path]:
    """All folders of results that an id names."""
    if kind == "models":
        return sorted(path for path in results.glob(f"*/{one}") if path.parent.name != "logs")
    stores = [path for store in STORES for path in results.glob(f"{store}/*/{one}")]
    return [results / kind / one, *sorted(stores)]


def versions() -> Iterator[tuple[str, str]]:
    """Give Python's version and those of the packages that numbers depend on most."""
    yield "python", platform.python_version()
    for name in PACKAGES:
        yield name, metadata.version(name)
