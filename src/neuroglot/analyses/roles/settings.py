"""TODO"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field


class RolesSettings(Section):
    """Detectors and combinators through the layers (Bhattacharya & Bojar)."""

    corpora: Annotated[list[Id], AfterValidator(distinct), Field(min_length=1)] = Field(
        description="Corpora to analyse; at least two parallel ones for figures 14 to 18."
    )
    rule: Literal["nonzero", "positive", "above"] = Field(
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
    scale: Literal["none", "minmax"] = Field(
        "none", description="Scaling of each prefix's activations before distances are taken."
    )
    sample_segments: int = Field(
        150,
        ge=2,
        description="Segments, from the first, whose raw activations are stored: for distances, "
        "heat maps and the similarity between models. Frequencies, flatness and ranks use every "
        "segment.",
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
