"""The base class of tasks: questions with known answers, the same in every language."""

import re
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import chain, combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from neuroglot.corpora.base import check_ids
from neuroglot.corpora.parquet import read_table, write_table
from neuroglot.errors import NeuroglotError
from neuroglot.languages import with_script
from neuroglot.provenance import digest
from neuroglot.sources import Languages, Source

if TYPE_CHECKING:
    import pyarrow as pa

Scoring = Literal["rank", "exact", "string"]
BETWEEN_EXAMPLES = "\n\n"
_BLANKS_AT_END = re.compile(r"[^\S\r\n]+\Z")


@dataclass(frozen=True)
class Item:
    """One question in one language.

    Answers include the blank that separates them from the prompt, so ``prompt + answer`` is the
    text to be judged.

    Attributes:
        id: the same in every language.
        prompt: what the model reads.
        gold: the right answer, then other accepted spellings.
        candidates: all answers to choose from, including the right answer.
        fact: id of what is asked, the same in items that only word it differently; they are one
            unit of every statistic. Empty if no other item asks it.
        chat: whether the prompt is a user's turn in the model's chat template, and an answer begins
            the assistant's.
        answered_in: language of the answers, if it is not that under which the item is filed.
    """

    id: str
    prompt: str
    gold: tuple[str, ...]
    candidates: tuple[str, ...]
    fact: str = ""
    chat: bool = False
    answered_in: str = ""


@dataclass(frozen=True)
class TaskReading:
    """One language's items in the order in which they are drawn, and notes on what was left out."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


class Task(Source):
    """The settings of one task, with the methods that read it."""

    noun = "task"
    writer = "neuroglot.tasks.base:write_items"

    languages: Languages | None = Field(
        None, description="Languages to read; if left out, all configured ones that the task has."
    )
    shots: int = Field(
        0, ge=0, description="Solved examples before every question, drawn like the questions."
    )
    reserve: int = Field(
        0,
        ge=0,
        description="Facts that are kept for examples and not asked; `shots` if that is more. "
        "Tasks that differ in `shots` ask the same questions if they reserve as many.",
    )
    chat: bool = Field(
        False,
        description="Ask through the model's own chat template: a prompt, with its examples, is "
        "one user's turn, and the answer begins the assistant's. For models tuned on chats; a "
        "model without template is refused.",
    )
    max_items: int | None = Field(
        None, ge=1, description="Ask only so many questions, drawn from all; all if left out."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw, which is the same in every language.")

    def is_here(self) -> bool:
        """Whether it can be read without a download."""
        return True

    @property
    def reserved(self) -> int:
        """Number of facts that are kept for examples and not asked."""
        return max(self.shots, self.reserve)

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How an answer is judged.

        ``rank``: the first token of the right answer is likelier than that of any other candidate.
        ``exact``: greedy decoding writes one of the gold answers. ``string``: the right answer is
        the likeliest candidate as a whole. One of m equally likely candidates counts 1 / m.
        """

    def read_in(self, languages: Iterable[str]) -> list[str]:
        """Choose the configured languages in which the task is read."""
        if self.languages is not None:
            return list(self.languages)
        available = self.available()
        if available is None:
            return list(languages)
        written = set(map(with_script, available))
        return [language for language in languages if with_script(language) in written]

    @abstractmethod
    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """Read one language's items as they are in the source, and notes."""

    def read(self, language: str) -> TaskReading:
        """Read one language, and draw its examples and questions.

        What is drawn depends on the seed and on the facts' ids alone: it is the same in every
        language, and the first questions are the same whatever ``max_items`` is.

        Raises:
            NeuroglotError: the source cannot be read or lacks the language; an item is repeated, or
                lacks its prompt, its answer, or the answer among its candidates; no item is left
                after the examples.
        """
        as_read, notes = self.items(language)
        items = list(map(_blank_before_answers, as_read))
        if moved := sum(item != before for item, before in zip(items, as_read, strict=True)):
            notes = [*notes, f"moved the blank that ends {moved} prompts to their answers"]
        check_ids(language, "item id", [item.id for item in items])
        for item in items:
            _check_item(language, item)
        by_fact = defaultdict(list)
        for item in items:
            by_fact[item.fact or item.id].append(item)
        facts = self._in_turns(by_fact, sorted(by_fact, key=lambda fact: digest([self.seed, fact])))
        if len(facts) <= self.reserved:
            raise NeuroglotError(
                f"language {language!r}: the task has {len(facts)} facts and keeps "
                f"{self.reserved} for examples, which leaves no question; lower shots and reserve"
            )
        examples = [by_fact[fact][0] for fact in facts[: self.shots]]
        before = "".join(item.prompt + item.gold[0] + BETWEEN_EXAMPLES for item in examples)
        asked_facts = self._in_turns(by_fact, facts[self.reserved :])
        questions = chain.from_iterable(by_fact[fact] for fact in asked_facts)
        answered_in = self.answered_in(language)
        other = "" if answered_in == language else answered_in
        asked = [
            replace(item, prompt=before + item.prompt, chat=self.chat, answered_in=other)
            for item in islice(questions, self.max_items)
        ]
        return TaskReading(tuple(asked), tuple(notes))

    def answered_in(self, language: str) -> str:
        """The language of the answers to a language's questions: that language, in most tasks."""
        return language

    def _in_turns(self, by_fact: Mapping[str, Sequence[Item]], facts: Iterable[str]) -> list[str]:
        """Let strata take turns: each turn has one fact of every stratum, in random order.

        A fixed order could be learnt from examples.
        """
        turns: Counter[int] = Counter()
        places = {}
        for fact in facts:
            stratum = self.stratum(by_fact[fact][0])
            places[fact] = turns[stratum], digest([self.seed, turns[stratum], fact])
            turns[stratum] += 1
        return sorted(places, key=places.__getitem__)

    def stratum(self, item: Item) -> int:  # noqa: ARG002 (for tasks with labels)
        """Number the group of an item, such as its label; all groups are asked equally often."""
        return 0


