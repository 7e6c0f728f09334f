"""What a user may set about each analysis: one section of the configuration per paper."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from neuroglot.languages import LanguageId

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
Item = TypeVar("Item")


def _identifier(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be part of a path: use lower-case letters, digits, - and _, "
            "beginning with a letter or digit, at most 100 of them"
        )
    return name


def distinct(items: list[Item]) -> list[Item]:
    """Refuse a list that names something twice."""
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{item!r} is listed twice")
    return items


Id = Annotated[str, AfterValidator(_identifier)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of the configuration; a key it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PerplexitySettings(Section):
    """Held-out text, on which models are judged with and without some of their neurons."""

    corpus: Id = Field(
        description="A corpus of text that no neurons were chosen on; `skip_segments` helps."
    )
    window: int = Field(
        200, ge=2, description="Tokens read at a time; a language needs at least so many."
    )
    windows: int | None = Field(
        500, ge=1, description="Windows per language, from the first; null: all there are."
    )


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


class LapeSettings(Section):
    """Language-specific neurons by activation-probability entropy (Tang et al.)."""

    corpus: Id = Field(description="The corpus on which it is counted how often neurons fire.")
    site: Literal["auto", "act", "gate"] = Field(
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
        1, ge=1, description="Sets of as many random neurons per layer, the control."
    )
    replicates: int = Field(
        200,
        ge=1,
        description="Bootstrap samples of segments or windows per interval; in each, neurons are "
        "selected anew.",
    )
    permutations: int = Field(
        100,
        ge=1,
        description="How often texts are dealt to the languages anew, to count the neurons that "
        "chance would select.",
    )


class SharingSettings(Section):
    """Which languages share active neurons in a task; what breaks without them (Wang et al.)."""

    tasks: Annotated[list[Id], AfterValidator(distinct), Field(min_length=1)] = Field(
        description="Tasks to analyse."
    )
    site: Literal["auto", "act", "gate"] = Field(
        "auto",
        description="What says whether a neuron is active: `gate`, the gate alone; `act`, the "
        "neuron's activation; auto takes the gate of gated models, where the sign of `act` is "
        "little more than a coin's.",
    )
    threshold: float = Field(0.0, description="A neuron is active above this value of `site`.")
    thresholds: Annotated[list[float], Field(min_length=1)] = Field(
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], description="Thresholds compared in figure 22."
    )
    language_counts: list[Annotated[int, Field(ge=2)]] = Field(
        [3, 5, 7, 9],
        description="Numbers of languages, from the first, compared in figure 19; those above the "
        "task's number are left out.",
    )
    few_shot: Annotated[list[Id], AfterValidator(distinct)] = Field(
        [],
        description="Tasks that differ in `shots` only, compared in figure 21; asked in the same "
        "languages. They need not be among `tasks`.",
    )
    top_fraction: Share = Field(0.05, description="Neurons that count as the top contributors.")
    positions: Literal["last", "all"] = Field(
        "last",
        description="Where neurons are changed: at the last token of the prompt and at every "
        "token of the answer, or at every token.",
    )
    converted_offset: Annotated[float, Field(gt=0)] = Field(
        1e-3, description="Converted neurons are set to the threshold plus this."
    )
    random_seeds: int = Field(1, ge=1, description="Draws of random neurons per control.")
    replicates: int = Field(1000, ge=1, description="Bootstrap samples of items per interval.")


class HarnessSettings(Section):
    """Tasks of lm-evaluation-harness, which is installed with `neuroglot[harness]`."""

    tasks: dict[str, LanguageId] = Field(
        min_length=1,
        description="Each task's name, as the harness knows it, with the language that it is "
        "asked in and whose neurons are deactivated.",
    )
    folder: str | None = Field(
        None, description="A folder with tasks of one's own, described in YAML."
    )
    limit: int | None = Field(
        None, ge=1, description="Documents of each task, from the first; null: all there are."
    )


class TransferSettings(Section):
    """Neurons that move representations between latent spaces (type 1 in, type 2 out)."""

    corpus: Id = Field(
        description="A parallel corpus, in the pivot language too, whose segments' states are "
        "compared."
    )
    pool: Literal["last", "mean"] = Field(
        "last",
        description="What stands for a segment: the state of its text's last token, or the mean "
        "over its tokens. Neurons are always looked at at the last token.",
    )
    type1_layers: Share = Field(
        0.625,
        description="Share of the layers, from the first, that Type 1 neurons (into the shared "
        "space) are sought in, 20 of 32 in the paper; Type 2 neurons (out to a language's own "
        "space) are sought in the others.",
    )
    top_n: int = Field(
        1000, ge=1, description="Neurons of each type and language, of the highest scores."
    )
    top_fraction: Share | None = Field(
        None, description="Take this share of all neurons in place of `top_n`."
    )
    k: Annotated[list[Annotated[int, Field(ge=1)]], AfterValidator(distinct)] = Field(
        [5, 10],
        min_length=1,
        description="Numbers of nearest neighbours that languages are compared by; fewer than "
        "there are segments.",
    )
    variances: Annotated[list[Share], AfterValidator(distinct)] = Field(
        [0.9, 0.95, 0.99],
        min_length=1,
        description="Shares of the variance that principal components are counted for.",
    )
    positions: Literal["last", "all"] = Field(
        "all",
        description="Where neurons are deactivated while a text is read: at its last token or at "
        "every token.",
    )
    tops: list[Annotated[int, Field(ge=1)]] = Field(
        [10, 100, 1000],
        min_length=1,
        description="Numbers of neurons, from the highest score, that correlation ratios are "
        "averaged over; the whole list where it is shorter.",
    )
    tasks: Annotated[list[Id], AfterValidator(distinct)] = Field(
        [], description="Tasks to answer without neurons of either type."
    )
    task_positions: Literal["prompt", "last", "all"] = Field(
        "prompt",
        description="Where neurons are deactivated in a task: at every token of the prompt, at "
        "its last token and at the answer's, or at every token.",
    )
    harness: HarnessSettings | None = Field(
        None,
        description="Tasks of lm-evaluation-harness to do without neurons of either type, which "
        "are deactivated while prompts are read.",
    )
    random_seeds: int = Field(
        5, ge=1, description="Sets of as many random neurons per layer, the control."
    )
    task_random_seeds: int = Field(
        1, ge=1, description="The same for tasks, which take far longer."
    )
    replicates: int = Field(
        1000, ge=1, description="Bootstrap samples of segments or items per interval."
    )

    @model_validator(mode="after")
    def _one_length(self) -> "TransferSettings":
        if self.top_fraction is not None and "top_n" in self.model_fields_set:
            raise ValueError("top_n and top_fraction both say how many neurons; give one of them")
        return self


NAMING_METHODS = {
    "lape": "lape",
    "sharing": "sharing",
    "type1": "transfer",
    "type2": "transfer",
    "experts": "experts",
    "lexicon": "lexicon",
}
"""The methods that name a language's neurons, in drawing order, and the analysis each is of."""


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


