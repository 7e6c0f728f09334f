"""The base class of corpora and tasks: languages, files, and the inputs of one language."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, field_validator

from neuroglot.errors import unknown_name
from neuroglot.languages import LanguageId, with_script
from neuroglot.packages import PinnedPackage
from neuroglot.settings import Section, distinct

PLACES = ("path", "folder", "hub")
IDENTITY = ("source", *PLACES, "name", "data_files", "split", "revision", "relation")


Languages = Annotated[tuple[LanguageId, ...], AfterValidator(distinct), Field(min_length=1)]


def plain_paths(value: Any) -> Any:
    """Refuse paths, and codes that are put into paths, with NUL or braces except `{language}`.

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


class Source(Section, ABC):
    """Settings of a corpus or a task, with the methods that read it, one language at a time.

    A language is read again if its `leaf`, the content of its `inputs` or the code of
    `code_targets` changes. Changes for another language do not matter. A new source overrides
    `shipped` if it reads data that come with the package, and `read_with` if it uses settings of
    other languages.

    Attributes:
        noun: the source's name in messages.
        writer: the definition, `module:name`, that writes a reading.
        not_read: settings that do not affect a reading, or that `shipped` gives in another form.
    """

    noun: ClassVar[str]
    writer: ClassVar[str]
    not_read: ClassVar[frozenset[str]] = frozenset({"languages"})

    _plain_paths = field_validator("path", "folder", "codes", check_fields=False)(plain_paths)

    @abstractmethod
    def available(self) -> frozenset[str] | None:
        """Return the ids of the source's languages without reading text; None if unknown."""

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each language that the source is known to lack."""
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

    def package(self) -> PinnedPackage | None:
        """Return the package that must be downloaded before the source is read, if there is one."""
        return None

    def files(self, language: str) -> list[Path]:
        """Return the user's files that reading a language needs, also those of other languages."""
        return self.inputs(language)

    def read_with(self, language_id: str) -> tuple[str, ...]:
        """Return the languages whose settings are used in reading one language."""
        return (language_id,)

    def shipped(self, language_id: str) -> dict[str, Any]:  # noqa: ARG002 (for sources with data)
        """Return the shipped data that are used in reading one language."""
        return {}

    def leaf(self, language_id: str) -> dict[str, Any]:
        """Return the inputs of one language's reading, except its files, its package and the code.

        Settings by language are restricted to the languages of `read_with`. A user's file counts by
        its content and its name's suffix, not by its path.

        Raises:
            NeuroglotError: the source lacks the language; `problems` reports this earlier.
        """
        looked_up = set(map(with_script, self.read_with(language_id)))
        settings = self.model_dump(mode="json", by_alias=False, exclude=set(self.not_read))
        has_files = bool(self.inputs(language_id))
        for key, value in settings.items():
            if isinstance(getattr(self, key), dict):
                settings[key] = {
                    language: setting
                    for language, setting in value.items()
                    if with_script(language) in looked_up
                }
            elif has_files and key in PLACES and value is not None:
                settings[key] = Path(value).suffix
        return {**settings, **self.shipped(language_id)}

    def origin(self) -> dict[str, Any]:
        """Return the settings that identify the text or task, such as its source and its path.

        Paths on this machine are Path objects.
        """
        identity = {key: getattr(self, key, None) for key in IDENTITY}
        on_hub = identity["revision"] is not None
        return {
            key: Path(setting) if key in PLACES and not on_hub else setting
            for key, setting in identity.items()
            if setting is not None
        }

    def code_targets(self) -> tuple[str, ...]:
        """Return the definitions that read and write it, as `module:name`.

        The union of all sources must not be among them, or a new source would change every key.
        """
        return f"{type(self).__module__}:{type(self).__qualname__}", self.writer
