"""The routing analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from neuroglot.analyses.base import Inputs, JudgingSettings, StepSettings
from neuroglot.analyses.planning import HeldOutInputs, HeldOutSettings
from neuroglot.settings import CorpusId, Share


class RoutingAnalysisSettings(JudgingSettings):
    """Which experts of a mixture the languages are routed to."""

    corpus: CorpusId = Field(
        description="The parallel corpus on which it is counted which experts tokens are routed to."
    )
    percentile: Share = Field(
        0.75,
        description="An expert is chosen often in a language if its frequency is above this "
        "percentile of all frequencies.",
    )
    top_fraction: Share = Field(
        0.1,
        description="Share of all experts, of lowest entropy over languages, that are selected as "
        "languages' own. A model has far fewer experts than neurons, hence more than in `lape`.",
    )
    forbidden_fraction: Share = Field(
        0.05,
        description="Share of all experts that are forbidden at once: the most distinctive ones of "
        "a language. Every layer keeps as many as a token passes through.",
    )
    random_seeds: int = Field(
        1, ge=1, description="Sets of as many random experts per layer, the naive control."
    )
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments per interval; for numbers of experts, these are "
        "selected anew in each.",
    )
    permutations: int = Field(
        100,
        ge=1,
        description="How often texts are dealt to the languages anew, to count the experts that "
        "chance would select.",
    )


@dataclass(frozen=True, kw_only=True)
class SharesInputs(Inputs):
    """How tokens were routed, and the tokens of the text, by language."""

    routing: Mapping[str, Path]
    tokens: Mapping[str, Path]


class SharesSettings(StepSettings):
    """How uncertainty is measured."""

    replicates: int


@dataclass(frozen=True, kw_only=True)
class ExpertsInputs(Inputs):
    """How tokens were routed, by language."""

    routing: Mapping[str, Path]


class ExpertsStepSettings(StepSettings):
    """How experts are selected."""

    percentile: float
    top_fraction: float
    replicates: int
    permutations: int


@dataclass(frozen=True, kw_only=True)
class PerplexityInputs(HeldOutInputs):
    """What a model is judged by, and how often languages choose its experts."""

    experts: Path


class PerplexityStepSettings(HeldOutSettings):
    """How the model is judged without experts."""

    forbidden_fraction: float