def _blank_before_answers(item: Item) -> Item:
    """Move a blank at the prompt's end to its answers.

    Tokenizers join a blank with the word that follows it. A prompt that ends in a blank would end
    in a token that no text has there, and an answer would begin in the middle of a word's token.
    """
    prompt = _BLANKS_AT_END.sub("", item.prompt)
    if prompt == item.prompt:
        return item
    blank = item.prompt[-1]

    def after_blank(answers: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text if text[:1].isspace() else blank + text for text in answers)

    gold, candidates = after_blank(item.gold), after_blank(item.candidates)
    return replace(item, prompt=prompt, gold=gold, candidates=candidates)


def _check_item(language: str, item: Item) -> None:
    if not item.prompt.strip() or not item.gold or not all(text.strip() for text in item.gold):
        raise NeuroglotError(
            f"language {language!r}: item {item.id!r} has no text in its prompt or its gold "
            "answer; remove it"
        )
    if item.gold[0] not in item.candidates:
        raise NeuroglotError(
            f"language {language!r}: the gold answer {item.gold[0]!r} of item {item.id!r} is not "
            "among its candidates; add it to them"
        )


def facts_of(items: Mapping[str, Sequence[Item]]) -> list[str]:
    """Name the fact that each item asks for, where all languages have the same items."""
    first = next(iter(items.values()))
    return [item.fact or item.id for item in first]


def check_same_items(task: str, items: Mapping[str, Sequence[str]]) -> None:
    """Refuse a task unless all its languages have the same items in the same order.

    Neurons are compared within an item, so an item missing in one language cannot be judged.
    ``items`` holds the items' ids by language.

    Raises:
        NeuroglotError: an item is missing in a language, or the order differs.
    """
    for first, second in combinations(items, 2):
        missing = sorted(set(items[first]) ^ set(items[second]))
        if missing:
            lacking = second if missing[0] in items[first] else first
            raise NeuroglotError(
                f"task {task!r}: language {lacking!r} has no item {missing[0]!r} "
                f"({len(missing)} items stand in only one of {first!r} and {second!r}); every "
                "language needs the same items"
            )
        if list(items[first]) != list(items[second]):
            raise NeuroglotError(
                f"task {task!r}: languages {first!r} and {second!r} have the same items in another "
                "order; sort them"
            )


def write_items(reading: TaskReading, path: Path, key: str = "") -> None:
    """Write items as columns, one for each attribute, with the notes and a key."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    schema = pa.schema(
        [
            *(("item", pa.string()), ("prompt", pa.string())),
            *(("gold", texts), ("candidates", texts), ("fact", pa.string())),
            *(("chat", pa.bool_()), ("answered_in", pa.string())),
        ]
    )
    rows = [dict(zip(schema.names, astuple(item), strict=True)) for item in reading.items]
    table = pa.Table.from_pylist(rows, schema)
    write_table(table, reading.notes, _content(reading), path, key)


def read_items(path: Path) -> TaskReading:
    """Read items from a file of `write_items`.

    Raises:
        NeuroglotError: the file is missing, damaged or was not written by `write_items`.
    """

    def parse(table: "pa.Table", notes: tuple[str, ...]) -> TaskReading:
        items = [
            Item(
                row["item"],
                row["prompt"],
                tuple(row["gold"]),
                tuple(row["candidates"]),
                row["fact"],
                row["chat"],
                row["answered_in"],
            )
            for row in table.to_pylist()
        ]
        return TaskReading(tuple(items), notes)

    return read_table(path, "task", parse, _content)


def _content(reading: TaskReading) -> str:
    return digest([[asdict(item) for item in reading.items], reading.notes])
