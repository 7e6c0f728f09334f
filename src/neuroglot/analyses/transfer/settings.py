"""TODO"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator


class HarnessSettings(Section):
    """Tasks of lm-evaluation-harness, which is installed with `neuroglot[harness]`."""

    tasks: dict[str, LanguageId] = Field(
        min_length=1,
        description="Each task's name, as the harness knows it, with the language that it is "
        "asked in and whose neurons are deactivated.",
    )
    folder: str | None = Field(
        None, description="A folder with tasks of one's own, described in YAML."
    )
    limit: int | None = Field(
        None, ge=1, description="Documents of each task, from the first; null: all there are."
    )


class TransferSettings(Section):
    """Neurons that move representations between latent spaces (type 1 in, type 2 out)."""

    corpus: Id = Field(
        description="A parallel corpus, in the pivot language too, whose segments' states are "
        "compared."
    )
    pool: Literal["last", "mean"] = Field(
        "last",
        description="What stands for a segment: the state of its text's last token, or the mean "
        "over its tokens. Neurons are always looked at at the last token.",
    )
    type1_layers: Share = Field(
        0.625,
        description="Share of the layers, from the first, that Type 1 neurons (into the shared "
        "space) are sought in, 20 of 32 in the paper; Type 2 neurons (out to a language's own "
        "space) are sought in the others.",
    )
    top_n: int = Field(
        1000, ge=1, description="Neurons of each type and language, of the highest scores."
    )
    top_fraction: Share | None = Field(
        None, description="Take this share of all neurons in place of `top_n`."
    )
    k: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        [5, 10],
        min_length=1,
        description="Numbers of nearest neighbours that languages are compared by; fewer than "
        "there are segments.",
    )
    variances: Annotated[list[Share], AfterValidator(distinct)] = Field(
        [0.9, 0.95, 0.99],
        min_length=1,
        description="Shares of the variance that principal components are counted for.",
    )
    positions: Literal["last", "all"] = Field(
        "all",
        description="Where neurons are deactivated while a text is read: at its last token or at "
        "every token.",
    )
    tops: list[Annotated[int, Field(ge=1)]] = Field(
        [10, 100, 1000],
        min_length=1,
        description="Numbers of neurons, from the highest score, that correlation ratios are "
        "averaged over; the whole list where it is shorter.",
    )
    tasks: Annotated[list[Id], AfterValidator(distinct)] = Field(
        [], description="Tasks to answer without neurons of either type."
    )
    task_positions: Literal["prompt", "last", "all"] = Field(
        "prompt",
        description="Where neurons are deactivated in a task: at every token of the prompt, at "
        "its last token and at the answer's, or at every token.",
    )
    harness: HarnessSettings | None = Field(
        None,
        description="Tasks of lm-evaluation-harness to do without neurons of either type, which "
        "are deactivated while prompts are read.",
    )
    random_seeds: int = Field(
        5, ge=1, description="Sets of as many random neurons per layer, the control."
    )
    task_random_seeds: int = Field(
        1, ge=1, description="The same for tasks, which take far longer."
    )
    replicates: int = Field(
        1000, ge=1, description="Bootstrap samples of segments or items per interval."
    )

    @model_validator(mode="after")
    def _one_length(self) -> "TransferSettings":
        if self.top_fraction is not None and "top_n" in self.model_fields_set:
            raise ValueError("top_n and top_fraction both say how many neurons; give one of them")
        return self
