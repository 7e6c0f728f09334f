"""TODO"""

from pydantic import Field


class AgreementSettings(Section):
    """Whether the methods that name a language's neurons name the same ones."""

    top_fraction: Share = Field(
        0.01,
        description="Share of the neurons that a language is given at most by the methods that "
        "rank neurons without choosing: of all for `sharing`, of the last layer's for `lexicon`.",
    )
    minimum_methods: int = Field(
        2, ge=1, description="Methods that name a neuron for it to be listed in `neurons.csv`."
    )
