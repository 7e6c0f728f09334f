"""Finds the recordings that a configuration needs and that are missing or out of date.

A group that holds what is needed is kept, whatever else is missing of the text. Keys are compared
while the workflow is parsed, so that the workflow has rules for exactly the missing groups.
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

    source: str
    group: str

    def __str__(self) -> str:
        return f"{self.source}/{self.group}"


@dataclass(frozen=True)
class Job:
    """Targets that one model has to record in several languages; each language is one job."""

    model: str
    targets: tuple[Target, ...]
    languages: tuple[str, ...]


def code_of(group: Group) -> str:
    """Fingerprint of the code that recording a group can reach."""
    group_class = type(group)
    name = f"{group_class.__module__}:{group_class.__qualname__}"
    return fingerprint(RECORD, TOKENISE, name)


class Recordings:
    """The recordings that a configuration needs."""

    def __init__(self, config: Config, keys: Keys) -> None:
        """Take the configuration and the keys of its models and texts."""
        self._config, self._keys = config, keys

    @cached_property
    def groups(self) -> Mapping[str, Mapping[Target, Group]]:
        """The groups that are needed, by model and target.

        Raises:
            NeuroglotError: two analyses want the same group with different settings.
        """
        by_model: dict[str, dict[Target, Group]] = {}
        for name in self._config.analyses:
            section = self._config.section(name)
            for wish in ANALYSES[name].recordings(self._config, section):
                target = Target(wish.source, wish.group.name)
                for model in self._config.models_of(name):
                    groups = by_model.setdefault(model, {})
                    groups[target] = _united(target, groups.get(target), wish.group)
        return by_model

    def key(self, model: str, target: Target, language: str) -> str:
        """Key of all that a recorded group depends on, except the group's own settings."""
        config, source, group = self._config, target.source, self.groups[model][target]
        capture = config.capture.model_dump(include={"device", "dtype"})
        if group.sites and not group.store_dtype:  # the precision of their rows is a setting
            capture["store_dtype"] = config.capture.store_dtype
        of_tokens = (
            None if source in config.tasks else config.tokenising(source, language).model_dump()
        )
        keys = [self._keys.made_model(model), self._keys.source(source, language)]
        return digest([*keys, of_tokens, capture, code_of(group)])

    def reads(self, source: str) -> Literal["tokens", "items"]:
        """What a recording reads: a corpus' tokens or a task's items."""
        return "items" if source in self._config.tasks else "tokens"

    def missing(self) -> list[Job]:
        """The jobs that record missing targets: one for each model and set of targets.

        All tasks of a language are one job, because loading the model takes longer than reading
        the prompts. Each corpus has its own job, so that a target of the workflow makes only the
        recordings that it needs.
        """
        lacking: dict[tuple[str, tuple[Target, ...]], list[str]] = {}
        for model, groups in self.groups.items():
            for language in self._config.corpus_languages(*{target.source for target in groups}):
                jobs: dict[str, list[Target]] = {}
                for target in self._missing(model, language, groups):
                    job = "" if self.reads(target.source) == "items" else target.source
                    jobs.setdefault(job, []).append(target)
                for targets in jobs.values():
                    lacking.setdefault((model, tuple(targets)), []).append(language)
        return [
            Job(model, targets, tuple(languages)) for (model, targets), languages in lacking.items()
        ]

    def _missing(
        self, model: str, language: str, groups: Mapping[Target, Group]
    ) -> Iterator[Target]:
        for target, group in groups.items():
            if language in self._config.corpus_languages(target.source):
                place = layout.recording(model, target.source, language, target.group)
                held = store.held(place.parent).get(target.group)
                current = held is not None and held.key == self.key(model, target, language)
                if held is None or not current or not group.satisfied_by(held):
                    yield target

    def targets(self, model: str, names: Sequence[str]) -> dict[str, list[Target]]:
        """Find a model's targets by names such as ``udhr/firing``; return them by corpus or task.

        Raises:
            NeuroglotError: the configuration does not need one of these targets.
        """
        known = {str(target): target for target in self.groups.get(model, {})}
        by_source: dict[str, list[Target]] = {}
        for name in names:
            if name not in known:
                shown = ", ".join(known) or "none"
                raise NeuroglotError(
                    f"unknown recording {name!r}: the configuration needs {shown} of {model}"
                )
            by_source.setdefault(known[name].source, []).append(known[name])
        return by_source


def remember(jobs: Sequence[Job]) -> None:
    """Save a run's list of recordings, so that its jobs see the same list."""
    layout.PLAN.parent.mkdir(parents=True, exist_ok=True)
    store.write_json(layout.PLAN, [asdict(job) for job in jobs])


def remembered() -> list[Job]:
    """Read the list of recordings of the run to which this process belongs.

    Raises:
        NeuroglotError: no run has started here.
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
    """One group that contains both the known and the wanted group."""
    group = wanted if known is None else known.united(wanted)
    if group is None:
        raise NeuroglotError(
            f"{target}: two analyses ask for this recording with different settings, {known!r} and "
            f"{wanted!r}; give them the same, or another text"
        )
    return group
