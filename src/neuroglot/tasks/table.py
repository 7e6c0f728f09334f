"""The user's own tasks: Parquet or JSON-lines files with the columns of the task files."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from neuroglot.corpora.columns import Row, cell
from neuroglot.corpora.table import table_rows
from neuroglot.corpora.template import FileSource, with_place
from neuroglot.errors import NeuroglotError
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.facts import answer_blank

COLUMNS = {"item": str, "prompt": str, "gold": list, "candidates": list}
FACT = "fact"


def _with_rows(path: str) -> str:
    if not path.endswith((".parquet", ".jsonl")):
        raise ValueError("a task's file ends with .parquet or .jsonl")
    return path


class TableTask(FileSource, Task):
    """Items with columns `item`, `prompt`, `gold` and `candidates`, a file for each language.

    The column `fact` may say which rows only word one question differently. `item` and `prompt`
    hold text, `gold` and `candidates` lists of text, the right answer first in `gold`. Answers
    are written as they continue the prompt, with the blank before them.
    """

    # Every task has the property `scoring`. Here it returns the setting `scoring` (`judged_by`).
    model_config = ConfigDict(serialize_by_alias=True)

    not_read = Task.not_read | {"judged_by"}

    source: Literal["table"] = Field(description="Parquet or JSON-lines files.")
    path: Annotated[str, AfterValidator(with_place), AfterValidator(_with_rows)] = Field(
        description="Path of a language's .parquet or .jsonl file, with {language} in it.",
    )
    judged_by: Scoring = Field(
        alias="scoring",
        description="rank: by the first token of the right answer against those of the other "
        "candidates; exact: by greedy decoding; string: by whole candidates.",
    )

    @property
    def scoring(self) -> Scoring:
        return self.judged_by

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        (path,) = self.inputs(language)
        rows = table_rows(path, list(COLUMNS), [FACT])
        items = [_item(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1)]
        # In a chat an answer begins a turn of its own; only examples continue their questions.
        return items, [] if self.chat and not self.shots else _unseparated(language, items)


def _unseparated(language: str, items: Sequence[Item]) -> list[str]:
    """Warn about answers that would continue the prompt's last word."""
    joined = [
        (item, answer)
        for item in items
        for answer in dict.fromkeys((*item.gold, *item.candidates))
        if answer_blank(language) and item.prompt[-1:].isalnum() and answer[:1].isalnum()
    ]
    if not joined:
        return []
    item, answer = joined[0]
    return [
        f"warning: {len(joined)} answers have no blank before them, and neither has the prompt's "
        f"end: item {item.id!r} is read as {(item.prompt + answer)[-40:]!r}; write {f' {answer}'!r}"
    ]


def _item(where: str, row: Row) -> Item:
    row = {FACT: "", **row}
    for column, wanted in {**COLUMNS, FACT: str}.items():
        content = cell(where, row, column)
        texts = content if isinstance(content, list) else [content]
        if not isinstance(content, wanted) or not all(isinstance(text, str) for text in texts):
            words = "text" if wanted is str else "a list of text"
            raise NeuroglotError(f"{where}: column {column!r} must hold {words}, found {content!r}")
    if not row["item"].strip():
        raise NeuroglotError(f"{where}: column 'item' is empty; every item needs an id")
    gold, candidates = tuple(row["gold"]), tuple(row["candidates"])
    return Item(row["item"], row["prompt"], gold, candidates, row[FACT])
