"""Which recordings a configuration needs, and which of them are missing or out of date.

What is recorded is kept: a group of a store that holds what is needed satisfies it, whatever else
was or is asked of the text. This is found while the workflow is parsed, from the keys of what a
recording is made from, so that the rules that record make exactly what is not there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES
from neuroglot.capture.settings import Group
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys
from neuroglot.provenance import digest, fingerprint

TOKENISE = "neuroglot.capture.tokenise:write_tokens"
RECORD = "neuroglot.capture.record:record"


@dataclass(frozen=True, order=True)
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


def code_of(group: Group) -> str:
    """Fingerprint of the code that recording a group of any text can reach."""
    kind = type(group)
    return fingerprint(RECORD, TOKENISE, f"{kind.__module__}:{kind.__qualname__}")


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
                target = Target(wish.text, wish.group.name)
                for model in self._config.models_of(name):
                    own = found.setdefault(model, {})
                    own[target] = _united(target, own.get(target), wish.group)
        return found

    def key(self, model: str, target: Target, language: str) -> str:
        """What a group of a recording is made from, but for the group's own settings."""
        config, text, group = self._config, target.text, self.groups[model][target]
        capture = config.capture.model_dump(include={"device", "dtype"})
        if group.sites and group.name != "states":  # rows whose precision is a setting
            capture["store_dtype"] = config.capture.store_dtype
        of_tokens = None if text in config.tasks else config.tokenising(text, language).model_dump()
        own = [self._keys.made_model(model), self._keys.text(text, language), of_tokens, capture]
        return digest([*own, code_of(group)])

    def kind(self, target: Target) -> Literal["corpus", "states", "task"]:
        """What is read to record it: ``task``, ``states`` (text) or ``corpus`` (tokens)."""
        if target.text in self._config.tasks:
            return "task"
        return "states" if target.group == "states" else "corpus"

    def missing(self) -> list[Job]:
        """The jobs that record what is not there: for each model and set of targets one entry.

        A language's prompts are one job for all its tasks: loading the model takes longer than
        reading them. A corpus is one of its own, so that a target of the workflow makes the
        recordings that it asks for.
        """
        found: dict[tuple[str, tuple[Target, ...]], list[str]] = {}
        for model, groups in self.groups.items():
            for language in self._config.corpus_languages(*{one.text for one in groups}):
                jobs: dict[str, list[Target]] = {}
                for target in self._missing(model, language, groups):
                    kind = self.kind(target)
                    own = kind if kind == "task" else f"{kind} {target.text}"
                    jobs.setdefault(own, []).append(target)
                for targets in jobs.values():
                    found.setdefault((model, tuple(targets)), []).append(language)
        return [Job(model, targets, tuple(own)) for (model, targets), own in found.items()]

    def _missing(
        self, model: str, language: str, groups: Mapping[Target, Group]
    ) -> Iterator[Target]:
        for target, group in groups.items():
            if language in self._config.corpus_languages(target.text):
                place = layout.recording(model, target.text, language, target.group)
                record = store.held(place.parent).get(target.group)
                current = record is not None and record.key == self.key(model, target, language)
                if record is None or not current or not group.satisfied_by(record):
                    yield target

    def targets(self, model: str, names: Sequence[str]) -> dict[str, list[Target]]:
        """Targets of a model by their text and group, as ``udhr/firing``; by text.

        Raises:
            NeuroglotError: the configuration does not need one of them.
        """
        known = {str(one): one for one in self.groups.get(model, {})}
        found: dict[str, list[Target]] = {}
        for name in names:
            if name not in known:
                shown = ", ".join(known) or "none"
                raise NeuroglotError(
                    f"unknown recording {name!r}: the configuration needs {shown} of {model}"
                )
            found.setdefault(known[name].text, []).append(known[name])
        return found


def remember(jobs: Sequence[Job]) -> None:
    """Keep what a run records: its jobs are to see the same, whatever is there meanwhile."""
    layout.PLAN.parent.mkdir(parents=True, exist_ok=True)
    store.write_json(layout.PLAN, [asdict(job) for job in jobs])


def remembered() -> list[Job]:
    """What the run that this process belongs to records.

    Raises:
        NeuroglotError: no run has begun here.
    """
    try:
        jobs = json.loads(layout.PLAN.read_text("utf-8"))
    except FileNotFoundError:
        raise NeuroglotError(f"{layout.PLAN} is missing; start the run again") from None
    return [
        Job(
            job["model"],
            tuple(Target(**target) for target in job["targets"]),
            tuple(job["languages"]),
        )
        for job in jobs
    ]


def _united(target: Target, known: Group | None, wanted: Group) -> Group:
    """One group that serves both who asked before and who asks now."""
    found = wanted if known is None else known.united(wanted)
    if found is None:
        raise NeuroglotError(
            f"{target}: two analyses ask for this recording with different settings, {known!r} and "
            f"{wanted!r}; give them the same, or another text"
        )
    return found
