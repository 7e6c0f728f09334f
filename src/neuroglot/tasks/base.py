"""The base class of tasks: questions with known answers, the same in every language."""

import json
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroglot.corpora.base import LONGEST_ID
from neuroglot.errors import NeuroglotError
from neuroglot.files import written_whole
from neuroglot.languages import with_script
from neuroglot.provenance import digest
from neuroglot.sources import Languages, Source

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
    """One language's items in the order in which they are drawn, and notes on what was left out."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


class Task(Source):
    """Settings of one task, which know how to read it."""

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
    max_items: int | None = Field(
        None, ge=1, description="Ask only so many questions, drawn from all; all if left out."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw, which is the same in every language.")

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

    def read_in(self, language_ids: Iterable[str]) -> list[str]:
        """Choose the configured languages in which the task is read."""
        if self.languages is not None:
            return list(self.languages)
        held = self.available()
        if held is None:
            return list(language_ids)
        written = set(map(with_script, held))
        return [one for one in language_ids if with_script(one) in written]

    @abstractmethod
    def items(self, language_id: str) -> tuple[list[Item], list[str]]:
        """Read one language's items as they are in the source, and notes."""

    def read(self, language_id: str) -> TaskReading:
        """Read one language, and draw its examples and questions.

        What is drawn depends on the seed and on the facts' ids alone: it is the same in every
        language, and the first questions are the same whatever ``max_items`` is.

        Raises:
            NeuroglotError: the source cannot be read or lacks the language; an item is repeated, or
                lacks its prompt, its answer, or the answer among its candidates; no item is left
                after the examples.
        """
        items, notes = self.items(language_id)
        _check_items(language_id, items)
        by_fact = defaultdict(list)
        for item in items:
            by_fact[item.fact or item.id].append(item)
        facts = self._in_turns(by_fact, sorted(by_fact, key=lambda fact: digest([self.seed, fact])))
        if len(facts) <= self.reserved:
            raise NeuroglotError(
                f"language {language_id!r}: the task has {len(facts)} facts and keeps "
                f"{self.reserved} for examples, which leaves no question; lower shots and reserve"
            )
        examples = [by_fact[fact][0] for fact in facts[: self.shots]]
        before = "".join(item.prompt + item.gold[0] + BETWEEN_EXAMPLES for item in examples)
        asked_facts = self._in_turns(by_fact, facts[self.reserved :])
        questions = chain.from_iterable(by_fact[fact] for fact in asked_facts)
        asked = [
            replace(item, prompt=before + item.prompt) for item in islice(questions, self.max_items)
        ]
        return TaskReading(tuple(asked), tuple(notes))

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


def _check_items(language_id: str, items: Sequence[Item]) -> None:
    seen: set[str] = set()
    for item in items:
        if len(item.id) > LONGEST_ID or "\0" in item.id:
            raise NeuroglotError(
                f"language {language_id!r}: {item.id[:80]!r} is no item id: it has more than "
                f"{LONGEST_ID} characters, or a NUL"
            )
        if item.id in seen:
            raise NeuroglotError(
                f"language {language_id!r}: item {item.id!r} stands twice; ids must be distinct "
                "within a language"
            )
        seen.add(item.id)
        if not item.prompt.strip() or not item.gold or not all(g.strip() for g in item.gold):
            raise NeuroglotError(
                f"language {language_id!r}: item {item.id!r} has no text in its prompt or its "
                "gold answer; remove it"
            )
        if item.gold[0] not in item.candidates:
            raise NeuroglotError(
                f"language {language_id!r}: the gold answer {item.gold[0]!r} of item {item.id!r} "
                "is not among its candidates; add it to them"
            )


def facts_of(items: Mapping[str, Sequence[Item]]) -> list[str]:
    """Name the fact that each item asks for, where all languages have the same items."""
    first = next(iter(items.values()))
    return [item.fact or item.id for item in first]


def check_same_items(task: str, items: Mapping[str, Sequence[str]]) -> None:
    """Refuse a task unless all its languages have the same items in the same order.

    Neurons are compared within an item, so an item missing in one language cannot be judged.

    Args:
        task: the task's id, for the message.
        items: item ids by language.

    Raises:
        NeuroglotError: an item is missing in a language, or the order differs.
    """
    for one, other in combinations(items, 2):
        missing = sorted(set(items[one]) ^ set(items[other]))
        if missing:
            lacking = other if missing[0] in items[one] else one
            raise NeuroglotError(
                f"task {task!r}: language {lacking!r} has no item {missing[0]!r} "
                f"({len(missing)} items stand in only one of {one!r} and {other!r}); every "
                "language needs the same items"
            )
        if list(items[one]) != list(items[other]):
            raise NeuroglotError(
                f"task {task!r}: languages {one!r} and {other!r} have the same items in another "
                "order; sort them"
            )


def write_items(reading: TaskReading, path: Path) -> None:
    """Write items as columns `item, prompt, gold, candidates, fact`, notes in the metadata.

    The file appears complete or not at all; equal readings give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.list_(pa.string())
    schema = pa.schema(
        [
            ("item", pa.string()),
            ("prompt", pa.string()),
            ("gold", texts),
            ("candidates", texts),
            ("fact", pa.string()),
        ],
        metadata={
            "notes": json.dumps(list(reading.notes), ensure_ascii=False),
            "content": _content(reading),
        },
    )
    rows = [
        {
            "item": one.id,
            "prompt": one.prompt,
            "gold": list(one.gold),
            "candidates": list(one.candidates),
            "fact": one.fact,
        }
        for one in reading.items
    ]
    with written_whole(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema), temporary, compression="zstd")


def read_items(path: Path) -> TaskReading:
    """Read items from a file of `write_items`.

    Raises:
        NeuroglotError: the file is missing, damaged or was not written by `write_items`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        notes = json.loads((table.schema.metadata or {})[b"notes"])
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
        reading = TaskReading(tuple(items), tuple(notes))
        whole = _content(reading) == (table.schema.metadata or {})[b"content"].decode()
    except (OSError, KeyError, ValueError, TypeError, MemoryError, pa.ArrowException) as error:
        raise NeuroglotError(f"{path}: is not a task file of this workflow: {error}") from error
    if not whole:
        raise NeuroglotError(f"{path} is damaged; remove it and run the workflow again")
    return reading


def _content(reading: TaskReading) -> str:
    return digest([[asdict(item) for item in reading.items], reading.notes])
