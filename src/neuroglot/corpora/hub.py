"""Datasets of the Hugging Face Hub, pinned to a commit, or in a local folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.base import Segment
from neuroglot.corpora.columns import ColumnCorpus
from neuroglot.errors import NeuroglotError


class HubCorpus(ColumnCorpus):
    """Rows of a dataset read through the `datasets` library, which never runs a dataset's code."""

    source: Literal["hub"] = Field(description="A dataset of the Hugging Face Hub.")
    path: str = Field(min_length=1, description="Hub id, or a local dataset's folder.")
    name: str | None = Field(None, description="Configuration's name; may contain {language}.")
    split: str = Field("train", min_length=1, description="Split to read.")
    revision: str | None = Field(
        None,
        pattern="^[0-9a-f]{40}$",
        description="Commit of the dataset; required unless `path` is a folder.",
    )
    data_files: str | None = Field(
        None, description="File or pattern within the dataset; may contain {language}."
    )

    def _names(self) -> list[str]:
        return [name for name in (self.name, self.data_files) if name is not None]

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        check_pinned(self.path, self.revision)
        return self

    def available(self) -> None:
        """Return None: the languages are known only after reading the dataset."""

    def inputs(self, language_id: str) -> list[Path]:  # noqa: ARG002 (one folder for all)
        """Return the files of a local dataset."""
        return local_files(self.path)

    def leaf(self, language_id: str) -> dict[str, Any]:
        """Return the inputs of a language, with the names of a local dataset's files."""
        return {**super().leaf(language_id), "files": self.file_names()}

    def file_names(self) -> list[str]:
        """Return the file names in a local dataset, which decide about splits and patterns."""
        return [path.relative_to(self.path).as_posix() for path in local_files(self.path)]

    def segments(
        self,
        language_id: str,
        archive: Path | None = None,  # noqa: ARG002 (no package)
    ) -> tuple[list[Segment], list[str]]:
        """Read one language's rows."""
        return self.pick(self.path, self.rows(language_id), language_id), []

    def rows(self, language_id: str) -> Iterator[dict[str, Any]]:
        """Stream one language's rows: only rows that are read are downloaded, and none are cached.

        Raises:
            NeuroglotError: The dataset cannot be read.
        """
        import datasets

        name, files = (
            template and self.spell(template, language_id)
            for template in (self.name, self.data_files)
        )
        try:
            yield from datasets.load_dataset(
                self.path,
                name,
                data_files=files,
                split=self.split,
                revision=self.revision,
                streaming=True,
            )
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            what = ", ".join(filter(None, [self.path, name, files, f"split {self.split}"]))
            raise NeuroglotError(f"dataset {what}: cannot be read: {error}") from error


def local_files(folder: str) -> list[Path]:
    """List the files of a local dataset; the list is empty for a dataset of the Hub."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def check_pinned(path: str, revision: str | None) -> None:
    """Refuse a dataset that is neither a folder nor pinned to a commit, because it may change.

    Raises:
        ValueError: for pydantic, which adds the key's location.
    """
    if revision is None and not os.path.isdir(path):  # noqa: PTH112 - any text, also too long
        raise ValueError(
            f"revision is required: {path!r} is no folder here, so it is a dataset of "
            "the Hub, which must be pinned to a commit (40 hexadecimal digits)"
        )
