"""The experts analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from neuroglot.analyses.base import Inputs, JudgingSettings, RunningSettings, StepSettings
from neuroglot.settings import CorpusId, PerplexitySettings, Share

REAL: Final = "real"
ExpertsPerLayer = Annotated[int, Field(ge=1)] | Literal["real"]
Score = Literal["signed", "absolute", "positive"]


class ExpertsSettings(JudgingSettings):
    """Languages over experts that are clusters of neurons (Liu et al.)."""

    corpus: CorpusId = Field(description="The corpus on which activation frequencies are counted.")
    experts_per_layer: ExpertsPerLayer = Field(
        256,
        description="Clusters of equal size in each layer; or `real`: the experts of models that "
        "are mixtures of experts, each active at the tokens that are routed to it.",
    )
    score: Score = Field(
        "signed",
        description="An expert's score is the sum of its neurons' activations, of their "
        "absolute values, or of the positive ones.",
    )
    active_fraction: Share = Field(
        0.09765625,
        description="Share of all layers' experts that are active for a token; the paper's is 800 "
        "of 8192.",
    )
    high_frequency: Share = Field(
        0.05, description="Activation frequency from which it counts as high in a language."
    )
    scores_from: Literal["forward", "rows"] = Field(
        "forward",
        description="Count during a forward pass of its own, or on raw activations of the corpus, "
        "which are then stored: quicker where another analysis records the same corpus, but far "
        "larger on disk.",
    )
    seed: int = Field(0, ge=0, description="Seed of the clustering.")
    clustering_jobs: int = Field(
        4, ge=1, description="Jobs that share a model's layers; changing it clusters again."
    )
    random_seeds: int = Field(
        3,
        ge=1,
        description="Controls for perplexity and speed: sets of as many random experts, and other "
        "languages whose experts are kept.",
    )
    speed_rounds: int = Field(3, ge=1, description="How often every variant's speed is measured.")
    prompt_tokens: int = Field(
        16, ge=1, description="Tokens of held-out text that continuations start from."
    )
    continuation_tokens: int = Field(48, ge=1, description="Tokens that are generated.")
    replicates: int = Field(
        1000,
        ge=1,
        description="Bootstrap samples of segments, also of those of held-out text, per interval, "
        "and permutations of the languages' labels.",
    )


@dataclass(frozen=True, kw_only=True)
class PartitionInputs(Inputs):
    """The model whose neurons are clustered."""

    model: Path


def too_many(experts: int, narrowest: int, model: str) -> str:
    """Say that a layer of so many neurons cannot be divided into so many experts."""
    return (
        f"experts.experts_per_layer: {experts} experts cannot be made of {narrowest} neurons, "
        f"which is what a layer of {model} has; set a smaller number"
    )


class PartitionSettings(StepSettings):
    """How neurons are clustered, and which of ``blocks`` blocks of layers the job clusters."""

    experts_per_layer: ExpertsPerLayer
    seed: int
    block: int
    blocks: int


@dataclass(frozen=True, kw_only=True)
class RoutingInputs(Inputs):
    """The experts, and one language's text: either recorded rows, or tokens and the model.

    Attributes:
        partition: the experts of each block of layers.
        rows: recorded ``act`` of every token; None if the model reads the text.
        model: the model that reads the tokens; None if there are rows.
        tokens: the text's tokens; None if there are rows.
    """

    partition: Mapping[str, Path]
    rows: Path | None = None
    model: Path | None = None
    tokens: Path | None = None


class RoutingSettings(RunningSettings):
    """When an expert is active."""

    experts_per_layer: ExpertsPerLayer
    score: Score
    active_fraction: float


@dataclass(frozen=True, kw_only=True)
class FrequencyInputs(Inputs):
    """By language, the numbers of tokens that activate experts, and the text's tokens."""

    routing: Mapping[str, Path]
    tokens: Mapping[str, Path]


class FrequencySettings(StepSettings):
    """When a frequency is high, and how often texts and languages' labels are drawn."""

    high_frequency: float
    replicates: int


@dataclass(frozen=True, kw_only=True)
class InferenceInputs(Inputs):
    """The model, its experts, and by language their use, held-out text and counted text.

    ``chosen_on``, the text that the experts were counted on, must share no segment with
    ``held_out``.
    """

    model: Path
    partition: Mapping[str, Path]
    routing: Mapping[str, Path]
    held_out: Mapping[str, Path]
    chosen_on: Mapping[str, Path]


class InferenceSettings(RunningSettings):
    """Which experts are kept, and how the model is judged with them alone."""

    high_frequency: float
    random_seeds: int
    speed_rounds: int
    prompt_tokens: int
    continuation_tokens: int
    replicates: int
    perplexity: PerplexitySettings
