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
    """The origin that an id stands for, and the configuration files that define it."""

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
    """Word one message for each id whose results belong to another text, task or model.

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


def lost_history(results: Path) -> list[str]:
    """Word a message if there are results, but no record of how Snakemake made them.

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


def _elsewhere(files: Sequence[Path], what: ModelSettings | Source) -> str:
    """The command that runs a configuration in another folder."""
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
    """The origin of a text, task or model, with paths relative to the project if they lie in it."""
    project = results.absolute().parent.resolve()

    def placed(path: Path) -> str:
        found = (project / path).resolve()
        return str(found.relative_to(project) if found.is_relative_to(project) else found)

    return {
        key: placed(value) if isinstance(value, Path) else value
        for key, value in what.origin().items()
    }


def _there(results: Path, kept: Kept) -> Iterator[tuple[str, str, Owned]]:
    """Section, id and entry of every known id whose results exist."""
    for kind in RIVALS:
        for one, entry in kept.owned.get(kind, {}).items():
            folder = results / kind / one
            # Snakemake leaves an empty folder where a job failed.
            if folder.is_dir() and any(folder.iterdir()):
                yield kind, one, entry


def _folders(results: Path, kind: str, one: str) -> list[Path]:
    """All result folders of an id."""
    if kind == "models":
        return sorted(path for path in results.glob(f"*/{one}") if path.parent.name != "logs")
    stores = [path for store in STORES for path in results.glob(f"{store}/*/{one}")]
    return [results / kind / one, *sorted(stores)]


def versions() -> Iterator[tuple[str, str]]:
    """The versions of Python and of the packages that affect results most."""
    yield "python", platform.python_version()
    for name in PACKAGES:
        yield name, metadata.version(name)
