"""The agreement analysis: its configuration section, and its step's inputs and settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from neuroglot.analyses.base import AnalysisSettings, Inputs, NamingInputs, WeightsSettings
from neuroglot.analyses.named import Method
from neuroglot.settings import Share


class AgreementSettings(AnalysisSettings):
    """Whether the methods that name a language's neurons name the same ones."""

    top_fraction: Share = Field(
        0.01,
        description="Largest share of neurons that a language gets from methods that only rank "
        "neurons: of all neurons for `sharing`, of the last layer's for `lexicon`.",
    )
    minimum_methods: int = Field(
        2, ge=1, description="Methods that name a neuron for it to be listed in `neurons.csv`."
    )


@dataclass(frozen=True, kw_only=True)
class AgreementInputs(Inputs):
    """The model, and the datasets with named neurons, by analysis and step.

    A step with parts has one dataset per part, named ``step/part``.
    """

    model: Path
    reductions: Mapping[str, Mapping[str, Path]]

    def naming(self, analysis: str) -> NamingInputs:
        """Give the inputs of an analysis' naming methods."""
        return NamingInputs(self.model, self.reductions[analysis])


class AgreementStepSettings(WeightsSettings):
    """How methods are compared.

    Attributes:
        methods: in the order of tables and figures.
    """

    methods: list[Method]
    top_fraction: float
    minimum_methods: int
