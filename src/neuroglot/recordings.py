"""Finds the tokens and recordings that a run needs and that are missing or out of date.

What is needed is what the steps of the wanted analyses read. A group that holds it is kept,
whatever else is missing of the text. Keys are compared while the workflow is parsed, so that the
workflow has rules for exactly what is missing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from neuroglot import layout, store
from neuroglot.analyses import ANALYSES, wanted
from neuroglot.capture.settings import Group
from neuroglot.config import Config
from neuroglot.errors import NeuroglotError
from neuroglot.keys import Keys
from neuroglot.provenance import digest, fingerprint

TOKENISE = "neuroglot.capture.tokenise:write_tokens"
RECORD = "neuroglot.capture.record:record"
TOKENS = "tokens"  # a target's group that is no recording, but the text as the model's tokens


@dataclass(frozen=True, order=True)
class Target:
    """The tokens of a corpus, or a group of statistics or rows of a corpus or task."""

    source: str
    group: str

    def __str__(self) -> str:
        return f"{self.source}/{self.group}"

    def place(self, model: str, language: str) -> Path:
        """The store or group of one model and language."""
        if self.group == TOKENS:
            return layout.tokens(model, self.source, language)
        return layout.recording(model, self.source, language, self.group)


@dataclass(frozen=True)
class Job:
    """Targets that are missing of one model in several languages; each language is one job."""

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
        """Key of all that a target depends on, except a recorded group's own settings."""
        config, source = self._config, target.source
        text = [self._keys.made_model(model), self._keys.source(source, language)]
        of_tokens = (
            None if source in config.tasks else config.tokenising(source, language).model_dump()
        )
        if target.group == TOKENS:
            return digest([*text, of_tokens, fingerprint(TOKENISE)])
        group = self.groups[model][target]
        capture = config.running(model).model_dump()
        if group.sites and not group.store_dtype:  # the precision of their rows is a setting
            capture["store_dtype"] = config.capture.store_dtype
        if bits := group.kept_bits(config.capture):
            capture["keep_bits"] = bits
        return digest([*text, of_tokens, capture, code_of(group)])

    def reads(self, source: str) -> Literal["tokens", "items"]:
        """What a recording reads: a corpus' tokens or a task's items."""
        return "items" if source in self._config.tasks else "tokens"

    def missing(self, analyses: Collection[str]) -> list[Job]:
        """The jobs that make what steps of some analyses read and what is missing or out of date.

        All texts of a model and language are one job, because loading the model takes longer than
        reading a short text.
        """
        read = read_by(self._config, analyses)
        lacking: dict[tuple[str, tuple[Target, ...]], list[str]] = {}
        for model in self._config.models:
            for language in self._config.all_languages:
                if targets := tuple(self._missing(model, language, read)):
                    lacking.setdefault((model, targets), []).append(language)
        return [
            Job(model, targets, tuple(languages)) for (model, targets), languages in lacking.items()
        ]

    def _missing(self, model: str, language: str, read: Collection[Path]) -> Iterator[Target]:
        groups = self.groups.get(model, {})
        for source in (*self._config.corpora, *self._config.tasks):
            targets = [
                target
                for target in groups
                if target.source == source
                and target.place(model, language) in read
                and not self._is_current(model, target, language)
            ]
            tokens = Target(source, TOKENS)
            tokenised = self.reads(source) == "tokens" and (
                targets or tokens.place(model, language) in read
            )
            if tokenised and not self._is_current(model, tokens, language):
                yield tokens
            yield from targets

    def _is_current(self, model: str, target: Target, language: str) -> bool:
        held = store.held_at(target.place(model, language))
        if held is None or held.key != self.key(model, target, language):
            return False
        return target.group == TOKENS or self.groups[model][target].satisfied_by(held)

    def targets(self, model: str, names: Sequence[str]) -> dict[str, list[Target]]:
        """Find a model's targets by names such as ``udhr/firing``; return them by corpus or task.

        Raises:
            NeuroglotError: the configuration has no such text, or no analysis needs the recording.
        """
        tokens = [Target(corpus, TOKENS) for corpus in self._config.corpora]
        known = {str(target): target for target in (*tokens, *self.groups.get(model, {}))}
        by_source: dict[str, list[Target]] = {}
        for name in names:
            if name not in known:
                shown = ", ".join(known) or "none"
                raise NeuroglotError(
                    f"unknown recording {name!r}: the configuration needs {shown} of {model}"
                )
            by_source.setdefault(known[name].source, []).append(known[name])
        return by_source


def read_by(config: Config, analyses: Collection[str]) -> set[Path]:
    """What the jobs of some analyses read, and the jobs of others whose results they read."""
    jobs = {}
    for name in config.analyses:
        for step in wanted.steps(config, ANALYSES[name]):
            for job in wanted.jobs(config, ANALYSES[name], step):
                model = None if step.compares_models else job.model
                jobs[layout.reduction(name, step.name, model, job.part)] = name, step, job
    asked = {place for place, (name, *_) in jobs.items() if name in analyses}
    read: set[Path] = set()
    done: set[Path] = set()
    while waiting := asked - done:
        for place in waiting:
            name, step, job = jobs[place]
            read.update(step.inputs(config, config.section(name), job).paths())
        done |= waiting
        asked = read & jobs.keys()
    return read


def _united(target: Target, known: Group | None, wanted: Group) -> Group:
    """One group that contains both the known and the wanted group."""
    group = wanted if known is None else known.united(wanted)
    if group is None:
        raise NeuroglotError(
            f"{target}: two analyses ask for this recording with different settings, {known!r} and "
            f"{wanted!r}; give them the same, or another text"
        )
    return group
