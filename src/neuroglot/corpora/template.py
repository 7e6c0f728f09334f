"""Sources of the user's own data, with `{language}` in the names of files, columns and such."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field

from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, language_id
from neuroglot.sources import Source

PLACE = "{language}"


class TemplateSource(Source):
    """A source whose names contain the language."""

    codes: dict[LanguageId, str] = Field(
        {}, description="The data's own code of a language where it is not our id."
    )

    def code(self, language: str) -> str:
        """Return the data's code for a language."""
        return self.codes.get(language, language)

    def spell(self, template: str, language: str) -> str:
        """Put a language's code into a template."""
        return template.replace(PLACE, self.code(language))

    def spelt(self, template: str) -> frozenset[str]:
        """Return the languages for which the template's file exists."""
        first, *rest = map(re.escape, template.split(PLACE))
        pattern = re.compile(first + "".join(["([^/\\\\]+)", "\\1".join(rest)]) if rest else first)
        languages = {code: language for language, code in self.codes.items()}
        spelt = set()
        wildcard = "*".join(map(glob.escape, template.split(PLACE)))
        for path in glob.glob(wildcard):  # noqa: PTH207 (Path.glob refuses absolute patterns)
            match = pattern.fullmatch(path)
            if match and match[1] in languages:
                spelt.add(languages[match[1]])
            elif match:
                spelt.update(_as_id(match[1]))
        return frozenset(spelt)

    def missing_files(self, template: str, languages: Iterable[str]) -> list[str]:
        """Word one message for each file of the template that does not exist."""
        if PLACE not in template:
            return [] if _is_file(template) else [f"{template} does not exist"]
        spelt = ", ".join(sorted(self.spelt(template))) or "none"
        return [
            f"language {language!r}: {path} does not exist; languages found: {spelt}"
            for language in languages
            if not _is_file(path := self.spell(template, language))
        ]


class FileSource(TemplateSource):
    """A source with a file for each language, or one for all if `path` has no {language}."""

    path: str

    def available(self) -> frozenset[str] | None:
        """Return the languages that have a file; None if one file holds all languages."""
        return self.spelt(self.path) if PLACE in self.path else None

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each missing file."""
        return self.missing_files(self.path, languages)

    def inputs(self, language: str) -> list[Path]:
        """Return the file that holds the language."""
        return [Path(self.spell(self.path, language))]


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - any text, too long for a path too


def _as_id(code: str) -> set[str]:
    """Return the code if it is a language's id, as `spell` would write it; else nothing."""
    try:
        return {code} if language_id(code) == code else set()
    except NeuroglotError:
        return set()
