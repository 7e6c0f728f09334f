"""Datasets of the Hugging Face Hub, pinned to a commit, or in a local folder."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.base import Segment
from neuroglot.corpora.columns import ColumnCorpus, RowSource
from neuroglot.corpora.template import PLACE
from neuroglot.errors import NeuroglotError


class DatasetSource(RowSource):
    """A source that can read the rows of a dataset."""

    name: str | None = Field(
        None, description="Configuration's name in the dataset; may contain {language}."
    )
    split: str = Field("train", min_length=1, description="Split of the dataset to read.")
    revision: str | None = Field(
        None,
        pattern="^[0-9a-f]{40}$",
        description="Commit of the dataset; required unless the dataset is a folder.",
    )
    data_files: str | None = Field(
        None, description="File or pattern within the dataset; may contain {language}."
    )

    def dataset_rows(self, dataset: str, language: str) -> Iterator[dict[str, Any]]:
        """Stream one language's rows of a Hub id or folder; download only those that are read.

        Raises:
            NeuroglotError: The dataset cannot be read, or needs a login.
        """
        import datasets

        try:
            name, files = self._name_of(dataset, language), self._files_of(dataset, language)
            yield from datasets.load_dataset(
                dataset,
                name,
                data_files=files,
                split=self.split,
                revision=self.revision,
                streaming=True,
            )
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            templates = filter(None, [dataset, self.name, self.data_files, f"split {self.split}"])
            part = ", ".join(templates).replace(PLACE, self.code(language))
            raise NeuroglotError(f"dataset {part}: {_unreadable(dataset, error)}") from error

    def _name_of(self, dataset: str, language: str) -> str | None:
        """Return the configuration's name, with the language as the dataset spells it."""
        if self.name is None or PLACE not in self.name or language in self.codes:
            return self.name and self.spell(self.name, language)
        import datasets

        names = datasets.get_dataset_config_names(dataset, revision=self.revision)
        return self._spelt_among(self.name, names, language)

    def _files_of(self, dataset: str, language: str) -> str | None:
        """Return the pattern of files; in a folder with the language as its files spell it."""
        if self.data_files is None or language in self.codes or not Path(dataset).is_dir():
            return self.data_files and self.spell(self.data_files, language)
        return self._spelt_among(self.data_files, file_names(dataset), language)

    def _spelt_among(self, template: str, names: Iterable[str], language: str) -> str:
        """Spell a template as those of ``names`` that match it spell the language."""
        first, *rest = map(_as_expression, template.split(PLACE))
        expression = re.compile(first + "".join(["([^/]+)", "\\1".join(rest)]) if rest else first)
        codes = [match[1] for name in names if rest and (match := expression.fullmatch(name))]
        return template.replace(PLACE, self.code_among(language, codes) or self.code(language))


def _as_expression(pattern: str) -> str:
    """Write a part of a file pattern as a regular expression; `*` stays within a folder."""
    escaped = re.escape(pattern)
    return escaped.replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _unreadable(dataset: str, error: Exception) -> str:
    """Say why a dataset cannot be read, and how to get access to one that needs a login."""
    if re.search(r"gated|401|403|authenticat", str(error), re.IGNORECASE):
        return (
            f"needs a login: accept its terms on https://huggingface.co/datasets/{dataset}, then "
            "run `hf auth login`, or put a token of your account into HF_TOKEN"
        )
    return f"cannot be read: {error}"


class HubCorpus(DatasetSource, ColumnCorpus):
    """Rows of a dataset read by the `datasets` library, which never runs a dataset's code."""

    source: Literal["hub"] = Field(description="A dataset of the Hugging Face Hub.")
    path: str = Field(min_length=1, description="Hub id, or a local dataset's folder.")

    def _names(self) -> list[str]:
        return [name for name in (self.name, self.data_files) if name is not None]

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        check_pinned(self.path, self.revision)
        return self

    def available(self) -> None:
        """Return None: the languages are known only after reading the dataset."""

    def inputs(self, language: str) -> list[Path]:  # noqa: ARG002 (one folder for all)
        """Return the files of a local dataset."""
        return local_files(self.path)

    def leaf(self, language: str) -> dict[str, Any]:
        """Return the inputs of a language, with the names of a local dataset's files."""
        return {**super().leaf(language), "files": file_names(self.path)}

    def segments(self, language: str, archive: Path | None) -> tuple[list[Segment], list[str]]:  # noqa: ARG002
        return self.pick(self.path, self.dataset_rows(self.path, language), language), []


def local_files(folder: str) -> list[Path]:
    """List the files of a local dataset; the list is empty for a dataset of the Hub."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def file_names(folder: str) -> list[str]:
    """Name a local dataset's files, because the names decide about splits and patterns."""
    return [path.relative_to(folder).as_posix() for path in local_files(folder)]


def check_pinned(dataset: str, revision: str | None) -> None:
    """Refuse a dataset that is neither a folder nor pinned to a commit, because it may change.

    Raises:
        ValueError: for pydantic, which adds the key's location.
    """
    if revision is None and not os.path.isdir(dataset):  # noqa: PTH112 - any text, also too long
        raise ValueError(
            f"revision is required: {dataset!r} is no folder here, so it is a dataset of "
            "the Hub, which must be pinned to a commit (40 hexadecimal digits)"
        )
