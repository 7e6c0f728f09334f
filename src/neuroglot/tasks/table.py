"""The user's own tasks: Parquet or JSON-lines files with the columns of the task files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from neuroglot.corpora.table import TableCorpus, table_rows
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import LanguageId
from neuroglot.tasks.base import Item, Scoring, Task

COLUMNS = {"item": str, "prompt": str, "gold": list, "candidates": list}
FACT = "fact"


class TableTask(Task):
    """Items with columns `item`, `prompt`, `gold`, `candidates` and perhaps `fact`, by language.

    `item` and `prompt` hold text, `gold` and `candidates` lists of text, the right answer first in
    `gold`. Answers are written as they continue the prompt, with the blank before them.
    """

    # Every task has the property `scoring`. Here it returns the setting `scoring` (`judged_by`).
    model_config = ConfigDict(serialize_by_alias=True)

    not_read = Task.not_read | {"judged_by"}

    source: Literal["table"] = Field(description="Parquet or JSON-lines files.")
    path: str = Field(
        pattern=r"\{language\}.*\.(parquet|jsonl)$",
        description="Path of a language's .parquet or .jsonl file, with {language} in it.",
    )
    codes: dict[LanguageId, str] = Field(
        {}, description="The files' own code of a language where it is not our id."
    )
    judged_by: Scoring = Field(
        alias="scoring",
        description="rank: by the first token of the right answer against those of the other "
        "candidates; exact: by greedy decoding; string: by whole candidates.",
    )

    @property
    def scoring(self) -> Scoring:
        """How an answer is judged, from the settings."""
        return self.judged_by

    def available(self) -> frozenset[str] | None:
        """Return the languages that have a file."""
        return files_of(self.path, self.codes).available()

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each missing file."""
        return files_of(self.path, self.codes).problems(language_ids)

    def inputs(self, language_id: str) -> list[Path]:
        """Return the language's file."""
        return files_of(self.path, self.codes).inputs(language_id)

    def items(self, language_id: str) -> tuple[list[Item], list[str]]:
        """Read one language's file."""
        (path,) = self.inputs(language_id)
        rows = table_rows(path, list(COLUMNS), [FACT])
        return [_item(f"{path}: row {number}", row) for number, row in enumerate(rows, start=1)], []


def files_of(path: str, codes: Mapping[str, str]) -> TableCorpus:
    """Return a corpus with these files, whose methods find them.

    It is not validated, because its columns are not those of a corpus.
    """
    return TableCorpus.model_construct(source="table", path=path, codes=dict(codes))


def _item(where: str, row: Mapping[str, Any]) -> Item:
    given = {FACT: "", **row}
    for column, kind in {**COLUMNS, FACT: str}.items():
        if column not in given:
            raise NeuroglotError(f"{where}: {unknown_name('column', column, row)}")
        value = given[column]
        texts = value if isinstance(value, list) else [value]
        if not isinstance(value, kind) or not all(isinstance(text, str) for text in texts):
            wanted = "text" if kind is str else "a list of text"
            raise NeuroglotError(f"{where}: column {column!r} must hold {wanted}, found {value!r}")
    if not row["item"].strip():
        raise NeuroglotError(f"{where}: column 'item' is empty; every item needs an id")
    gold, candidates = tuple(row["gold"]), tuple(row["candidates"])
    return Item(row["item"], row["prompt"], gold, candidates, given[FACT])
