"""Sources of the user's own data, with `{language}` in the names of files, columns and such."""

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field, field_validator

from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, is_spelling, spelt_ids
from neuroglot.sources import Source

PLACE = "{language}"
SHOWN_FILES = 8


def with_place(path: str) -> str:
    """Refuse a path in which the language has no place.

    Raises:
        ValueError: for pydantic, which adds the key's location.
    """
    if PLACE not in path:
        raise ValueError(
            f"the path of a language's file must have {PLACE} where the language's code stands, "
            f"as texts/{PLACE}.txt has"
        )
    return path


class CodedSource(Source):
    """A source that may have codes of its own for languages."""

    codes: dict[LanguageId, str] = Field(
        {},
        description="The data's own code of a language where it is not our id. Spellings of BCP "
        "47, ISO 639-3 and FLORES (`pt_BR`, `deu`, `deu_Latn`) are recognised in the names of "
        "files and in columns.",
    )

    @field_validator("codes")
    @classmethod
    def _one_language_each(cls, codes: dict[str, str]) -> dict[str, str]:
        languages: dict[str, str] = {}
        for language, code in codes.items():
            if code in languages:
                raise ValueError(
                    f"languages {languages[code]!r} and {language!r} have one code, {code!r}, and "
                    "would be read from the same data"
                )
            languages[code] = language
        return codes

    def code(self, language: str) -> str:
        """Return the data's code for a language."""
        return self.codes.get(language, language)

    def has_code(self, code: str, language: str) -> bool:
        """Whether the data's ``code`` stands for a language."""
        if language in self.codes or code in self.codes.values():
            return self.codes.get(language) == code
        return is_spelling(code, language)

    def code_among(self, language: str, codes: Iterable[str]) -> str | None:
        """Find the language's code among the data's: the configured one, our id, or a spelling.

        Raises:
            NeuroglotError: several codes spell the language.
        """
        among = sorted(set(codes))
        if self.code(language) in among:
            return self.code(language)
        spellings = [code for code in among if self.has_code(code, language)]
        if len(spellings) > 1:
            raise NeuroglotError(
                f"language {language!r}: {' and '.join(spellings)} both spell it; name one under "
                f"codes, as codes: {{{language}: {spellings[0]}}}"
            )
        return spellings[0] if spellings else None

    def spelt_by(self, codes: Iterable[str]) -> frozenset[str]:
        """Return the ids of the languages that the data's codes stand for."""
        languages = {code: {language} for language, code in self.codes.items()}
        return frozenset().union(*(languages.get(code) or spelt_ids(code) for code in codes))


class SearchedSource(CodedSource):
    """A source whose files are searched for in a folder."""

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each language whose files are not found."""
        problems = []
        for language in languages:
            try:
                self.inputs(language)
            except NeuroglotError as error:
                problems.append(str(error))
        return list(dict.fromkeys(problems))


class TemplateSource(CodedSource):
    """A source whose names contain the language."""

    def spell(self, template: str, language: str) -> str:
        """Put a language's code into a template."""
        return template.replace(PLACE, self.code(language))

    def file(self, template: str, language: str) -> str:
        """Put a language's code into a path: its own, or that which the files are named by.

        Raises:
            NeuroglotError: files of several codes exist for the language.
        """
        ours = self.spell(template, language)
        if PLACE not in template or language in self.codes or _is_file(ours):
            return ours
        code = self.code_among(language, self._codes_in(template))
        return ours if code is None else template.replace(PLACE, code)

    def spelt(self, template: str) -> frozenset[str]:
        """Return the languages for which the template's file exists."""
        return self.spelt_by(self._codes_in(template))

    def _codes_in(self, template: str) -> Iterator[str]:
        """Yield the codes of the template's files."""
        first, *rest = map(re.escape, template.split(PLACE))
        pattern = re.compile(first + "".join(["([^/\\\\]+)", "\\1".join(rest)]) if rest else first)
        wildcard = "*".join(map(glob.escape, template.split(PLACE)))
        for path in glob.glob(wildcard):  # noqa: PTH207 (Path.glob refuses absolute patterns)
            if match := pattern.fullmatch(path):
                yield match[1]

    def missing_files(self, template: str, languages: Iterable[str]) -> list[str]:
        """Word one message for each file of the template that does not exist."""
        if PLACE not in template:
            return [] if _is_file(template) else [f"{template} does not exist"]
        problems = []
        for language in languages:
            try:
                path = self.file(template, language)
            except NeuroglotError as error:
                problems.append(str(error))
                continue
            if not _is_file(path):
                problems.append(
                    f"language {language!r}: {path} does not exist; {self._there(template)}"
                )
        return problems

    def _there(self, template: str) -> str:
        """Say which files there are, and that codes can name them."""
        names = sorted(self._codes_in(template))
        if not names:
            folder = Path(template[: template.index(PLACE)] + "x").parent
            files = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            return f"{folder} holds {_first(files)}" if files else f"{folder} holds no files"
        return (
            f"files there are for: {_first(names)}; if one of these is the language, say so under "
            "codes, as codes: {xx: name}"
        )


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
        return [Path(self.file(self.path, language))]


def _first(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_FILES} more" if len(names) > SHOWN_FILES else ""
    return ", ".join(names[:SHOWN_FILES]) + more


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - any text, too long for a path too
