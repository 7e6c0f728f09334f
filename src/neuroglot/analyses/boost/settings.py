"""TODO"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator


class BoostSettings(Section):
    """What multiplying a language's neurons does to text that a model writes, and reads."""

    method: Literal["lape", "sharing", "type1", "type2", "experts", "lexicon"] = Field(
        "lape",
        description="What names a language's neurons; its analysis has to be configured too: "
        "`transfer` for `type1` and `type2`.",
    )
    top_fraction: Share = Field(
        0.01,
        description="Share of the neurons that a language is given at most where `method` ranks "
        "neurons without choosing: of all for `sharing`, of the last layer's for `lexicon`.",
    )
    factors: Annotated[list[Annotated[float, Field(ge=0)]], AfterValidator(distinct)] = Field(
        [1.0, 2.0, 4.0],
        description="What activations are multiplied by, at every token; 1, the model as it is, "
        "is measured in any case.",
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
    replicates: int = Field(1000, ge=1, description="Bootstrap samples of prompts per interval.")

    @model_validator(mode="after")
    def _something_changes(self) -> "BoostSettings":
        if set(self.factors) <= {1.0}:
            raise ValueError("factors: 1 leaves neurons as they are; name another factor")
        return self
