"""Keys of models, corpora and tasks. A key changes exactly if one of its inputs changes.

Keys are computed while the workflow is parsed, so nothing here loads a model or reads a text. A
file is hashed only once, because hashing a checkpoint of 14 GB takes a minute.
"""

import time
from functools import cache
from typing import TYPE_CHECKING, Any

from neuroglot import layout
from neuroglot.digests import Digests
from neuroglot.errors import NeuroglotError
from neuroglot.models.architectures import architecture_digest
from neuroglot.models.card import CARD, is_current, read_card
from neuroglot.models.source import ModelSettings, checkpoint_files, checkpoint_settings
from neuroglot.packages import canonical, file_sha256
from neuroglot.provenance import digest, fingerprint
from neuroglot.sources import Source

if TYPE_CHECKING:
    from neuroglot.config import Config

MODELS = "neuroglot.models.normalise:normalise"
OUTDATED, WRITTEN = "models of former entries", "written at"  # entries that are not paths


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
        self._config, self._digests = config, Digests(layout.DIGESTS, file_sha256)

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
        if outdated or not layout.DIGESTS.is_file():
            self._digests.note({OUTDATED: sorted(outdated), WRITTEN: time.time_ns()})
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
