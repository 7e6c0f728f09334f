"""TODO"""

from pydantic import Field


class LexiconSettings(Section):
    """Which tokens the last layer's neurons write, and of which languages those are."""

    corpus: Id = Field(
        description="The corpus whose tokens are counted; its own `languages` may be many."
    )
    top_tokens: int = Field(
        100, ge=1, description="How many highest and lowest tokens of a neuron are looked at."
    )
    fold_final_norm: bool = Field(
        False,
        description="Multiply the final norm's gain into the unembedding; the paper ignores norms.",
    )
    minimum_coverage: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of a neuron's top tokens that the corpus must contain for it to be "
        "drawn: a neuron of which one token was seen has entropy 0.",
    )
    drawn_neurons: int = Field(4, ge=1, description="Lowest-entropy neurons drawn of each sign.")
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments per interval; each counts the top tokens of all "
        "neurons again.",
    )
