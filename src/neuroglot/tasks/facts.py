"""Fact probing with capitals: "The capital of France is", with the names of `cldr`."""

import json
from collections.abc import Iterable
from dataclasses import astuple
from functools import cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from neuroglot.corpora.shipped import entry_of, find_id, shipped_text
from neuroglot.errors import NeuroglotError
from neuroglot.languages import UNSPACED, LanguageId, script_of
from neuroglot.tasks.base import Item, Scoring, Task
from neuroglot.tasks.cldr import LANGUAGES, capitals, shipped_language

COUNTRY = "{country}"

Templates = Annotated[tuple[str, ...], Field(min_length=1)]


class FactsTask(Task):
    """Capitals of 64 countries, each asked for in several wordings.

    Shipped wordings stop where the capital follows, and name the country so that no language needs
    an article or an inflected form ("Die Hauptstadt des Landes Mongolei ist").
    """

    not_read = Task.not_read | {"templates"}

    source: Literal["facts"] = Field(description="Capitals of countries, from CLDR's names.")
    paraphrases: int = Field(
        2, ge=1, description="Wordings of every question; three are shipped in each language."
    )
    templates: dict[LanguageId, Templates] = Field(
        {},
        description="Wordings of your own in place of a language's shipped ones, with {country} in "
        "each; the capital comes next.",
    )

    @model_validator(mode="after")
    def _slots(self) -> Self:
        for language, texts in self.templates.items():
            for text in texts:
                if text.count(COUNTRY) != 1:
                    raise ValueError(
                        f"templates: {language}: {text!r} has {text.count(COUNTRY)} times "
                        f"{COUNTRY}; write it once, where the country's name goes"
                    )
        return self

    @property
    def scoring(self) -> Scoring:
        """The capital's first token is compared with those of all other capitals."""
        return "rank"

    def available(self) -> frozenset[str]:
        return frozenset(LANGUAGES)

    def problems(self, languages: Iterable[str]) -> list[str]:
        """Word one message for each language that is missing or has too few wordings."""
        asked = list(languages)
        known = [language for language in asked if find_id(language, LANGUAGES)]
        return super().problems(asked) + list(filter(None, map(self._too_few, known)))

    def items(self, language: str) -> tuple[list[Item], list[str]]:
        """Ask for every capital in every wording; item ids are such as `fr-1`."""
        facts, texts = capitals(language), self._texts(language)
        if message := self._too_few(language):
            raise NeuroglotError(message)
        blank = answer_blank(language)
        candidates = tuple(blank + fact.city for fact in facts)
        items = [
            Item(
                f"{fact.territory}-{number}",
                text.replace(COUNTRY, fact.country).rstrip(),
                (blank + fact.city,),
                candidates,
                fact.territory,
            )
            for fact in facts
            for number, text in enumerate(texts[: self.paraphrases], start=1)
        ]
        return items, []

    def shipped(self, language: str) -> dict[str, Any]:
        """Return the wordings, shipped or the user's own, and the countries and capitals."""
        return {
            "wordings": self._texts(language)[: self.paraphrases],
            "capitals": [astuple(fact) for fact in capitals(language)],
            "blank": answer_blank(language),
        }

    def _texts(self, language: str) -> tuple[str, ...]:
        return entry_of(language, self.templates) or tuple(prompts(language)["statements"])

    def _too_few(self, language: str) -> str:
        texts = len(self._texts(language))
        if texts >= self.paraphrases:
            return ""
        return (
            f"language {language!r}: has {texts} templates, fewer than the {self.paraphrases} "
            "paraphrases asked for; lower paraphrases or add templates"
        )


def prompts(language: str) -> dict[str, Any]:
    """Return a language's shipped wordings.

    Returns:
        `statements`, a list of texts with the slot `{country}`, to be followed by the capital;
        `closing`, the end of the first statement after the capital; and `question`, with the slot.

    Raises:
        NeuroglotError: the language is not one of `LANGUAGES`.
    """
    return _shipped_prompts()[shipped_language(language)]


@cache
def _shipped_prompts() -> dict[str, dict[str, Any]]:
    shipped: dict[str, dict[str, Any]] = json.loads(
        shipped_text("tasks", "data", "capital_prompts.json")
    )
    return shipped


def answer_blank(language: str) -> str:
    """Return the text between a prompt and its answer: a blank, or nothing in unspaced scripts.

    Example:
        >>> answer_blank("de"), answer_blank("th")
        (' ', '')
    """
    return "" if script_of(language) in UNSPACED else " "
