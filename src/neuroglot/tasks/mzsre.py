"""Knowledge editing across languages with MzsRE (Wang et al., 2023), from its JSON files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.shipped import find_id
from neuroglot.corpora.text import TextCorpus
from neuroglot.errors import NeuroglotError
from neuroglot.languages import LanguageId, with_script
from neuroglot.tasks.base import Item
from neuroglot.tasks.edits import QUESTION, PivotTask, edit_prompt, shipped_layouts
from neuroglot.tasks.facts import answer_blank

ENGLISH = "en"
FIELDS = ("src", "rephrase", "alt")

Side = Mapping[str, str]


class MzsreTask(PivotTask):
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
    codes: dict[LanguageId, str] = Field(
        {}, description="The files' own code of a language where it is not our id."
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
        for language_id, layout in self.layouts.items():
            if layout.count(QUESTION) != 1:
                raise ValueError(
                    f"layouts: {language_id}: {layout!r} has {layout.count(QUESTION)} times "
                    f"{QUESTION}; write it once"
                )
        if self.english_from and with_script(self.english_from) == with_script(ENGLISH):
            raise ValueError("english_from: name another language, whose file has English too")
        return self

    def _files(self) -> TextCorpus:
        settings = {"source": "text", "path": self.path, "codes": self.codes}
        return TextCorpus.model_validate(settings)

    def available(self) -> frozenset[str]:
        """Return English and the languages that have a file."""
        found = self._files().available()
        return found | {ENGLISH} if found else found

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each language without a file or a layout."""
        ids = [self.pivot, *language_ids]
        named = [*ids, self.english_from] if self.english_from else ids
        missing = self._files().problems(
            dict.fromkeys(one for one in named if not _is_english(one))
        )
        if not self.english_from and not self._files().available():
            missing = missing or [f"{self.path}: no file found for any language"]
        asked = dict.fromkeys(map(self.question_language, ids[1:]))
        return missing + [m for m in map(self._no_layout, asked) if m]

    def inputs(self, language_id: str) -> list[Path]:
        """Return the files of the language, of the pivot and of `english_from`."""
        ids = (self._english_from(), *map(self._held_by, (language_id, self.pivot)))
        return list(dict.fromkeys(path for one in ids for path in self._files().inputs(one)))

    def _held_by(self, language_id: str) -> str:
        return self._english_from() if _is_english(language_id) else language_id

    def _english_from(self) -> str:
        if self.english_from:
            return self.english_from
        found = sorted(self._files().available())
        if not found:
            raise NeuroglotError(f"{self.path}: no file found for any language; correct the path")
        return found[0]

    def items(self, language_id: str) -> tuple[list[Item], list[str]]:
        """Read one language's items; an item's id is its number in the files, from 0."""
        asked_in = self.question_language(language_id)
        if message := self._no_layout(asked_in):
            raise NeuroglotError(message)
        told, asked = self._texts(self.context_language(language_id)), self._texts(asked_in)
        blank, layout = answer_blank(asked_in), self._layout(asked_in)
        candidates = tuple(dict.fromkeys(blank + one["alt"] for one in asked))
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

    def shipped(self, language_id: str) -> dict[str, Any]:
        """Return the question's layout, shipped or the user's own, and the blank before answers."""
        asked_in = self.question_language(language_id)
        return {"layout": self._layout(asked_in), "blank": answer_blank(asked_in)}

    def _texts(self, language_id: str) -> Sequence[Side]:
        """Read a language's texts in its file, whose English must equal that of `english_from`."""
        (reference_path,) = self._files().inputs(self._english_from())
        (path,) = self._files().inputs(self._held_by(language_id))
        if path != reference_path:
            check_same_english(path, reference_path)
        key = ENGLISH if _is_english(language_id) else self._files().code(language_id)
        return read_side(path, key)

    def _layout(self, language_id: str) -> str:
        layouts = shipped_layouts() | self.layouts
        found = find_id(language_id, self.layouts) or find_id(language_id, layouts)
        return layouts[found] if found else ""

    def _no_layout(self, language_id: str) -> str:
        if self._layout(language_id):
            return ""
        return (
            f"language {language_id!r}: has no words for question and answer shipped; add layouts: "
            f"{{{language_id}: 'Question: {QUESTION} Answer:'}} in that language"
        )


def _is_english(language_id: str) -> bool:
    return with_script(language_id) == with_script(ENGLISH)


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
    different = [
        number for number, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other
    ]
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
    items = _read(path)
    return [_side(path, number, item, key) for number, item in enumerate(items)]


def _side(path: Path, number: int, item: object, key: str) -> Side:
    side = item.get(key) if isinstance(item, dict) else None
    if not isinstance(side, dict):
        held = ", ".join(map(repr, item)) if isinstance(item, dict) else type(item).__name__
        raise NeuroglotError(
            f"{path}: item {number} has no language {key!r}, it has {held}; `codes` can name the "
            "file's own code"
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
