"""Which recordings a configuration needs, and which of them are missing or out of date.

What is recorded is kept: a group of a store that holds what is needed satisfies it, whatever else
was or is asked of the text. This is found while the workflow is parsed, from the keys of what a
recording is made from, so that the rules that record make exactly what is not there.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from neuroglot import layout
from neuroglot.analyses import ANALYSES
from neuroglot.capture.record import GROUP_CODE, held
from neuroglot.capture.settings import Group
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys
from neuroglot.provenance import digest, fingerprint


@dataclass(frozen=True)
class Target:
    """A group of statistics or rows of a corpus or task."""

    text: str
    group: str

    def __str__(self) -> str:
        return f"{self.text}/{self.group}"


@dataclass(frozen=True)
class Job:
    """What one model has to record, the same in several languages: one job each."""

    model: str
    targets: tuple[Target, ...]
    languages: tuple[str, ...]


class Recordings:
    """The recordings that a configuration needs."""

    def __init__(self, config: Config, keys: Keys) -> None:
        """Take the configuration and the keys of its models and texts."""
        self._config, self._keys = config, keys

    @cached_property
    def groups(self) -> Mapping[str, Mapping[Target, Group]]:
        """What is needed of every text, by model.

        Raises:
            NeuroglotError: two analyses want the same group with different settings.
        """
        found: dict[str, dict[Target, Group]] = {}
        for name in self._config.analyses:
            section = self._config.section(name)
            for wish in ANALYSES[name].recordings(self._config, section):
                for model in self._config.models_of(name):
                    own = found.setdefault(model, {})
                    target = Target(wish.text, wish.group.name)
                    own[target] = _united(target, own.get(target), wish.group)
        return found

    def key(self, model: str, target: Target, language: str) -> str:
        """What a group of a recording is made from."""
        config, text, group = self._config, target.text, self.groups[model][target]
        capture = config.capture.model_dump(include={"device", "dtype"})
        if group.raw_precision == "chosen":
            capture["store_dtype"] = config.capture.store_dtype
        return digest(
            [
                self._keys.model(model),
                self._keys.text(text, language),
                self.reading(text, language),
                capture,
                group.identity(),
                fingerprint(*GROUP_CODE[target.group]),
            ]
        )

    def missing(self) -> list[Job]:
        """The jobs that record what is not there: for each model and set of targets one entry."""
        found: dict[tuple[str, tuple[Target, ...]], list[str]] = {}
        for model, groups in self.groups.items():
            for language in self._config.corpus_languages(*{one.text for one in groups}):
                targets = tuple(self._missing(model, language, groups))
                if targets:
                    found.setdefault((model, targets), []).append(language)
        return [Job(model, targets, tuple(own)) for (model, targets), own in found.items()]

    def _missing(
        self, model: str, language: str, groups: Mapping[Target, Group]
    ) -> Iterator[Target]:
        for target, group in groups.items():
            if language not in self._config.corpus_languages(target.text):
                continue
            store = layout.recording(model, target.text, language, target.group).parent
            record = held(store).get(target.group)
            key = self.key(model, target, language)
            if record is None or record.key != key or not group.satisfied_by(record):
                yield target


def _united(target: Target, known: Group | None, wanted: Group) -> Group:
    """One group that serves both who asked before and who asks now."""
    found = wanted if known is None else known.united(wanted)
    if found is None:
        raise NeuroglotError(
            f"{target}: two analyses ask for this recording with different settings: {known!r} and "
            f"{wanted!r}; give them the same, or another text"
        )
    return found
