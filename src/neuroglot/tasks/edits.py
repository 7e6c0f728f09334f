"""Cross-lingual knowledge editing: state a false capital in one language, ask in another."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import Field

from neuroglot.corpora.shipped import shipped_text
from neuroglot.languages import LanguageId
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.cldr import LANGUAGES, Capital, capitals, shipped_language
from neuroglot.tasks.facts import COUNTRY, answer_blank, prompts

QUESTION = "{question}"
Direction = Literal["from_pivot", "to_pivot"]


class PivotTask(Task):
    """A task whose prompt states an edit in one language and asks for it in another.

    One of the two is the pivot. The sharing paper (§4.1, "Cross-lingual Knowledge Editing") has two
    scenarios: edit in English and test in all languages (`from_pivot`), or edit in all languages
    and test in English (`to_pivot`).
    """

    direction: Direction = Field(
        "from_pivot",
        description="from_pivot tells the edit in the pivot and asks in each language; to_pivot "
        "tells it in each language and asks in the pivot.",
    )
    pivot: LanguageId = Field("en", description="The language that is always one of the two.")

    @property
    def scoring(self) -> Scoring:
        """Greedy decoding must write the answer that is stated in the context."""
        return "exact"

    def context_language(self, language: str) -> str:
        """Return the language in which a language's items state the edit."""
        return self.pivot if self.direction == "from_pivot" else language

    def question_language(self, language: str) -> str:
        """Return the language of the question and the answer in a language's items."""
        return language if self.direction == "from_pivot" else self.pivot

    def answered_in(self, language: str) -> str:
        return self.question_language(language)

    def read_with(self, language: str) -> tuple[str, ...]:
        return (language, self.pivot)

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each missing language, including the pivot."""
        missing = super().problems([self.pivot])
        return [f"pivot: {message}" for message in missing] + super().problems(languages)


class EditsTask(PivotTask):
    """A false capital for each of 64 countries, stated in one language and asked for in another."""

    source: Literal["edits"] = Field(description="False capitals of countries, from CLDR's names.")

    def available(self) -> frozenset[str]:
        return frozenset(LANGUAGES)

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """State every country's false capital and ask for it; an item's id is such as `fr`."""
        told_in, asked_in = self.context_language(language), self.question_language(language)
        told, asked = capitals(told_in), capitals(asked_in)
        candidates = tuple(answer_blank(asked_in) + fact.city for fact in asked)
        question = prompts(asked_in)["question"]
        items = [
            Item(
                told[country].territory,
                edit_prompt(
                    statement(told_in, told[country], told[capital].city),
                    question.replace(COUNTRY, asked[country].country),
                    shipped_layouts()[shipped_language(asked_in)],
                ),
                (candidates[capital],),
                candidates,
            )
            for country, capital in enumerate(derangement(len(told), self.seed))
        ]
        return items, []

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the items, which are made of shipped names and wordings."""
        items, _ = self.items(language)
        return {"items": [astuple(item) for item in items]}


@cache
def shipped_layouts() -> dict[str, str]:
    """Read the languages' question layouts, with the slot `{question}`."""
    layouts: dict[str, str] = json.loads(shipped_text("tasks", "data", "question_layouts.json"))
    return layouts


def statement(language: str, fact: Capital, city: str) -> str:
    """State that a city is a country's capital, in the first shipped wording."""
    wording = prompts(language)
    opening = wording["statements"][0].replace(COUNTRY, fact.country)
    return f"{opening}{answer_blank(language)}{city}{wording['closing']}"


def edit_prompt(context: str, question: str, layout: str) -> str:
    """Make a prompt as in the sharing paper, A.2: `{context} Question: {question} Answer:`."""
    return f"{context} {layout.replace(QUESTION, question)}"


def derangement(count: int, seed: int) -> Sequence[int]:
    """Draw a permutation of two or more elements without fixed points: a random cycle."""
    order = np.random.default_rng(seed).permutation(count)
    successor = np.empty(count, int)
    successor[order] = np.roll(order, -1)
    return [int(index) for index in successor]
