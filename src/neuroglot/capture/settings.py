"""What a user may set about recording activations."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglot.store import StoreDtype

Rule = Literal["nonzero", "positive", "above"]
Pool = Literal["last", "mean"]


class CaptureSettings(BaseModel):
    """How models are run and activations kept. Changing it repeats every recording."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda)$",
        description="Where models run. `cuda` takes one GPU if the model fits it, several if it "
        "does not; `auto` does so where there is one. `CUDA_VISIBLE_DEVICES` says which.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Precision of the forward pass. `auto` is float32 on a CPU and the precision "
        "of the checkpoint on a GPU.",
    )
    store_dtype: StoreDtype = Field(
        "float16",
        description="Precision of raw rows on disk. A value too large for float16 stops the run "
        "with a message; it is never stored as infinity.",
    )


class ExecutionSettings(BaseModel):
    """How much is done at a time. It changes speed and memory, no number, and so reruns nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens in a batch, padding included; halved when memory runs out. Left out: "
        "256 on a CPU (512 for perplexity), whose caches larger batches overflow, and 8192 on a "
        "GPU.",
    )
    risk_megabytes: int = Field(
        256,
        ge=1,
        description="Raw rows that a killed run computes again, at most: two shards, of which one "
        "is written while the other is computed.",
    )
    gpu_request: str = Field(
        "auto",
        pattern=r"^(auto|none|gpu|gres:gpu(:[A-Za-z0-9_.]+)?)$",
        description="How jobs ask for GPUs: `gpu` by number, `gres:gpu` or `gres:gpu:TYPE` as a "
        "generic resource of Slurm, `none` not at all. `auto` is `gpu` where one is in the machine "
        "that runs Snakemake or `capture.device` names one.",
    )
    gpu_gigabytes: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Memory of one GPU. A model that does not fit it gets several. Left out: one.",
    )


class RolesRecording(BaseModel):
    """What the roles paper's analyses need: statistics, and raw rows of the first segments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: Rule
    threshold: float
    sample_segments: int


class RecordingPlan(BaseModel):
    """What the configured analyses need of one corpus, and so what is recorded of it.

    Attributes:
        roles: statistics and sample of the roles paper, of the tokens that end a prefix.
        firing: how often every neuron is positive, over every token.
        rows: raw rows of ``act`` of every token.
        prompts: of a task's prompts, the site that says whether a neuron fires: raw rows of ``act``
            and of it at every prompt's last token, and its ``peak``, the largest at any token.
        states: raw rows of ``act``, ``mid`` and ``state`` at every segment's last token, and the
            ``mean`` of ``state`` over its tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: RolesRecording | None = None
    firing: bool = False
    rows: bool = False
    prompts: Literal["act", "gate"] | None = None
    states: bool = False

    @property
    def every_token(self) -> bool:
        """Whether tokens are recorded that end no prefix."""
        return self.firing or self.rows


class Group(BaseModel):
    """A group of statistics or rows that is recorded, kept and completed on its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str


class FiringGroup(Group):
    """How often every neuron is positive, over every token."""

    name: Literal["firing"] = "firing"


class RolesGroup(Group):
    """Statistics of the roles paper, over the tokens that end a prefix."""

    name: Literal["roles"] = "roles"
    rule: Rule
    threshold: float


class SampleGroup(Group):
    """Raw rows of ``act`` and ``out`` of the first segments' prefixes."""

    name: Literal["sample"] = "sample"
    segments: int


class RowsGroup(Group):
    """Raw rows of ``act`` of every token."""

    name: Literal["rows"] = "rows"


class PromptsGroup(Group):
    """Of a task's prompts: ``act``, the firing site and its peak at the last token."""

    name: Literal["prompts"] = "prompts"
    site: Literal["auto", "act", "gate"]


class StatesGroup(Group):
    """``act``, ``mid`` and ``state`` at segments' last tokens, and the mean of ``state``."""

    name: Literal["states"] = "states"
