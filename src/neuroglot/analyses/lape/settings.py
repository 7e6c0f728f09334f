"""The lape analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from neuroglot.analyses.base import Inputs, JudgingSettings, StepSettings
from neuroglot.analyses.planning import HeldOutInputs, HeldOutSettings
from neuroglot.settings import CorpusId, Share

Site = Literal["auto", "act", "gate"]


class LapeSettings(JudgingSettings):
    """Language-specific neurons by activation-probability entropy (Tang et al.)."""

    corpus: CorpusId = Field(
        description="The corpus on which it is counted how often neurons fire."
    )
    site: Site = Field(
        "auto",
        description="What counts as firing: `act` or `gate` above zero; auto is the gate of gated "
        "models, as in the released code, and `act` of others.",
    )
    percentile: Share = Field(
        0.95,
        description="A neuron fires often in a language if its probability is above this "
        "percentile of all probabilities.",
    )
    top_fraction: Share = Field(
        0.01, description="Share of all neurons, of lowest entropy, that are selected."
    )
    random_seeds: int = Field(
        1, ge=1, description="Sets of as many random neurons per layer, the naive control."
    )
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments per interval; for numbers of neurons, these are "
        "selected anew in each.",
    )
    permutations: int = Field(
        100,
        ge=1,
        description="How often texts are dealt to the languages anew, to count the neurons that "
        "chance would select.",
    )


@dataclass(frozen=True, kw_only=True)
class NeuronsInputs(Inputs):
    """How often neurons fire, by language."""

    firing: Mapping[str, Path]


class NeuronsSettings(StepSettings):
    """How neurons are selected."""

    site: Site
    percentile: float
    top_fraction: float
    replicates: int
    permutations: int


@dataclass(frozen=True, kw_only=True)
class PerplexityInputs(HeldOutInputs):
    """What a model is judged by, and its neurons."""

    neurons: Path


class PerplexityStepSettings(HeldOutSettings):
    """How the model is judged without neurons."""
