"""Natural-language inference with the sharing paper's prompt, on shipped sentence pairs.

Source: section 4 and appendix A.2; the prompt is translated for each language.
"""

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple
from functools import cache
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from neuroglot.corpora.shipped import entry_of, shipped_text
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.languages import LanguageId
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.facts import answer_blank

LABELS = ("entailment", "neutral", "contradiction")  # XNLI numbers them 0, 1, 2
SENTENCE = re.compile(r"\{(premise|hypothesis)\}")


class LabelWords(BaseModel):
    """What a language calls the three relations, without a blank before the word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entailment: str = Field(pattern=r"\S", description="Word for what follows, such as true.")
    neutral: str = Field(pattern=r"\S", description="Word for what is open, such as inconclusive.")
    contradiction: str = Field(pattern=r"\S", description="Word for the contrary, such as false.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({word.strip() for _, word in self}) < len(LABELS):
            raise ValueError(f"the three label words must differ, found {self}")
        return self

    def answers(self, blank: str) -> tuple[str, ...]:
        """Return the words as answers, with the blank before them, in the order of `LABELS`."""
        return tuple(blank + getattr(self, label).strip() for label in LABELS)


class InferenceTask(Task):
    """Does a hypothesis follow from a premise, contradict it, or neither?

    Candidates are a language's three label words; the likeliest as a whole is the answer.
    """

    not_read = Task.not_read | {"template", "labels"}

    template: dict[LanguageId, str] = Field(
        {},
        description="Prompt of a language, with {premise} and {hypothesis} in it; instead of the "
        "built-in one, or for a language without.",
    )
    labels: dict[LanguageId, LabelWords] = Field(
        {}, description="Label words of a language; with a template that asks for other words."
    )

    @field_validator("template")
    @classmethod
    def _both_sentences(cls, template: dict[str, str]) -> dict[str, str]:
        for language, text in template.items():
            for slot in ("{premise}", "{hypothesis}"):
                if slot not in text:
                    raise ValueError(f"language {language!r}: no {slot} in {text!r}")
        return template

    @property
    def scoring(self) -> Scoring:
        """Whole label words are compared."""
        return "string"

    def wording(self, language: str) -> tuple[str, LabelWords]:
        """Return a language's prompt template and label words.

        Raises:
            NeuroglotError: neither the settings nor the package has them.
        """
        template, words = entry_of(language, self.template), entry_of(language, self.labels)
        for row in entry_of(language, _shipped("nli_templates.tsv")) or ():
            template = template or row["template"]
            words = words or LabelWords.model_validate({label: row[label] for label in LABELS})
        if template is None or words is None:
            entries = {"template": template, "labels": words}
            lacking = " and ".join(key for key, entry in entries.items() if entry is None)
            raise NeuroglotError(
                f"language {language!r}: no {lacking} are built in; add the language under "
                f"{lacking}"
            )
        return template, words

    @abstractmethod
    def sentences(self, language: str) -> Iterator[tuple[str, str, str, int | None]]:
        """Yield id, premise, hypothesis and label number of a language's items, in order.

        The number is a place in `LABELS`, or None if the item has no label.
        """

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """Put one language's sentences into its prompt."""
        template, words = self.wording(language)
        answers = words.answers(answer_blank(language))
        items, unlabelled = [], 0
        for identifier, premise, hypothesis, label in self.sentences(language):
            if label is None:
                unlabelled += 1
                continue
            prompt = _fill(template, premise, hypothesis)
            items.append(Item(identifier, prompt, (answers[label],), answers))
        return items, [f"left out {unlabelled} items without a label"] if unlabelled else []

    def stratum(self, item: Item) -> int:
        """Number the label: all labels are asked equally often."""
        return item.candidates.index(item.gold[0])

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the prompt and the label words, shipped or the user's own."""
        template, words = self.wording(language)
        return {"template": template, "answers": words.answers(answer_blank(language))}


class NliTask(InferenceTask):
    """Thirty-six short items, twelve of each label, that come with the package."""

    source: Literal["nli"] = Field(description="Sentence pairs shipped with neuroglot.")

    def available(self) -> frozenset[str]:
        return frozenset(_shipped("nli.tsv"))

    def sentences(self, language: str) -> Iterator[tuple[str, str, str, int | None]]:
        rows = entry_of(language, _shipped("nli.tsv"))
        if rows is None:
            raise NeuroglotError(unknown_name("language of this task", language, self.available()))
        for row in rows:
            yield row["item"], row["premise"], row["hypothesis"], LABELS.index(row["label"])

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the items that are asked, with their examples."""
        return {"items": [astuple(item) for item in self.read(language).items]}


@cache
def _shipped(name: str) -> dict[str, list[Mapping[str, str]]]:
    """Read a shipped table's rows by language."""
    lines = shipped_text("tasks", "data", name).removesuffix("\n").split("\n")
    by_language: dict[str, list[Mapping[str, str]]] = {}
    for row in tab_separated(name, lines):
        by_language.setdefault(row["language"], []).append(row)
    return by_language


def _fill(template: str, premise: str, hypothesis: str) -> str:
    """Put both sentences in at once, so that braces in the premise are not replaced."""
    sentences = {"premise": premise, "hypothesis": hypothesis}
    return SENTENCE.sub(lambda place: sentences[place[1]], template)


def tab_separated(origin: str, lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Read rows below a line of column names; quotation marks are plain text, as in XNLI."""
    first, *others = lines
    columns = first.split("\t")
    for number, line in enumerate(others, start=2):
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise NeuroglotError(
                f"{origin}: line {number} has {len(cells)} cells under {len(columns)} column names"
            )
        yield dict(zip(columns, cells, strict=True))
