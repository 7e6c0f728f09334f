"""Cross-lingual knowledge editing: state a false capital in one language, ask in another."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from pydantic import Field

from neuroglot.languages import LanguageId
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.cldr import LANGUAGES, Capital, capitals, shipped_language
from neuroglot.tasks.facts import COUNTRY, answer_blank, prompts

QUESTION = "{question}"
Direction = Literal["from_pivot", "to_pivot"]


class PivotTask(Task):
    """A task whose prompt tells an edit in one language and asks for it in another, one the pivot.

    The sharing paper's two scenarios (§4.1, "Cross-lingual Knowledge Editing"): edit in English and
    test in all languages (`from_pivot`), edit in all languages and test in English (`to_pivot`).
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

    def context_language(self, language_id: str) -> str:
        """Return the language in which a language's items state the edit."""
        return self.pivot if self.direction == "from_pivot" else language_id

    def question_language(self, language_id: str) -> str:
        """Return the language of the question and the answer in a language's items."""
        return language_id if self.direction == "from_pivot" else self.pivot

    def read_with(self, language_id: str) -> tuple[str, ...]:
        """Return the language and the pivot."""
        return (language_id, self.pivot)

    def problems(self, language_ids: Iterable[str]) -> list[str]:
        """Word one message for each missing language, including the pivot."""
        missing = super().problems([self.pivot])
        return [f"pivot: {message}" for message in missing] + super().problems(language_ids)


class EditsTask(PivotTask):
    """A false capital for each of 64 countries, stated in one language and asked for in another."""

    source: Literal["edits"] = Field(description="False capitals of countries, from CLDR's names.")

    def available(self) -> frozenset[str]:
        """Return the languages of the shipped wordings."""
        return frozenset(LANGUAGES)

    def items(self, language_id: str) -> tuple[list[Item], list[str]]:
        """State every country's false capital and ask for it; an item's id is such as `fr`."""
        told_in = self.context_language(language_id)
        asked_in = self.question_language(language_id)
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

    def shipped(self, language_id: str) -> dict[str, Any]:
        """Return the shipped statements, cities, questions and layout of the two languages."""
        told_in = self.context_language(language_id)
        asked_in = self.question_language(language_id)
        return {
            "statements": {
                fact.territory: statement(told_in, fact, fact.city) for fact in capitals(told_in)
            },
            "cities": [answer_blank(asked_in) + fact.city for fact in capitals(asked_in)],
            "questions": [
                prompts(asked_in)["question"].replace(COUNTRY, fact.country)
                for fact in capitals(asked_in)
            ],
            "layout": shipped_layouts()[shipped_language(asked_in)],
        }


@cache
def shipped_layouts() -> dict[str, str]:
    """Read the languages' question layouts, with the slot `{question}`."""
    path = files("neuroglot.tasks").joinpath("data/question_layouts.json")
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def statement(language_id: str, fact: Capital, city: str) -> str:
    """State that a city is a country's capital, in the first shipped wording."""
    wording = prompts(language_id)
    opening = wording["statements"][0].replace(COUNTRY, fact.country)
    return f"{opening}{answer_blank(language_id)}{city}{wording['closing']}"


def edit_prompt(context: str, question: str, layout: str) -> str:
    """Make a prompt as in the sharing paper, A.2: `{context} Question: {question} Answer:`."""
    return f"{context} {layout.replace(QUESTION, question)}"


def derangement(count: int, seed: int) -> Sequence[int]:
    """Draw a permutation without fixed points: one cycle through all elements, shuffled.

    Args:
        count: number of elements, at least two.
        seed: seed of the shuffle.
    """
    order = np.random.default_rng(seed).permutation(count)
    other = np.empty(count, int)
    other[order] = np.roll(order, -1)
    return [int(index) for index in other]
