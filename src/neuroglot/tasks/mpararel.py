"""Fact probing with mParaRel (Fierro & Søgaard, 2022), from its published folders."""

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator

from neuroglot.corpora.table import json_object
from neuroglot.corpora.template import PLACE, TemplateSource
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId
from neuroglot.sources import Languages, plain_paths
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.facts import answer_blank

SUBJECT, OBJECT = "[X]", "[Y]"

Key = tuple[str, str]  # Wikidata ids of subject and object


class Pair(NamedTuple):
    """The names of a fact's subject and object in a language."""

    subject: str
    object: str


class MpararelTask(TemplateSource, Task):
    """One relation of mParaRel: `{path}/patterns/{language}/{relation}.jsonl` and `tuples/…`.

    An item is a fact in one of the wordings in which the object comes last. mParaRel lacks many
    facts in many languages, so the items are the facts that *all* languages have. The languages
    must be listed, because reading any of them needs the facts of all.
    """

    source: Literal["mpararel"] = Field(description="mParaRel's folders patterns and tuples.")
    languages: Languages = Field(
        description="Languages to read; the items are the facts that all of them have."
    )
    path: str = Field(min_length=1, description="Folder that holds patterns and tuples.")
    relation: str = Field("P36", description="Wikidata property; P36 is capital of.")
    paraphrases: int = Field(2, ge=1, description="Wordings of every fact, in every language.")
    codes: dict[LanguageId, str] = Field(
        {}, description="The folders' own code of a language where it is not our id (zh: zh-hans)."
    )

    @property
    def scoring(self) -> Scoring:
        """The object's first token is compared with those of all other objects."""
        return "rank"

    _plain_relation = field_validator("relation")(plain_paths)

    def _template(self, folder: Literal["patterns", "tuples"]) -> str:
        return str(Path(self.path, folder, PLACE, f"{self.relation}.jsonl"))

    def available(self) -> frozenset[str]:
        """Return the languages that have patterns and tuples."""
        return self.spelt(self._template("patterns")) & self.spelt(self._template("tuples"))

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each file that does not exist and each language not listed."""
        asked = list(languages)
        needed = dict.fromkeys((*self.languages, *asked))
        missing = self.missing_files(self._template("patterns"), needed)
        missing += self.missing_files(self._template("tuples"), needed)
        unlisted = [language for language in asked if language not in self.languages]
        return missing + [self._unlisted(language) for language in unlisted]

    def _unlisted(self, language: str) -> str:
        return (
            f"language {language!r}: is not among the languages of this task, whose facts are "
            f"those that {', '.join(self.languages)} have; add it to languages"
        )

    def inputs(self, language: str) -> list[Path]:
        """Return the language's patterns and all languages' tuples, in order of their ids."""
        tuples = self._template("tuples")
        return [
            Path(self.file(self._template("patterns"), language)),
            *(Path(self.file(tuples, listed)) for listed in sorted(self.languages)),
        ]

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the languages of the tuples, in the order of their files, and the blank."""
        return {"tuples": sorted(self.languages), "blank": answer_blank(language)}

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """Read one language's items `{subject}-{object}-{paraphrase}`, sorted by Wikidata ids."""
        if language not in self.languages:
            raise NeuroglotError(self._unlisted(language))
        patterns_path, *tuple_paths = self.inputs(language)
        wordings = self._wordings(patterns_path, language)
        by_language = dict(zip(sorted(self.languages), map(read_pairs, tuple_paths), strict=True))
        pairs = by_language[language]
        kept = sorted(set[Key].intersection(*map(set, by_language.values())), key=_by_number)
        if not kept:
            raise NeuroglotError(
                f"{self.path}: tuples of {self.relation}: no fact stands in all of "
                f"{', '.join(self.languages)}"
            )
        blank = answer_blank(language)
        candidates = tuple(dict.fromkeys(blank + pairs[key].object for key in kept))
        answers: dict[str, list[str]] = {}
        for subject, object_ in kept:
            answers.setdefault(subject, []).append(blank + pairs[subject, object_].object)
        items = [
            Item(
                f"{key[0]}-{key[1]}-{number}",
                wording.replace(SUBJECT, pairs[key].subject),
                tuple(dict.fromkeys([blank + pairs[key].object, *answers[key[0]]])),
                candidates,
                key[0],  # a second object of the subject answers the same question
            )
            for key in kept
            for number, wording in enumerate(wordings, start=1)
        ]
        return items, [f"left out, lacking in another language: {len(pairs) - len(kept)} facts"]

    def _wordings(self, path: Path, language: str) -> list[str]:
        wordings = read_wordings(path, answer_blank(language))
        if len(wordings) < self.paraphrases:
            raise NeuroglotError(
                f"{path}: has {len(wordings)} patterns that end with {OBJECT}, fewer than the "
                f"{self.paraphrases} paraphrases asked for; lower paraphrases"
            )
        return wordings[: self.paraphrases]


def read_wordings(path: Path, blank: str) -> list[str]:
    """Read the distinct patterns that end with the object; human-checked patterns come first.

    Punctuation after the object is dropped. In unspaced scripts, blanks are dropped too; machine
    translation left some around the slots.

    Args:
        path: a file of mParaRel's `patterns`.
        blank: the text before an answer: a blank, or nothing in unspaced scripts.

    Raises:
        NeuroglotError: a line is not JSON, or its pattern does not have each slot once.
    """
    checked: list[str] = []
    unchecked: list[str] = []
    for number, row in _json_lines(path, ("pattern",)):
        pattern = row["pattern"]
        for slot in (SUBJECT, OBJECT):
            if pattern.count(slot) != 1:
                raise NeuroglotError(
                    f"{path}: line {number}: the pattern {pattern!r} has "
                    f"{pattern.count(slot)} times {slot}; it needs it once"
                )
        before, after = pattern.split(OBJECT)
        if SUBJECT in before and all(map(_punctuation, after)):
            wording = before.strip() if blank else "".join(before.split())
            (checked if row.get("checked-by-human") else unchecked).append(wording)
    return list(dict.fromkeys(checked + unchecked))


def _punctuation(character: str) -> bool:
    return character.isspace() or unicodedata.category(character).startswith("P")


def read_pairs(path: Path) -> dict[Key, Pair]:
    """Read a file of mParaRel's `tuples`: labels by Wikidata ids.

    Raises:
        NeuroglotError: a line is not JSON, lacks a label or an id, or repeats a pair.
    """
    pairs: dict[Key, Pair] = {}
    columns = ("sub_uri", "obj_uri", "sub_label", "obj_label")
    for number, row in _json_lines(path, columns):
        subject, object_, *labels = (row[column].strip() for column in columns)
        if (subject, object_) in pairs:
            raise NeuroglotError(
                f"{path}: line {number}: the pair {subject}, {object_} stands twice; remove one"
            )
        pairs[subject, object_] = Pair(*labels)
    return pairs


def _json_lines(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        row = json_object(f"{path}: line {number}", line)
        for column in columns:
            text = row.get(column)
            if not isinstance(text, str) or not text.strip():
                raise NeuroglotError(
                    f"{path}: line {number}: has no text under {column!r}; mParaRel's files have "
                    f"{', '.join(columns)} on every line"
                )
        yield number, row


def _by_number(key: Key) -> tuple[tuple[int, str], ...]:
    return tuple((len(identifier), identifier) for identifier in key)
