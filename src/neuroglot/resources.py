"""Memory, time and GPUs that jobs request, from the size of the model and of its texts."""

import json
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from neuroglot.capture.settings import RISK_MEGABYTES
from neuroglot.config import Config
from neuroglot.running import Running

MEGABYTE = 1e6
STARTED_MB = 3000  # Python, torch, a batch's activations and the collectors' sums
COPIES = 2  # times the rows at risk: a block of compressed rows, and zarr's copies as it writes it
SPARE = 1.2  # factor for loading weights, which takes more memory than they have
# Floating-point operations per second of a core and of a GPU: a third of usual values, so that jobs
# on slower machines also finish in time.
CPU_SPEED = 1.5e10
GPU_SPEED = 3e13
LONGEST = 3 * 24 * 60  # minutes: the limit of most clusters

Ask = Callable[..., int]


class Needs:
    """The resources of rules, as functions that Snakemake calls.

    ``input`` are a job's input files. Functions that read them raise FileNotFoundError while a file
    does not exist yet; Snakemake then asks again later. Each further ``attempt`` requests more.
    """

    def __init__(self, settings: Config) -> None:
        """Take the configuration, which says how each model is run."""
        self._settings, self._execution = settings, settings.execution

    def memory(self, megabytes: int) -> Ask:
        """Megabytes of a step that runs no model."""
        return lambda _wildcards, attempt: attempt * megabytes

    def time(self, minutes: int) -> Ask:
        """Minutes of a step that runs no model."""
        return lambda _wildcards, attempt: min(LONGEST, attempt * minutes)

    def model_memory(self, _wildcards: Any, input: Sequence[str], attempt: int) -> int:
        """Main memory, in MB, of a step that runs a model; weights for a GPU pass through it."""
        capture = self._settings.capture  # rows that are not compressed are never in memory
        gathered = capture.store_dtype == "bfloat16" or capture.keep_bits is not None
        # In half precision blocks have the length of the default.
        rows = COPIES * max(self._execution.risk_megabytes, RISK_MEGABYTES) if gathered else 0
        return attempt * ceil(STARTED_MB + rows + SPARE * self._weights(input))

    def model_time(self, beside: int = 10, passes: int = 1) -> Ask:
        """Minutes of a step that runs its texts through a model ``passes`` times.

        ``beside`` are the minutes that the rest of the step takes.
        """

        def minutes(_wildcards: Any, input: Sequence[str], attempt: int) -> int:
            operations: int = 2 * _card(input)["parameters"] * _tokens(input) * passes
            seconds = operations / (GPU_SPEED if self._on_gpu(input) else CPU_SPEED)
            return min(LONGEST, attempt * ceil(beside + seconds / 60))

        return minutes

    def gpus(self, _wildcards: Any, input: Sequence[str]) -> int:
        """GPUs of a step that runs a model, if requested by number; 0 if requested by name."""
        by_name = self._execution.gpu_request.startswith("gres:")
        return self._needed(input) if self._on_gpu(input) and not by_name else 0

    def gres(self, _wildcards: Any, input: Sequence[str]) -> str:
        """GPUs as a generic resource of Slurm, such as ``gpu:a100:2``; "" in other cases."""
        style, _, name = self._execution.gpu_request.partition(":")
        return f"{name}:{self._needed(input)}" if style == "gres" else ""

    def _on_gpu(self, input: Sequence[str]) -> bool:
        """Whether a job asks for a GPU."""
        if self._execution.gpu_request != "auto":
            return self._execution.gpu_request != "none"
        return self._running(input).device == "cuda"

    def _running(self, input: Sequence[str]) -> Running:
        """How a job's model is run."""
        return self._settings.running(_card_of(input).parent.name)

    def _needed(self, input: Sequence[str]) -> int:
        """Number of GPUs whose memory holds the model; 1 if their memory is not configured."""
        gigabytes = self._execution.gpu_gigabytes
        return ceil(SPARE * self._weights(input) / 1000 / gigabytes) if gigabytes else 1

    def _weights(self, input: Sequence[str]) -> float:
        """Megabytes of a model's weights in the precision in which they are loaded."""
        card, dtype = _card(input), self._running(input).dtype
        if dtype == "auto":
            dtype = card["dtype"]
        return float(card["parameters"]) * (4 if dtype == "float32" else 2) / MEGABYTE


def _card(input: Sequence[str]) -> dict[str, Any]:
    """The card of a job's model, not validated; the step validates it."""
    card: dict[str, Any] = json.loads(_card_of(input).read_bytes())
    return card


def _card_of(input: Sequence[str]) -> Path:
    """The path of the card of a job's model, which is in the model's folder."""
    [path] = [path for path in input if path.endswith("/card.json")]
    return Path(path)


def _tokens(input: Sequence[str]) -> int:
    """Tokens of the texts among a job's files; a Parquet file counts one token per byte."""
    stores = [path for path in input if path.startswith("results/tokens/")]
    files = [path for path in input if path.endswith(".parquet")]
    counted: int = sum(json.loads(Path(path).read_bytes())["counts"]["rows"] for path in stores)
    return counted + sum(Path(path).stat().st_size for path in files)
