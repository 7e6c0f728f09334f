"""Keys of models, corpora and tasks. A key changes exactly if one of its inputs changes.

Keys are computed while the workflow is parsed, so nothing here loads a model or reads a text. A
file is hashed only once, because hashing a checkpoint of 14 GB takes a minute.
"""

import json
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroglot import layout
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import CARD, is_current, read_card
from neuroglot.models.source import ModelSettings, checkpoint_files, checkpoint_settings
from neuroglot.packages import canonical, file_sha256
from neuroglot.provenance import TICK, digest, fingerprint, state_of
from neuroglot.sources import Source
from neuroglot.store import write_json

if TYPE_CHECKING:
    from neuroglot.config import Config

MODELS = "neuroglot.models.normalise:normalise"
OUTDATED, WRITTEN = "models of former entries", "written at"  # entries that are not paths


class Digests:
    """Digests of files, kept in a JSON file with each file's size, times and inode.

    The JSON file only saves time: it may be missing, damaged or not writable.
    """

    def __init__(self, path: Path) -> None:
        """Read the JSON file, such as ``results/.digests.json``."""
        self._path = path
        self._known = self._read()

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def of(self, file: Path) -> str:
        """Return the hexadecimal SHA-256 of a file's content, which touching does not change.

        Raises:
            NeuroglotError: the file cannot be read.
        """
        try:
            name, before = str(file.absolute()), state_of(file)
            known = self._known.get(name)
            if isinstance(known, dict) and known.get("state") == before:
                return str(known.get("sha256"))
            sha256 = file_sha256(file)
            settled = time.time_ns() - max(before["mtime"], before["ctime"]) > TICK
            if settled:
                self._remember(name, {"state": before, "sha256": sha256})
        except OSError as error:
            raise NeuroglotError(f"{file}: cannot be read: {error.strerror}") from error
        return sha256

    def write(self, notes: dict[str, Any]) -> None:
        """Write notes; without notes, write the file only if it does not exist."""
        if notes or not self._path.is_file():
            for name, note in {**notes, WRITTEN: time.time_ns()}.items():
                self._remember(name, note)

    def _remember(self, name: str, entry: Any) -> None:
        # Another process may have hashed other files since.
        self._known = {**self._read(), **self._known, name: entry}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._path, self._known)
        except OSError:
            pass  # a read-only folder, or a full disk


def model_key(settings: ModelSettings, cache: Digests) -> str:
    """Return the key of a model's source.

    Of a folder, the names and contents of the files that are used count, and the architecture's
    entry. Of a package or a Hub id, the name and its version or revision count. Its architecture is
    known only when the model has been made; then ``models.card.is_current`` checks the entry. Tags
    of languages count, because they are written into the model's folder. The seed of random weights
    counts, and then the folder's trained weights do not.

    Raises:
        NeuroglotError: a file of the folder is missing or cannot be read.
    """
    trained = settings.reinitialise is None
    chosen: list[Any] = [] if trained else ["reinitialise", settings.reinitialise]
    chosen += [settings.language_tags] if settings.language_tags else []
    if settings.source_type == "package":
        package = settings.package
        pinned = [package.registry, canonical(package.name), package.version, settings.sha256]
        return digest(["package", *pinned, *chosen])
    if settings.source_type == "hub":
        return digest(["hub", settings.hub_id, settings.revision, *chosen])
    files = (checkpoint_files if trained else checkpoint_settings)(settings.folder)
    contents = {path.name: cache.of(path) for path in files}
    return digest(["folder", contents, architecture_digest(settings.model_type), *chosen])


def source_key(source: Source, language: str, cache: Digests) -> str:
    """Return the key of one language of a corpus or task.

    Raises:
        NeuroglotError: a file cannot be read, or the source lacks the language.
    """
    files = [cache.of(path) for path in source.files(language)]
    package = source.package()
    pinned = package and package.model_dump(mode="json")
    code = fingerprint(*source.code_targets())
    return digest([language, source.leaf(language), files, pinned, code])


class Keys:
    """The keys of a configuration's models, corpora and tasks, each computed once."""

    def __init__(self, config: "Config") -> None:
        """Take the configuration, and read the digests of earlier runs."""
        self._config, self._digests = config, Digests(layout.DIGESTS)

    @cache  # noqa: B019 - there is one instance in a process
    def model(self, model: str) -> str:
        """Key of a model's source and of the code that makes it, without the folder's path."""
        return digest([model_key(self._config.models[model], self._digests), fingerprint(MODELS)])

    def outdated(self) -> set[str]:
        """The models whose architecture's entry has changed since they were made.

        If there are any, the JSON file is written again, so that it is younger than these models.
        """
        folders = {model: layout.model(model) for model in self._config.models}
        made = {model: folder for model, folder in folders.items() if (folder / CARD).is_file()}
        outdated = {model for model, folder in made.items() if not is_current(folder)}
        self._digests.write({OUTDATED: sorted(outdated)} if outdated else {})
        return outdated

    def made_model(self, model: str) -> str:
        """Key of a model with its architecture's entry, which is known once the model was made."""
        return digest([self.model(model), self._architecture(model)])

    def _architecture(self, model: str) -> str | None:
        try:
            return architecture_digest(read_card(layout.model(model)).model_type)
        except NeuroglotError:
            return None

    @cache  # noqa: B019
    def source(self, source: str, language: str) -> str:
        """Key of one language of a corpus or task."""
        sources = {**self._config.corpora, **self._config.tasks}
        return source_key(sources[source], language, self._digests)
