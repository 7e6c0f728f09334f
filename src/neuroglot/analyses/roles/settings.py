"""The roles analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from neuroglot.analyses.base import AnalysisSettings, Inputs, StepSettings
from neuroglot.settings import CorpusId, Rule, distinct

Scale = Literal["none", "minmax"]


class RolesSettings(AnalysisSettings):
    """Detectors and combinators through the layers (Bhattacharya & Bojar)."""

    corpora: Annotated[list[CorpusId], AfterValidator(distinct), Field(min_length=1)] = Field(
        description="Corpora to analyse; at least two parallel ones for figures 14 to 18."
    )
    rule: Rule = Field(
        "nonzero",
        description="When a neuron counts as active: its value is not zero, is "
        "positive, or is above `threshold`.",
    )
    threshold: float = Field(0.0, description="For `rule: above`.")
    combinator_gelu: bool = Field(
        True,
        description="Draw the combinators' activation frequency after GELU, as published; an "
        "affine output is never exactly zero. Both are stored.",
    )
    scale: Scale = Field(
        "none", description="Scaling of each prefix's activations before distances are taken."
    )
    sample_segments: int = Field(
        150,
        ge=2,
        description="Segments, from the first, whose raw activations are stored: for distances, "
        "heat maps, the similarity between models, and ranks without tokens that both languages "
        "use. Frequencies, flatness and other ranks use every segment.",
    )
    heatmap_layers: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.0, 0.33, 0.67, 1.0],
        min_length=1,
        description="Layers to draw as heat maps, as a fraction of the depth.",
    )
    heatmap_rows: int = Field(120, ge=1, description="Prefixes per language in the heat maps.")
    rsa_stimuli: int = Field(
        300,
        ge=3,
        description="Prefixes per language that the similarity between models is computed on.",
    )
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments per interval; in each, all neurons are ranked "
        "anew.",
    )


@dataclass(frozen=True, kw_only=True)
class StatisticsInputs(Inputs):
    """One model's statistics over prefixes, by corpus and language."""

    roles: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class ParallelSetsInputs(StatisticsInputs):
    """One model's statistics, and the corpora's segments and tokens, by corpus and language."""

    texts: Mapping[str, Mapping[str, Path]]
    tokens: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class RankCorrelationInputs(StatisticsInputs):
    """One model's statistics, rows of the first segments, and tokens, by corpus and language."""

    sample: Mapping[str, Mapping[str, Path]]
    tokens: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class DistanceInputs(Inputs):
    """One model's raw rows of the first segments' prefixes, by corpus and language."""

    sample: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True, kw_only=True)
class HeatmapInputs(Inputs):
    """One model's raw rows of the first segments' prefixes, by language."""

    sample: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class RsaInputs(Inputs):
    """All models' raw rows of the first segments' prefixes, by model and language."""

    sample: Mapping[str, Mapping[str, Path]]


class DominantNeuronsSettings(StepSettings):
    """Which corpora are looked at."""

    corpora: list[str]


class ResampledSettings(StepSettings):
    """Which corpora are looked at, and how often their segments are resampled."""

    corpora: list[str]
    replicates: int


class RankCorrelationSettings(ResampledSettings):
    """The same, and the number of segments whose raw rows are used: more may have been recorded."""

    sample_segments: int


class ActivationFrequencySettings(ResampledSettings):
    """When a neuron counts as active, and which combinators are drawn."""

    rule: Rule
    combinator_gelu: bool


class DistanceSettings(ResampledSettings):
    """How prefixes are scaled, and of how many segments they are: more may have been recorded."""

    scale: Scale
    sample_segments: int


class HeatmapSettings(StepSettings):
    """What is drawn of which corpus."""

    corpus: str
    sample_segments: int
    heatmap_layers: list[float]
    heatmap_rows: int


class RsaSettings(StepSettings):
    """Which models are compared, on which corpus and how many prefixes of it."""

    corpus: str
    sample_segments: int
    compared: list[str]
    rsa_stimuli: int
    replicates: int
