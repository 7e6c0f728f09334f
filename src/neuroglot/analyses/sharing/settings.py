"""The sharing analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from neuroglot.analyses.base import Inputs, JudgingSettings, RunningSettings, StepSettings
from neuroglot.settings import Share, TaskId, distinct
from neuroglot.tasks.base import Scoring


class SharingSettings(JudgingSettings):
    """Which languages share active neurons in a task; what breaks without them (Wang et al.)."""

    tasks: Annotated[list[TaskId], AfterValidator(distinct), Field(min_length=1)] = Field(
        description="Tasks to analyse."
    )
    site: Literal["auto", "act", "gate"] = Field(
        "auto",
        description="What says whether a neuron is active: `gate`, the gate alone; `act`, the "
        "neuron's activation; auto takes the gate of gated models, where the sign of `act` is "
        "nearly random.",
    )
    threshold: float = Field(0.0, description="A neuron is active above this value of `site`.")
    thresholds: Annotated[list[float], Field(min_length=1)] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], description="Thresholds compared in figure 22."
    )
    language_counts: list[Annotated[int, Field(ge=2)]] = Field(
        [3, 5, 7, 9],
        description="Numbers of languages compared in figure 19; those above the task's number are "
        "left out.",
    )
    language_subsets: int = Field(
        5,
        ge=1,
        description="Random sets of languages of each number, which figure 19 shows beside the "
        "first languages in order.",
    )
    few_shot: Annotated[list[TaskId], AfterValidator(distinct)] = Field(
        [],
        description="Tasks that differ in `shots` only, compared in figure 21; all ask the same "
        "questions, for which they `reserve` as many facts. They need not be among `tasks`.",
    )
    top_fraction: Share = Field(0.05, description="Neurons that count as the top contributors.")
    positions: Literal["last", "all"] = Field(
        "last",
        description="Where neurons are changed: at the last token of the prompt and at every "
        "token of the answer, or at every token but special ones around the prompt. In an "
        "encoder-decoder the prompt is the encoder's; the decoder's neurons are changed where its "
        "answer begins (its start token, or the language tag after it) and at the answer.",
    )
    converted_to: Literal["just_above", "median_active"] = Field(
        "just_above",
        description="What `site` is set to in converted neurons: `just_above`, the threshold plus "
        "`converted_offset`, as in the paper, which in a gated model is nearly nothing; or "
        "`median_active`, the median of the layer's active neurons in the same item and language.",
    )
    converted_offset: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="How far `just_above` is above the threshold."
    )
    random_seeds: int = Field(1, ge=1, description="Draws of random neurons per control.")
    replicates: int = Field(1000, ge=1, description="Bootstrap samples of facts per interval.")

    @property
    def shown_tasks(self) -> list[str]:
        """Every task for which kinds of neurons are found."""
        return list(dict.fromkeys([*self.tasks, *self.few_shot]))


@dataclass(frozen=True, kw_only=True)
class KindsInputs(Inputs):
    """Recorded activations at the ends of prompts, and the tasks' items, by task and language."""

    prompts: Mapping[str, Mapping[str, Path]]
    items: Mapping[str, Mapping[str, Path]]


class KindsSettings(StepSettings):
    """How kinds of neurons are told apart."""

    tasks: list[str]
    threshold: float
    thresholds: list[float]
    language_counts: list[int]
    language_subsets: int
    replicates: int


@dataclass(frozen=True, kw_only=True)
class ContributionsInputs(KindsInputs):
    """The same, and the model."""

    model: Path


class ContributionsSettings(StepSettings):
    """Which neurons are active, and which count as the top contributors."""

    tasks: list[str]
    threshold: float
    top_fraction: float
    replicates: int


@dataclass(frozen=True, kw_only=True)
class EffectiveInputs(ContributionsInputs):
    """The same; the items hold the gold answers."""


class EffectiveSettings(StepSettings):
    """Which neurons are active."""

    tasks: list[str]
    threshold: float
    replicates: int


@dataclass(frozen=True, kw_only=True)
class AnswersInputs(Inputs):
    """The model, one task's items, and recorded activations, which decide what is edited."""

    model: Path
    prompts: Mapping[str, Path]
    items: Mapping[str, Path]


class AnswersSettings(RunningSettings):
    """How one task's questions are asked while neurons are edited."""

    task: str
    scoring: Scoring
    threshold: float
    positions: Literal["last", "all"]
    converted_to: Literal["just_above", "median_active"]
    converted_offset: float
    random_seeds: int
    replicates: int


@dataclass(frozen=True, kw_only=True)
class InterventionsInputs(Inputs):
    """The answers, by task."""

    answers: Mapping[str, Path]


class InterventionsSettings(StepSettings):
    """Which tasks are put side by side, and how they were asked."""

    tasks: list[str]
    positions: Literal["last", "all"]
    random_seeds: int


@dataclass(frozen=True, kw_only=True)
class ComparisonInputs(Inputs):
    """Kinds of neurons, by model."""

    kinds: Mapping[str, Path]


class ComparisonSettings(StepSettings):
    """Which models are compared, and which tasks differ in the number of examples alone."""

    models: list[str]
    few_shot: list[str]
    shots: dict[str, int]
