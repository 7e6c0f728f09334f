"""The transfer analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from neuroglot.analyses.base import Inputs, JudgingSettings, RunningSettings, StepSettings
from neuroglot.capture.settings import EditedPositions, Pool
from neuroglot.languages import LanguageId
from neuroglot.settings import CorpusId, Section, Share, TaskId, distinct
from neuroglot.tasks.base import Scoring


class HarnessSettings(Section):
    """Tasks of lm-evaluation-harness, which is installed with `neuroglot[harness]`."""

    tasks: dict[str, LanguageId] = Field(
        min_length=1,
        description="Each task's name, as the harness knows it, with the language that it is "
        "asked in and whose neurons are deactivated.",
    )
    folder: str | None = Field(None, description="A folder with your own tasks, described in YAML.")
    limit: int | None = Field(
        None, ge=1, description="Documents of each task, from the first; null: all there are."
    )


class TransferSettings(JudgingSettings):
    """Neurons that move representations between latent spaces (type 1 in, type 2 out)."""

    corpus: CorpusId = Field(
        description="A parallel corpus, in the pivot language too, whose segments' states are "
        "compared."
    )
    pool: Pool = Field(
        "last",
        description="What stands for a segment: the state of its text's last token, or the mean "
        "over its tokens. Neurons are always scored at the last token.",
    )
    type1_layers: Share = Field(
        0.625,
        description="Share of the layers, from the first, that are searched for Type 1 neurons "
        "(into the shared space), 20 of 32 in the paper; the others are searched for Type 2 "
        "neurons (out to a language's own space).",
    )
    top_fraction: Share = Field(
        0.0035,
        description="Neurons of a list, those of the highest scores, as a share of all neurons in "
        "the layers that are searched for the type: 1,000 of 20 x 14,336 in the paper.",
    )
    top_n: int | None = Field(
        None, ge=1, description="Give both types' lists this length in place of `top_fraction`."
    )
    k: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        [5, 10],
        min_length=1,
        description="Numbers of nearest neighbours that languages are compared by; at most a "
        "quarter of a segment's others, as unrelated languages have so many in common.",
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
    tasks: Annotated[list[TaskId], AfterValidator(distinct)] = Field(
        [], description="Tasks to answer without neurons of either type."
    )
    task_positions: EditedPositions = Field(
        "prompt",
        description="Where neurons are deactivated in a task: at every token of the prompt, at "
        "its last token and at the answer's, or at every token; special tokens are left as they "
        "are.",
    )
    harness: HarnessSettings | None = Field(
        None,
        description="Tasks of lm-evaluation-harness to do without neurons of either type, which "
        "are deactivated while prompts are read.",
    )
    random_seeds: int = Field(
        2,
        ge=1,
        description="Draws of as many neurons of each layer as controls, each a further run: of "
        "random ones, and of those that are active about as often.",
    )
    task_random_seeds: int = Field(
        1, ge=1, description="The same for tasks, which take far longer."
    )
    replicates: int = Field(
        1000, ge=1, description="Bootstrap samples of segments or items per interval."
    )

    @model_validator(mode="after")
    def _one_length(self) -> "TransferSettings":
        if self.top_n is not None and "top_fraction" in self.model_fields_set:
            raise ValueError("top_n and top_fraction both say how many neurons; give one of them")
        return self


def most_neighbours(segments: int) -> int:
    """Give the largest number of neighbours: a quarter of the other segments."""
    return (segments - 1) // 4


def too_near(k: int, segments: int) -> str:
    """Say why ``k`` neighbours among ``segments`` segments are too many, and what to do."""
    most = most_neighbours(segments)
    lower = f"set k to {most} or less, or read more" if most else "read at least five"
    return (
        f"of {segments} segments, {k} are over a quarter of a segment's others, so unrelated "
        f"languages would have {k / (segments - 1):.0%} of their neighbours in common; {lower}"
    )


@dataclass(frozen=True, kw_only=True)
class NeuronsInputs(Inputs):
    """The model, which has the value vectors, and its states by language."""

    model: Path
    states: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class SpaceInputs(Inputs):
    """A model's states, and the text's tokens, by language."""

    states: Mapping[str, Path]
    tokens: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class DeactivationInputs(Inputs):
    """The model, its neurons, its states by language, and the tokens it reads without the neurons.

    ``tokens`` has every language except the pivot.
    """

    model: Path
    neurons: Path
    states: Mapping[str, Path]
    tokens: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class CorrelationInputs(Inputs):
    """A model's neurons, and its states by language."""

    neurons: Path
    states: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class LapeInputs(DeactivationInputs):
    """LAPE's neurons and every neuron's correlation ratio, beside what a deactivation reads."""

    correlation: Path
    lape: Path


@dataclass(frozen=True, kw_only=True)
class TasksInputs(Inputs):
    """The model, its neurons, and the items of every task by language."""

    model: Path
    neurons: Path
    items: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class HarnessInputs(Inputs):
    """The model and its neurons."""

    model: Path
    neurons: Path


class PairedSettings(StepSettings):
    """What a step that pairs languages with the pivot is told.

    Attributes:
        pivot: id of the language that others are paired with.
    """

    pivot: str


class NeuronsSettings(PairedSettings):
    """How neurons are scored and ranked."""

    pool: Pool
    type1_layers: float
    top_fraction: float
    top_n: int | None


class SpaceSettings(PairedSettings):
    """How latent spaces are compared."""

    pool: Pool
    k: list[int]
    variances: list[float]
    replicates: int


class DeactivationSettings(PairedSettings, RunningSettings):
    """How closeness is measured without sets of neurons."""

    pool: Pool
    k: list[int]
    positions: Literal["last", "all"]
    random_seeds: int
    replicates: int


class CorrelationSettings(PairedSettings):
    """Over which neurons correlation ratios are averaged."""

    tops: list[int]


class TasksSettings(RunningSettings):
    """How tasks are answered without neurons.

    Attributes:
        tasks: ids, in the order wanted.
        scorings: how the answers of each task are judged.
    """

    tasks: list[str]
    scorings: dict[str, Scoring]
    task_positions: EditedPositions
    task_random_seeds: int
    replicates: int


class HarnessStepSettings(RunningSettings):
    """Which tasks of the harness are done without neurons."""

    harness: HarnessSettings
    random_seeds: int
