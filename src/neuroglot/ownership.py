"""Keeps track of the configuration that made results, so that another cannot overwrite them.

An id names a folder. If a second configuration used the same id for another text or model, it would
silently replace the first configuration's results. So ``configuration.json``, beside the results,
says what each id stands for. If more of a text is read, or in another way, it is still the same
text, and its results are updated as usual.
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
# Corpora and tasks share the folders of stores, so one id cannot stand for both.
RIVALS = {"models": ("models",), "corpora": ("corpora", "tasks"), "tasks": ("corpora", "tasks")}
STORES = ("tokens", "activations", "states")

# The models, corpora and tasks of a configuration, by section and id.
Sections = Mapping[str, Mapping[str, ModelSettings | Source]]


class Owned(BaseModel):
    """What an id stands for: the origin of a model or source, and the files that configure it."""

    model_config = ConfigDict(frozen=True)

    origin: dict[str, str | None]
    files: tuple[str, ...]


class Kept(BaseModel):
    """The content of ``configuration.json``.

    Attributes:
        configuration: the configuration as it was read, without defaults.
        files: the configuration's files.
        versions: versions of Python and of the packages that affect results most.
        owned: what ids stand for, by section and id, including earlier configurations.
    """

    model_config = ConfigDict(frozen=True)

    configuration: dict[str, Any] = {}
    files: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    owned: dict[str, dict[str, Owned]] = {}


def read_kept(results: Path) -> Kept:
    """Read ``configuration.json``; empty if it is missing or damaged."""
    try:
        return Kept.model_validate_json((results / CONFIGURATION).read_bytes())
    except (OSError, ValidationError):
        return Kept()


def remember(
    results: Path, configuration: Mapping[str, Any], files: Sequence[Path], named: Sections
) -> None:
    """Write the configuration and what its ids stand for into ``configuration.json``.

    The file is written whole, and only if something changes. Ids of earlier configurations are kept
    as long as their results exist.

    Args:
        results: the folder of results.
        configuration: the configuration as it was read.
        files: the configuration's files.
        named: what its ids stand for.
    """
    earlier, names = read_kept(results), tuple(map(str, files))
    owned: dict[str, dict[str, Owned]] = {section: {} for section in named}
    for section, identifier, entry in _there(results, earlier):
        owned[section][identifier] = entry
    for section, configured in named.items():
        owned[section] |= {
            identifier: Owned(origin=_origin(results, source), files=names)
            for identifier, source in configured.items()
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
    """Word one message for each id whose results belong to another text, task or model.

    The arguments are those of ``remember``.
    """
    messages = []
    for section, identifier, entry in _there(results, read_kept(results)):
        for rival in RIVALS[section]:
            source = named[rival].get(identifier)
            if source is None or (rival, _origin(results, source)) == (section, entry.origin):
                continue
            removal = shlex.join(["rm", "-r", *map(str, _folders(results, section, identifier))])
            messages.append(
                f"{rival}.{identifier}: {results / section / identifier} was made from "
                f"{_said(entry.origin)} ({', '.join(entry.files)}), and this configuration would "
                f"replace it with {_said(_origin(results, source))}. Give it another id; or keep "
                f"both: {_elsewhere(files, source)}; or replace it: {removal}"
            )
    return messages


def lost_history(results: Path) -> list[str]:
    """Word a message if there are results, but not Snakemake's notes of how it made them.

    Snakemake keeps the settings and code of every finished job in ``.snakemake``, beside the
    results. Without it, Snakemake takes all results for up to date.
    """
    history = results.parent / ".snakemake"
    known = [*history.glob("metadata/*"), *history.glob("incomplete/*")]
    if known or not any(_there(results, read_kept(results))):
        return []
    return [
        f"{results} holds results, but {history}, where Snakemake keeps what they were made with, "
        "is missing or empty: no change since then would be noticed. Bring it along with "
        f"{results}; or run in another folder (--directory FOLDER); or remove {results}; or, if "
        "nothing has changed since, take the results as they are: snakemake --cores all --touch "
        "--forceall"
    ]


def _elsewhere(files: Sequence[Path], source: ModelSettings | Source) -> str:
    """The command that runs a configuration in another folder."""
    options = [part for file in files for part in ("--configfile", str(file))]
    command = shlex.join(["snakemake", "--cores", "all", "--directory", "FOLDER", *options])
    places = [place for place in source.origin().values() if isinstance(place, Path)]
    if all(place.is_absolute() for place in places):
        return command
    return f"{command} (with absolute paths in it: relative ones start in FOLDER)"


def _said(origin: Mapping[str, str | None]) -> str:
    source_first = sorted(origin.items(), key=lambda pair: pair[0] != "source")
    return ", ".join(f"{key}: {value}" for key, value in source_first if value is not None)


def _origin(results: Path, source: ModelSettings | Source) -> dict[str, str | None]:
    """The origin of a text, task or model, with paths relative to the project if they lie in it."""
    project = results.absolute().parent.resolve()

    def placed(path: Path) -> str:
        resolved = (project / path).resolve()
        inside = resolved.is_relative_to(project)
        return str(resolved.relative_to(project) if inside else resolved)

    return {
        key: placed(value) if isinstance(value, Path) else value
        for key, value in source.origin().items()
    }


def _there(results: Path, kept: Kept) -> Iterator[tuple[str, str, Owned]]:
    """Section, id and entry of every known id whose results exist."""
    for section in RIVALS:
        for identifier, entry in kept.owned.get(section, {}).items():
            folder = results / section / identifier
            # Snakemake leaves an empty folder where a job failed.
            if folder.is_dir() and any(folder.iterdir()):
                yield section, identifier, entry


def _folders(results: Path, section: str, identifier: str) -> list[Path]:
    """All result folders of an id."""
    if section == "models":
        folders = results.glob(f"*/{identifier}")
        return sorted(folder for folder in folders if folder.parent.name != "logs")
    stores = [path for store in STORES for path in results.glob(f"{store}/*/{identifier}")]
    return [results / section / identifier, *sorted(stores)]


def versions() -> Iterator[tuple[str, str]]:
    """The versions of Python and of the packages that affect results most."""
    yield "python", platform.python_version()
    for name in PACKAGES:
        yield name, metadata.version(name)
