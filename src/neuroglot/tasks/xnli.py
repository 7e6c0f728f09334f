"""Rows of XNLI or of similar data, from the user's own files or a dataset of the Hub."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from neuroglot.corpora.columns import Row, filled
from neuroglot.corpora.hub import DatasetSource, check_pinned, file_names, local_files
from neuroglot.corpora.table import table_rows
from neuroglot.corpora.template import PLACE
from neuroglot.corpora.text import read_lines
from neuroglot.errors import NeuroglotError
from neuroglot.tasks.nli import InferenceTask, tab_separated

UNLABELLED = frozenset({"-1", "-"})  # written where annotators did not agree


def _written(label: Any) -> str:
    """A label as text: a whole number without the fraction that a table's program gave it."""
    whole = isinstance(label, float) and label.is_integer()
    return str(int(label) if whole else label).strip().removesuffix(".0")


def _listed(value: Any) -> list[str]:
    return [_written(each) for each in (value if isinstance(value, list | tuple) else [value])]


Values = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]


class LabelValues(BaseModel):
    """What data write for each label: a text or number, or a list of several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entailment: Values = Field(("entailment", "0"), description="Written for what follows.")
    neutral: Values = Field(("neutral", "1"), description="Written for what is open.")
    contradiction: Values = Field(("contradiction", "2"), description="Written for the contrary.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        written = [value for _, values in self for value in values]
        twice = sorted({value for value in written if written.count(value) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands for two labels; give all three labels values")
        return self

    def place(self, label: str) -> int | None:
        """Return a label's place in `LABELS`; None if nothing is written so."""
        for place, (_, values) in enumerate(self):
            if label.casefold() in map(str.casefold, values):
                return place
        return None


class XnliTask(DatasetSource, InferenceTask):
    """Rows of XNLI, or of data like it: a premise, a hypothesis and a label.

    The language stands in exactly one place: in a path or name (`{language}`), or in a column of
    its own (`language_column`). Labels are written as words or as XNLI's numbers (0 entailment,
    1 neutral, 2 contradiction), or as `label_values` says. Rows whose label is -1 or `-` have none
    and are left out.
    """

    source: Literal["xnli"] = Field(description="XNLI's files, or a dataset of the Hub.")
    path: str | None = Field(
        None,
        pattern=r"\.(parquet|tsv|jsonl)$",
        description="Path of the .parquet, .tsv or .jsonl file; may contain {language}.",
    )
    hub: str | None = Field(None, min_length=1, description="Hub id, or a local dataset's folder.")
    split: str = Field("test", min_length=1, description="Split of the dataset to read.")
    premise_column: str = Field("premise", min_length=1, description="Column of the premise.")
    hypothesis_column: str = Field(
        "hypothesis", min_length=1, description="Column of the hypothesis."
    )
    label_column: str = Field("label", min_length=1, description="Column of the label.")

    label_values: LabelValues = Field(
        LabelValues(),
        description="What the data write for each label, if that is neither its name nor XNLI's "
        "number.",
    )

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give either path, for files, or hub, for a dataset")
        if self.hub is not None:
            check_pinned(self.hub, self.revision)
        elif self.name or self.data_files or self.revision:
            raise ValueError("name, data_files and revision belong to hub, not to path")
        names = [name for name in (self.path, self.name, self.data_files) if name is not None]
        if any(PLACE in name for name in names) == (self.language_column is not None):
            raise ValueError(
                f"the language must stand in one place: {PLACE} in a path or name, or "
                "language_column"
            )
        return self

    def available(self) -> frozenset[str] | None:
        """Return the languages that have a file; None if they are known only after reading."""
        return self.spelt(self.path) if self.path and PLACE in self.path else None

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each missing file and each language without a prompt."""
        asked = list(languages)
        problems = self.missing_files(self.path, asked) if self.path else []
        for language in asked:
            try:
                self.wording(language)
            except NeuroglotError as error:
                problems.append(str(error))
        return problems

    def inputs(self, language: str) -> list[Path]:
        """Return the file that holds the language, or the files of a local dataset."""
        if self.path is None:
            return local_files(str(self.hub))
        return [Path(self.file(self.path, language))]

    def is_here(self) -> bool:
        """Whether it can be read without a download."""
        return self.hub is None or bool(local_files(self.hub))

    def leaf(self, language: str) -> dict[str, Any]:
        """Return the inputs of a language, with the names of a local dataset's files."""
        return {**super().leaf(language), "files": file_names(self.hub) if self.hub else []}

    def sentences(self, language: str) -> Iterator[tuple[str, str, str, int | None]]:
        origin, rows = self._rows(language)
        for where, identifier, row in self.rows_of(language, origin, rows):
            yield (
                identifier,
                _text(where, row, self.premise_column),
                _text(where, row, self.hypothesis_column),
                self._label(where, row),
            )

    def _label(self, where: str, row: Row) -> int | None:
        """Read a label: its place in `LABELS`; None if the row has no label."""
        label = filled(where, row, self.label_column)
        place = self.label_values.place(_written(label))
        if place is None and _written(label) not in UNLABELLED:
            values = ", ".join(value for _, of in self.label_values for value in of)
            raise NeuroglotError(
                f"{where}: column {self.label_column!r} must hold one of {values}, found "
                f"{label!r}; label_values can say what the data's labels mean"
            )
        return place

    def _rows(self, language: str) -> tuple[str, Iterator[Row]]:
        if self.hub is not None:
            return self.hub, self.dataset_rows(self.hub, language)
        (path,) = self.inputs(language)
        if path.suffix == ".tsv":
            return str(path), tab_separated(str(path), read_lines(path))
        columns = [self.premise_column, self.hypothesis_column, self.label_column]
        columns += filter(None, [self.id_column, self.language_column])
        return str(path), table_rows(path, columns)


def _text(where: str, row: Row, column: str) -> str:
    text = filled(where, row, column)
    if not isinstance(text, str):
        raise NeuroglotError(f"{where}: column {column!r} must hold text, found {text!r}")
    return text.strip()
