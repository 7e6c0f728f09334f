"""The settings of recording, and the groups of statistics and rows that can be recorded."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from neuroglot.settings import Rule, Section
from neuroglot.store import MANTISSA, Completion, StoreDtype

Pool = Literal["last", "mean"]
GroupName = Literal["roles", "firing", "routing", "sample", "rows", "prompts", "states"]
Over = Literal["prefixes", "every token", "last token of each segment", "last prompt token"]
EditedPositions = Literal["last", "all", "prompt"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]
AskedPrecision = Literal["auto", "half_if_faster", "float32", "bfloat16", "float16"]
RISK_MEGABYTES = 1024


class CaptureSettings(Section):
    """How models are run and activations kept. Changing it repeats every recording."""

    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda)$",
        description="Where models run. `cuda` takes one GPU if the model fits it, several if it "
        "does not; `auto` does so where there is one in the machine that starts the run, or where "
        "`execution.gpu_request` asks for one. `CUDA_VISIBLE_DEVICES` says which.",
    )
    dtype: AskedPrecision = Field(
        "auto",
        description="Precision of the forward pass. `auto` is float32 on a CPU and the precision "
        "of the checkpoint on a GPU. `half_if_faster` is bfloat16 on a GPU and on a CPU with AMX, "
        "else float32; docs/precision.md says what that changes. The machine that starts a run "
        "decides, once for each model, and keeps the answer in `results/models/MODEL.running.json` "
        "for jobs and runs on other machines.",
    )
    store_dtype: StoreDtype = Field(
        "float16",
        description="Precision of raw rows on disk. A value too large for float16 stops the run "
        "with a message; it is never stored as infinity.",
    )
    keep_bits: int | None = Field(
        None,
        ge=1,
        le=22,
        description="Raw rows are rounded to this many bits after the leading 1 and compressed: "
        "smaller, slower to write, and no longer exact (docs/performance.md says what that "
        "changes). float16 has 10 such bits, bfloat16 7, and float32, in which states are stored, "
        "23; rows with no more bits than this stay as they are. Left out: all bits.",
    )


class ExecutionSettings(Section):
    """How much is done at a time: speed and memory.

    It changes no number, and so reruns nothing, except ``batch_tokens`` in half precision.
    """

    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens in a batch, padding included; halved when memory runs out. Left out: "
        "8192; on a CPU, whose caches larger batches overflow, 256 in recordings and 512 for "
        "perplexity, where batches are whole texts. In half precision batches change numbers by "
        "rounding. So there a run that lacks memory fails and names a smaller number, and a change "
        "repeats what ran the model.",
    )
    risk_megabytes: int = Field(
        RISK_MEGABYTES,
        ge=1,
        description="Raw rows that a killed run computes again, at most: two shards, of which one "
        "is written while the other is computed. Larger shards need less padding. In half "
        "precision the length of shards, and with it what is batched together, is always that of "
        "the default.",
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


class Group(BaseModel):
    """Statistics or raw rows of a text that are recorded, kept and replaced together.

    An analysis says with a group's fields what it wants recorded. The group's completion record
    keeps them under ``group``.

    Attributes:
        name: the name of the group's folder in a store.
        over: the tokens that the statistics or rows cover.
        mixtures: whether it can be recorded of mixtures of experts.
        stored: the sites of the raw rows, unless the group's fields decide.
        store_dtype: precision of the raw rows, if it is not a setting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[GroupName]
    over: ClassVar[Over]
    mixtures: ClassVar[bool] = True
    stored: ClassVar[tuple[str, ...]] = ()
    store_dtype: ClassVar[StoreDtype | None] = None

    @classmethod
    def kept_bits(cls, capture: CaptureSettings) -> int | None:
        """Bits to which raw values are rounded; None if they are exact, or there are none."""
        bits, dtype = capture.keep_bits, cls.store_dtype or capture.store_dtype
        return bits if cls.stored and bits is not None and bits < MANTISSA[dtype] else None

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites of the raw rows; see ``capture.engine.Recording``."""
        return self.stored

    @property
    def first_segments(self) -> int | None:
        """How many segments, from the first, are recorded; None for all."""
        return None

    def satisfied_by(self, recorded: Completion) -> bool:
        """Whether the recorded group of this name holds all that this group asks for."""
        return bool(recorded.origin["group"] == self.model_dump())

    def united(self, other: "Group") -> "Group | None":
        """One group of this name that contains both groups; None if there is none."""
        return self if self == other else None


class RolesGroup(Group):
    """The statistics of the roles paper, over the tokens that end a prefix."""

    name: ClassVar[GroupName] = "roles"
    over: ClassVar[Over] = "prefixes"
    mixtures: ClassVar[bool] = False

    rule: Rule
    threshold: float


class FiringGroup(Group):
    """Number of tokens at which each neuron is positive, over every token.

    Of a mixture of experts also the number of tokens that reach the neuron.
    """

    name: ClassVar[GroupName] = "firing"
    over: ClassVar[Over] = "every token"


class RoutingGroup(Group):
    """How a mixture of experts routes every token: counts of choices, and the routers' weights."""

    name: ClassVar[GroupName] = "routing"
    over: ClassVar[Over] = "every token"