class BoostSettings(Section):
    """What multiplying a language's neurons does to text that a model writes, and reads."""

    method: Literal["lape", "sharing", "type1", "type2", "experts", "lexicon"] = Field(
        "lape",
        description="What names a language's neurons; its analysis has to be configured too: "
        "`transfer` for `type1` and `type2`.",
    )
    top_fraction: Share = Field(
        0.01,
        description="Share of the neurons that a language is given at most where `method` ranks "
        "neurons without choosing: of all for `sharing`, of the last layer's for `lexicon`.",
    )
    factors: Annotated[list[Annotated[float, Field(ge=0)]], AfterValidator(distinct)] = Field(
        [1.0, 2.0, 4.0],
        description="What activations are multiplied by, at every token; 1, the model as it is, "
        "is measured in any case.",
    )
    prompts: int = Field(
        4, ge=1, description="Prompts in each language: beginnings of held-out segments."
    )
    prompt_tokens: int = Field(
        8, ge=1, description="Tokens of a prompt; shorter segments are left out."
    )
    new_tokens: int = Field(24, ge=1, description="Tokens that are generated from each prompt.")
    random_seeds: int = Field(
        1, ge=1, description="Sets of as many random neurons per layer, the control."
    )
    replicates: int = Field(1000, ge=1, description="Bootstrap samples of prompts per interval.")

    @model_validator(mode="after")
    def _something_changes(self) -> "BoostSettings":
        if set(self.factors) <= {1.0}:
            raise ValueError("factors: 1 leaves neurons as they are; name another factor")
        return self
