"""How each model is run, on which device and in which precision, found once for all jobs.

``auto`` depends on the machine. So the machine that starts a run decides, and the answer is kept
beside the model. All jobs on any machine follow it, and so do later runs with the same settings.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglot import layout
from neuroglot.capture.settings import (
    AskedPrecision,
    CaptureSettings,
    ExecutionSettings,
    Precision,
)
from neuroglot.devices import visible
from neuroglot.files import write_whole

Device = Literal["cpu", "cuda"]
PROCESSORS = Path("/proc/cpuinfo")


class Running(BaseModel):
    """How a model is run. If this changes, what was computed with the model is computed again.

    Attributes:
        device: where the model runs.
        dtype: precision of the forward pass; ``auto``, only on a GPU, is that of the checkpoint.
        batch_tokens: ``execution.batch_tokens`` if the precision may be half, where batches change
            numbers by rounding; None in float32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Device
    dtype: Precision
    batch_tokens: int | None = None

    def __str__(self) -> str:
        """Both in words, such as "bfloat16 on a CPU"."""
        precision = "the checkpoint's precision" if self.dtype == "auto" else self.dtype
        return f"{precision} on a {'CPU' if self.device == 'cpu' else 'GPU'}"


class Asked(BaseModel):
    """The settings that a machine resolves. If they change, they are resolved again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    dtype: AskedPrecision


class Decided(BaseModel):
    """The content of ``results/models/{model}.running.json``: what was asked, and the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: Asked
    device: Device
    dtype: Precision


def resolve(model: str, capture: CaptureSettings, execution: ExecutionSettings) -> Running:
    """Find how a model is run: as it was decided when it was made, or else as suits this machine.

    A decision holds while the model is there and the settings say the same.
    """
    decided = _decided(model, capture, execution)
    return Running(
        device=decided.device,
        dtype=decided.dtype,
        batch_tokens=batches(decided.device, decided.dtype, execution),
    )


def batches(device: str, dtype: str, execution: ExecutionSettings) -> int | None:
    """``execution.batch_tokens``, where numbers depend on it; see ``Running``."""
    exact = dtype == "float32" or (device == "cpu" and dtype == "auto")
    return None if exact else execution.batch_tokens


def remember(model: str, capture: CaptureSettings, execution: ExecutionSettings) -> None:
    """Keep the decision beside the model's folder, for jobs on other machines and later runs."""
    decided = _decided(model, capture, execution)
    if decided != _kept(model):
        text = decided.model_dump_json(indent=2) + "\n"
        write_whole(layout.running(model), text.encode())


def _decided(model: str, capture: CaptureSettings, execution: ExecutionSettings) -> Decided:
    asked = Asked(device=capture.device, dtype=capture.dtype)
    kept = _kept(model) if layout.done(layout.model(model)).is_file() else None
    if kept is not None and kept.asked == asked:
        return kept
    device = _device(asked, execution)
    return Decided(asked=asked, device=device, dtype=_precision(asked, device))


def _kept(model: str) -> Decided | None:
    try:
        return Decided.model_validate_json(layout.running(model).read_bytes())
    except (OSError, ValidationError):
        return None


def _device(asked: Asked, execution: ExecutionSettings) -> Device:
    if asked.device == "cpu":
        return "cpu"
    requested = execution.gpu_request.startswith("g")  # of a cluster: gpu, gres:gpu …
    return "cuda" if asked.device == "cuda" or requested or _gpu_here() else "cpu"


def _precision(asked: Asked, device: Device) -> Precision:
    if asked.dtype == "half_if_faster":
        return "bfloat16" if device == "cuda" or has_amx() else "float32"
    return "float32" if asked.dtype == "auto" and device == "cpu" else asked.dtype


def _gpu_here() -> bool:
    """Whether torch can use a GPU of this machine; torch is imported only if there is one."""
    if not visible():
        return False
    import torch

    return torch.cuda.is_available()


def has_amx() -> bool:
    """Whether this machine's processors have AMX, which multiplies matrices of bfloat16.

    AVX-512 has instructions for it too, with which it may be slower than float32: 0.63 times as
    fast on an Intel Xeon without AMX (docs/performance.md).
    """
    try:
        return "amx_bf16" in PROCESSORS.read_text("utf-8", "replace").split()
    except OSError:  # not Linux
        return False