class SampleGroup(Group):
    """Raw rows of ``act`` and ``out`` of the prefixes of the first segments.

    A recorded sample is sufficient if it has at least as many segments, or all of the text's.
    """

    name: ClassVar[GroupName] = "sample"
    over: ClassVar[Over] = "prefixes"
    mixtures: ClassVar[bool] = False
    stored: ClassVar[tuple[str, ...]] = ("act", "out")

    segments: int = Field(ge=1)

    @property
    def first_segments(self) -> int:
        """How many segments, from the first, are recorded."""
        return self.segments

    def satisfied_by(self, recorded: Completion) -> bool:
        """Whether enough segments, or all of the text's, were recorded."""
        segments = int(recorded.origin["group"]["segments"])
        return segments >= min(
            self.segments, recorded.counts["drawn"] or recorded.counts["segments"]
        )

    def united(self, other: Group) -> "SampleGroup":
        """The sample with more segments."""
        assert isinstance(other, SampleGroup)
        return self if self.segments >= other.segments else other


class RowsGroup(Group):
    """Raw rows of ``act`` of every token."""

    name: ClassVar[GroupName] = "rows"
    over: ClassVar[Over] = "every token"
    mixtures: ClassVar[bool] = False
    stored: ClassVar[tuple[str, ...]] = ("act",)


class FiringSiteGroup(Group):
    """Raw rows with those of the site that says whether a neuron fires (``site``).

    ``auto`` stands for ``gate`` in gated models and for ``act`` in others.
    """

    site: Literal["auto", "act", "gate"] = "auto"

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites of the raw rows."""
        return tuple(dict.fromkeys((*self.stored, self.site)))

    def of(self, gated: bool) -> Self:
        """This group with ``auto`` replaced by the model's site."""
        return type(self)(site="gate" if gated and self.site != "act" else "act")

    def satisfied_by(self, recorded: Completion) -> bool:
        """Whether the recorded site is that which ``site`` stands for in this model."""
        return bool(recorded.origin["group"] == self.of(recorded.origin["gated"]).model_dump())


class PromptsGroup(FiringSiteGroup):
    """Raw rows at the last token of a task's prompts.

    The rows are those of ``act``, of ``site``, and of ``peak``, the largest value of ``site`` at
    any token of the prompt.
    """

    name: ClassVar[GroupName] = "prompts"
    over: ClassVar[Over] = "last prompt token"
    stored: ClassVar[tuple[str, ...]] = ("act", "peak")


class StatesGroup(FiringSiteGroup):
    """Raw rows at segments' last tokens, and the mean of ``state`` over tokens.

    The rows are those of ``act``, ``mid``, ``state`` and ``site``. They are always float32:
    residual streams exceed float16, and bfloat16 is too coarse for cosines between centroids.
    """

    name: ClassVar[GroupName] = "states"
    over: ClassVar[Over] = "last token of each segment"
    stored: ClassVar[tuple[str, ...]] = ("act", "mid", "state", "mean")
    store_dtype: ClassVar[StoreDtype | None] = "float32"


GROUPS: dict[str, type[Group]] = {
    group.name: group
    for group in (
        *(RolesGroup, FiringGroup, RoutingGroup),
        *(SampleGroup, RowsGroup, PromptsGroup, StatesGroup),
    )
}
