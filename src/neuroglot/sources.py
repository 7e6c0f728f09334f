"""What texts and tasks have in common: languages, files, and what one language is read from."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from neuroglot.errors import unknown_name
from neuroglot.languages import LanguageId, with_script
from neuroglot.settings import distinct

PLACES = ("path", "folder", "hub")
IDENTITY = ("source", *PLACES, "name", "data_files", "split", "revision", "relation")


Languages = Annotated[tuple[LanguageId, ...], AfterValidator(distinct), Field(min_length=1)]


def plain_paths(value: Any) -> Any:
    """Refuse a user's path, or codes that are put into one, that Snakemake would fill in.

    Raises:
        ValueError: for pydantic, which adds the key's location.
    """
    for text in value.values() if isinstance(value, Mapping) else [value]:
        if text is not None and re.search(r"[{}\0]", str(text).replace("{language}", "")):
            raise ValueError(
                "braces are wildcards to Snakemake, and NUL is in no path; use neither, but for "
                "{language}"
            )
    return value


class Source(BaseModel, ABC):
    """Settings of a text or a task, which know how to read it, a language at a time.

    A language is read again when its `leaf`, the content of its `inputs` or the code behind
    `code_targets` changes, and not when another language's do. A new source overrides `shipped` if
    it reads data that come with the package, and `read_with` if it looks settings of other
    languages up.

    Attributes:
        noun: what messages call it.
        writer: the definition, `module:name`, that writes a reading.
        not_read: settings that are no part of a reading, or that `shipped` gives in another form.
    """

    noun: ClassVar[str]
    writer: ClassVar[str]
    not_read: ClassVar[frozenset[str]] = frozenset({"languages"})

    model_config = ConfigDict(extra="forbid", frozen=True)

    _plain_paths = field_validator("path", "folder", "codes", check_fields=False)(plain_paths)

    @abstractmethod
    def available(self) -> frozenset[str] | None:
        """Return the ids of the languages it holds, without reading text; None if unknowable."""

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each language that it is known to lack."""
        held = self.available()
        if held is None:
            return []
        written = set(map(with_script, held))
        return [
            unknown_name(f"language of this {self.noun}", language_id, held)
            for language_id in language_ids
            if with_script(language_id) not in written
        ]

    def inputs(self, language_id: str) -> list[Path]:  # noqa: ARG002 (for sources with files)
        """Return the user's files that one language's reading depends on, in a fixed order."""
        return []

    def read_with(self, language_id: str) -> tuple[str, ...]:
        """Return the languages whose settings one language's reading looks up."""
        return (language_id,)

    def shipped(self, language_id: str) -> dict[str, Any]:  # noqa: ARG002 (for sources with data)
        """Return what one language's reading takes from data that come with the package."""
        return {}

    def leaf(self, language_id: str) -> dict[str, Any]:
        """Return all that one language is read from but its files, its package and the code.

        Settings by language are cut down to those that are looked up. Of a user's file the content
        counts and how its name ends, not where it lies.

        Raises:
            NeuroglotError: the source lacks the language; `problems` says so beforehand.
        """
        looked_up = set(map(with_script, self.read_with(language_id)))
        settings = self.model_dump(mode="json", by_alias=False, exclude=set(self.not_read))
        has_files = bool(self.inputs(language_id))
        for key, value in settings.items():
            if isinstance(getattr(self, key), dict):
                settings[key] = {one: value[one] for one in value if with_script(one) in looked_up}
            elif has_files and key in PLACES and value is not None:
                settings[key] = Path(value).suffix
        return {**settings, **self.shipped(language_id)}

    def origin(self) -> dict[str, Any]:
        """Return which text or task it is, whatever is read of it: its kind and its place.

        What lies on this machine is a Path.
        """
        found = {key: getattr(self, key, None) for key in IDENTITY}
        on_hub = found["revision"] is not None
        return {
            key: Path(value) if key in PLACES and not on_hub else value
            for key, value in found.items()
            if value is not None
        }

    def code_targets(self) -> tuple[str, ...]:
        """Return the definitions that read and write it, as `module:name`.

        Never the union of all sources, or each would be read again when one is added.
        """
        return f"{type(self).__module__}:{type(self).__qualname__}", self.writer
