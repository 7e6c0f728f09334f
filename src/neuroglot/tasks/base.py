"""The base class of tasks: questions with known answers, the same in every language."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import combinations
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
    """

    id: str
    prompt: str
    gold: tuple[str, ...]
    candidates: tuple[str, ...]
    fact: str = ""


@dataclass(frozen=True)
class TaskReading:
    """One language's items in the task's order, and notes on what was left out."""

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
        0,
        ge=0,
        description="Solved examples before every question: the task's first items, which are "
        "then no questions.",
    )
    max_items: int | None = Field(None, ge=1, description="Keep only the first items.")

    @property
    @abstractmethod
    def scoring(self) -> Scoring:
        """How an answer is judged.

        ``rank``: the first token of the right answer is likelier than that of any other candidate.
        ``exact``: greedy decoding writes one of the gold answers. ``string``: the right answer is
        the likeliest candidate as a whole.
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
        """Read one language.

        Raises:
            NeuroglotError: the source cannot be read or lacks the language; an item is repeated, or
                lacks its prompt, its answer, or the answer among its candidates; no item is left
                after the examples.
        """
        items, notes = self.items(language)
        check_ids(language, "item id", [item.id for item in items])
        for item in items:
            _check_item(language, item)
        examples, questions = items[: self.shots], items[self.shots :]
        if not questions:
            raise NeuroglotError(
                f"language {language!r}: the task has {len(items)} items and {self.shots} are "
                "to be examples, which leaves no question; lower shots"
            )
        before = "".join(item.prompt + item.gold[0] + BETWEEN_EXAMPLES for item in examples)
        asked = [replace(item, prompt=before + item.prompt) for item in questions[: self.max_items]]
        return TaskReading(tuple(asked), tuple(notes))


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


def write_items(reading: TaskReading, path: Path) -> None:
    """Write items as columns `item, prompt, gold, candidates, fact`, with the notes."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    schema = pa.schema(
        [
            *(("item", pa.string()), ("prompt", pa.string())),
            *(("gold", texts), ("candidates", texts), ("fact", pa.string())),
        ]
    )
    rows = [dict(zip(schema.names, astuple(item), strict=True)) for item in reading.items]
    write_table(pa.Table.from_pylist(rows, schema), reading.notes, _content(reading), path)


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
            )
            for row in table.to_pylist()
        ]
        return TaskReading(tuple(items), notes)

    return read_table(path, "task", parse, _content)


def _content(reading: TaskReading) -> str:
    return digest([[asdict(item) for item in reading.items], reading.notes])
