"""Corpora of the user's own, with `{language}` in their paths or column names."""

import glob
import os
import re
from collections.abc import Iterable

from pydantic import Field

from neuroglot.corpora.base import Corpus
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, language_id

PLACE = "{language}"


class TemplateCorpus(Corpus):
    """A corpus that spells the language in file, column or configuration names."""

    codes: dict[LanguageId, str] = Field(
        {}, description="The corpus's own code of a language where it is not our id."
    )

    def code(self, identifier: str) -> str:
        """Return the corpus's code for a language."""
        return self.codes.get(identifier, identifier)

    def spell(self, template: str, identifier: str) -> str:
        """Put a language's code into a template."""
        return template.replace(PLACE, self.code(identifier))

    def spelt(self, template: str) -> frozenset[str]:
        """Return the languages for which the template's file exists."""
        first, *rest = map(re.escape, template.split(PLACE))
        pattern = re.compile(first + "".join(["([^/\\\\]+)", "\\1".join(rest)]) if rest else first)
        ids = {code: identifier for identifier, code in self.codes.items()}
        found = set()
        wildcard = "*".join(map(glob.escape, template.split(PLACE)))
        for path in glob.glob(wildcard):  # noqa: PTH207 (Path.glob refuses absolute patterns)
            match = pattern.fullmatch(path)
            if match and match[1] in ids:
                found.add(ids[match[1]])
            elif match:
                found.update(_as_id(match[1]))
        return frozenset(found)

    def missing_files(self, template: str, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each language whose file does not exist."""
        found = ", ".join(sorted(self.spelt(template))) or "none"
        return [
            f"language {identifier!r}: {path} does not exist; languages found: {found}"
            for identifier in language_ids
            if not os.path.isfile(path := self.spell(template, identifier))  # noqa: PTH113 - any text, too long for a path too
        ]


def _as_id(code: str) -> set[str]:
    """Return the code if it is a language's id, as `spell` would write it; else nothing."""
    try:
        return {code} if language_id(code) == code else set()
    except NeuroglotError:
        return set()
