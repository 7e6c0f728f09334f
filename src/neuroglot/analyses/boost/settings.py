"""The boost analysis: its configuration section, and its step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from neuroglot.analyses.base import Inputs, JudgingSettings, NamingInputs, RunningSettings
from neuroglot.analyses.named import Method, known_methods
from neuroglot.settings import PerplexitySettings, Share, distinct


def _one_of_the_methods(schema: dict[str, Any]) -> None:
    """Add the names of the methods to the configuration's reference."""
    schema["enum"] = list(known_methods())


class BoostSettings(JudgingSettings):
    """What multiplying a language's neurons does to text that a model writes, and reads."""

    method: str = Field(
        "lape",
        description="What names a language's neurons; its analysis has to be configured too: "
        "`transfer` for `type1` and `type2`.",
        json_schema_extra=_one_of_the_methods,
    )
    top_fraction: Share = Field(
        0.01,
        description="Share of the neurons that a language is given at most where `method` ranks "
        "neurons without choosing: of all for `sharing`, of the last layer's for `lexicon`.",
    )
    factors: Annotated[list[Annotated[float, Field(ge=0)]], AfterValidator(distinct)] = Field(
        [1.0, 2.0, 4.0],
        description="What activations are multiplied by, at every token; 1, the model as it is, "
        "is always measured.",
    )
    prompts: int = Field(
        4, ge=1, description="Prompts in each language: beginnings of held-out segments."
    )
    prompt_tokens: int = Field(
        8, ge=1, description="Tokens of a prompt; shorter segments are left out."
    )
    new_tokens: int = Field(24, ge=1, description="Tokens that are generated from each prompt.")
    random_seeds: int = Field(
        1, ge=1, description="Sets of as many random neurons per layer, the control."
    )

    @model_validator(mode="after")
    def _something_changes(self) -> "BoostSettings":
        if set(self.factors) <= {1.0}:
            raise ValueError("factors: 1 leaves neurons as they are; name another factor")
        return self


@dataclass(frozen=True, kw_only=True)
class BoostInputs(Inputs):
    """The model, the datasets of the naming method, and the tokens of held-out text by language.

    Attributes:
        reductions: datasets with the neurons that the method names, as in ``NamingInputs``.
        held_out: tokens of the text for prompts and perplexity.
        chosen_on: tokens of the text that neurons were chosen on, if any. It must share no segment
            with the held-out text.
    """

    model: Path
    reductions: Mapping[str, Path]
    held_out: Mapping[str, Path]
    chosen_on: Mapping[str, Path]

    @property
    def naming(self) -> NamingInputs:
        """Inputs of the naming method."""
        return NamingInputs(self.model, self.reductions)


class BoostStepSettings(RunningSettings):
    """How neurons are multiplied.

    Attributes:
        pivot: id of the language whose prompts every boosted model continues.
        method: what names a language's neurons.
        perplexity: how held-out text is cut.
    """

    pivot: str
    method: Method
    top_fraction: float
    factors: list[float]
    prompts: int
    prompt_tokens: int
    new_tokens: int
    random_seeds: int
    perplexity: PerplexitySettings
