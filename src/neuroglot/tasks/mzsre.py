"""Knowledge editing across languages with MzsRE (Wang et al., 2023), from its JSON files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.shipped import entry_of
from neuroglot.corpora.template import TemplateSource
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, with_script
from neuroglot.tasks.base import Item
from neuroglot.tasks.edits import QUESTION, PivotTask, edit_prompt, shipped_layouts
from neuroglot.tasks.facts import answer_blank

ENGLISH = "en"
FIELDS = ("src", "rephrase", "alt")

Side = Mapping[str, str]


class MzsreTask(TemplateSource, PivotTask):
    """MzsRE: questions with a counterfactual answer, in files of English and one other language.

    The context tells the edit as the file's `src` and `alt` in a row, "Which family does
    Ramalinaceae belong to? Lamiinae"; the answer is `alt` in the language of the question.
    """

    not_read = PivotTask.not_read | {"layouts"}

    source: Literal["mzsre"] = Field(description="MzsRE's JSON files.")
    path: str = Field(
        pattern=r"\{language\}",
        description="Path of the file that has English and a language, with {language} in it, such "
        "as mzsre_test_duplicate_en{language}.json.",
    )
    english_from: LanguageId | None = Field(
        None,
        description="Language whose file gives English, and whose English the other files' must "
        "equal; the first in order that has a file if left out.",
    )
    question: Literal["rephrase", "src"] = Field(
        "rephrase", description="Ask in other words than the context does, or in the same."
    )
    layouts: dict[LanguageId, str] = Field(
        {},
        description="How a language that has none shipped lays its question out, such as "
        "'Question: {question} Answer:'.",
    )

    @model_validator(mode="after")
    def _slots(self) -> Self:
        for language, layout in self.layouts.items():
            if layout.count(QUESTION) != 1:
                raise ValueError(
                    f"layouts: {language}: {layout!r} has {layout.count(QUESTION)} times "
                    f"{QUESTION}; write it once"
                )
        if self.english_from and with_script(self.english_from) == with_script(ENGLISH):
            raise ValueError("english_from: name another language, whose file has English too")
        return self

    def available(self) -> frozenset[str]:
        """Return English and the languages that have a file."""
        spelt = self.spelt(self.path)
        return spelt | {ENGLISH} if spelt else spelt

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each language without a file or a layout."""
        asked = list(languages)
        needed = [self.pivot, *asked, *filter(None, [self.english_from])]
        others = dict.fromkeys(language for language in needed if not _is_english(language))
        missing = self.missing_files(self.path, others)
        if not missing and not self.english_from and not self.available():
            missing = [f"{self.path}: no file found for any language"]
        questions = dict.fromkeys(map(self.question_language, asked))
        return missing + list(filter(None, map(self._no_layout, questions)))

    def inputs(self, language: str) -> list[Path]:
        """Return the files of the language, of the pivot and of `english_from`."""
        return list(dict.fromkeys(map(self._file, (ENGLISH, language, self.pivot))))

    def _file(self, language: str) -> Path:
        """The file that a language is read from; English is in every file."""
        held_by = self._english_from() if _is_english(language) else language
        return Path(self.file(self.path, held_by))

    def _english_from(self) -> str:
        if self.english_from:
            return self.english_from
        spelt = self.spelt(self.path)
        if not spelt:
            raise NeuroglotError(f"{self.path}: no file found for any language; correct the path")
        return min(spelt)

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """Read one language's items; an item's id is its number in the files, from 0."""
        asked_in = self.question_language(language)
        if message := self._no_layout(asked_in):
            raise NeuroglotError(message)
        told, asked = self._texts(self.context_language(language)), self._texts(asked_in)
        blank, layout = answer_blank(asked_in), self._layout(asked_in)
        candidates = tuple(dict.fromkeys(blank + test["alt"] for test in asked))
        items = [
            Item(
                str(number),
                edit_prompt(f"{edit['src']} {edit['alt']}", test[self.question], layout),
                (blank + test["alt"],),
                candidates,
            )
            for number, (edit, test) in enumerate(zip(told, asked, strict=True))
        ]
        return items, []

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the question's layout, shipped or the user's own, and the blank before answers."""
        asked_in = self.question_language(language)
        return {"layout": self._layout(asked_in), "blank": answer_blank(asked_in)}

    def _texts(self, language: str) -> Sequence[Side]:
        """Read a language's texts in its file, whose English must equal that of `english_from`."""
        path, reference = self._file(language), self._file(ENGLISH)
        if path != reference:
            check_same_english(path, reference)
        return read_side(path, ENGLISH if _is_english(language) else self.code(language))

    def _layout(self, language: str) -> str:
        return entry_of(language, self.layouts) or entry_of(language, shipped_layouts()) or ""

    def _no_layout(self, language: str) -> str:
        if self._layout(language):
            return ""
        return (
            f"language {language!r}: has no words for question and answer shipped; add layouts: "
            f"{{{language}: 'Question: {QUESTION} Answer:'}} in that language"
        )


def _is_english(language: str) -> bool:
    return with_script(language) == with_script(ENGLISH)


def check_same_english(path: Path, reference: Path) -> None:
    """Refuse a file whose English differs from that of another file in any item.

    Raises:
        NeuroglotError: items are missing or differ; names the first that differs and their number.
    """
    ours, theirs = read_side(path, ENGLISH), read_side(reference, ENGLISH)
    if len(ours) != len(theirs):
        raise NeuroglotError(
            f"{path}: has {len(ours)} items and {reference} has {len(theirs)}; every language "
            "needs the same items"
        )
    different = [number for number, side in enumerate(ours) if side != theirs[number]]
    if different:
        first = different[0]
        raise NeuroglotError(
            f"{path}: item {first} asks {ours[first]['src']!r} in English, where {reference} asks "
            f"{theirs[first]['src']!r} ({len(different)} items differ); the files' items must "
            "be the same in the same order"
        )


def read_side(path: Path, key: str) -> Sequence[Side]:
    """Read one language's texts from a file: the fields that prompts use.

    Args:
        path: a file of MzsRE: a list of items, each with a language's fields under its code.
        key: the language's code in the file.

    Raises:
        NeuroglotError: the file is missing, is not such JSON, or an item lacks a text.
    """
    return [_side(path, number, item, key) for number, item in enumerate(_read(path))]


def _side(path: Path, number: int, item: object, key: str) -> Side:
    side = item.get(key) if isinstance(item, dict) else None
    if not isinstance(side, dict):
        languages = ", ".join(map(repr, item)) if isinstance(item, dict) else type(item).__name__
        raise NeuroglotError(
            f"{path}: item {number} has no language {key!r}, it has {languages}; `codes` can name "
            "the file's own code"
        )
    for field in FIELDS:
        text = side.get(field)
        if not isinstance(text, str) or not text.strip():
            raise NeuroglotError(f"{path}: item {number}: {key!r} has no text under {field!r}")
    return {field: side[field].strip() for field in FIELDS}


def _read(path: Path) -> list[object]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NeuroglotError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NeuroglotError(f"{path}: is not JSON in UTF-8: {error}") from error
    if not isinstance(items, list) or not items:
        raise NeuroglotError(f"{path}: is not a list of items, as MzsRE's files are")
    return items
