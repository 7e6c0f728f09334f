"""The lexicon analysis: its configuration section, and each step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from neuroglot.analyses.base import AnalysisSettings, Inputs, StepSettings, WeightsSettings
from neuroglot.settings import CorpusId


class LexiconSettings(AnalysisSettings):
    """Which tokens the last layer's neurons write, and of which languages those are."""

    corpus: CorpusId = Field(
        description="The corpus whose tokens are counted; its own `languages` may be many."
    )
    top_tokens: int = Field(
        100, ge=1, description="How many highest and lowest tokens of a neuron are looked at."
    )
    fold_final_norm: bool = Field(
        False,
        description="Multiply the final norm's gain into the unembedding, which the paper ignores. "
        "The gain of a norm on the FFN's output always counts.",
    )
    minimum_coverage: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of a neuron's top tokens that must be in the corpus for the neuron to "
        "be ranked: if only one token is, its entropy is 0.",
    )
    drawn_neurons: int = Field(4, ge=1, description="Lowest-entropy neurons drawn of each sign.")
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments per interval; each counts the top tokens of all "
        "neurons again.",
    )


@dataclass(frozen=True, kw_only=True)
class CountsInputs(Inputs):
    """The model whose tokenizer is used, and the texts by language."""

    model: Path
    texts: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class ProjectionInputs(Inputs):
    """The model whose last layer is projected to the vocabulary."""

    model: Path


class ProjectionSettings(WeightsSettings):
    """Which tokens of a neuron are kept."""

    top_tokens: int
    fold_final_norm: bool


@dataclass(frozen=True, kw_only=True)
class AssociationInputs(Inputs):
    """The token counts of languages, and the neurons' top tokens."""

    counts: Path
    projection: Path


class AssociationSettings(StepSettings):
    """Which neurons are drawn, and how often texts are."""

    minimum_coverage: float
    drawn_neurons: int
    replicates: int
