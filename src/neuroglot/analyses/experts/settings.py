"""TODO"""

from typing import Literal

from pydantic import Field


class ExpertsSettings(Section):
    """Languages over experts that are clusters of neurons (Liu et al.)."""

    corpus: Id = Field(description="The corpus on which activation frequencies are counted.")
    experts_per_layer: int = Field(256, ge=1, description="Clusters of equal size in each layer.")
    score: Literal["signed", "absolute", "positive"] = Field(
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
        0.05, description="Activation frequency from which an expert is a language's own."
    )
    scores_from: Literal["forward", "rows"] = Field(
        "forward",
        description="Count during a forward pass of its own, or on raw activations of the corpus, "
        "which are then stored: quicker where another analysis records the same corpus, but far "
        "larger on disk.",
    )
    seed: int = Field(0, ge=0, description="Of the clustering.")
    clustering_jobs: int = Field(
        4, ge=1, description="Jobs that share a model's layers; changing it clusters again."
    )
    random_seeds: int = Field(
        3, ge=1, description="Sets of as many random experts, the control for perplexity and speed."
    )
    speed_rounds: int = Field(3, ge=1, description="How often every variant's speed is measured.")
    prompt_tokens: int = Field(
        16, ge=1, description="Tokens of held-out text that continuations start from."
    )
    continuation_tokens: int = Field(48, ge=1, description="Tokens that are generated.")
    replicates: int = Field(
        1000,
        ge=1,
        description="Bootstrap samples of segments, or of windows of held-out text, per interval, "
        "and permutations of the languages' labels.",
    )
