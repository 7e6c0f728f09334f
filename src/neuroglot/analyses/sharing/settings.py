"""TODO"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field


class SharingSettings(Section):
    """Which languages share active neurons in a task; what breaks without them (Wang et al.)."""

    tasks: Annotated[list[Id], AfterValidator(distinct), Field(min_length=1)] = Field(
        description="Tasks to analyse."
    )
    site: Literal["auto", "act", "gate"] = Field(
        "auto",
        description="What says whether a neuron is active: `gate`, the gate alone; `act`, the "
        "neuron's activation; auto takes the gate of gated models, where the sign of `act` is "
        "little more than a coin's.",
    )
    threshold: float = Field(0.0, description="A neuron is active above this value of `site`.")
    thresholds: Annotated[list[float], Field(min_length=1)] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], description="Thresholds compared in figure 22."
    )
    language_counts: list[Annotated[int, Field(ge=2)]] = Field(
        [3, 5, 7, 9],
        description="Numbers of languages, from the first, compared in figure 19; those above the "
        "task's number are left out.",
    )
    few_shot: Annotated[list[Id], AfterValidator(distinct)] = Field(
        [],
        description="Tasks that differ in `shots` only, compared in figure 21; asked in the same "
        "languages. They need not be among `tasks`.",
    )
    top_fraction: Share = Field(0.05, description="Neurons that count as the top contributors.")
    positions: Literal["last", "all"] = Field(
        "last",
        description="Where neurons are changed: at the last token of the prompt and at every "
        "token of the answer, or at every token.",
    )
    converted_offset: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="Converted neurons are set to the threshold plus this."
    )
    random_seeds: int = Field(1, ge=1, description="Draws of random neurons per control.")
    replicates: int = Field(1000, ge=1, description="Bootstrap samples of items per interval.")
