"""Runs a model over many texts in batches that fit into memory."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

GPU_TOKENS = 8192


def in_batches(
    lengths: Sequence[int],
    budget: int,
    run: Callable[[NDArray[np.int64]], Any],
    too_long: Callable[[int], str],
) -> int:
    """Run every text once, in batches of similar length, the longest first.

    Batches are halved when memory runs out, so ``run`` must change nothing before it is done.

    Args:
        lengths: tokens of each text.
        budget: tokens run at once, padding included; a longer text is run alone.
        run: runs a batch, given the numbers of its texts.
        too_long: words the error for a text that alone does not fit into memory, given its number.

    Returns:
        The final budget.

    Raises:
        NeuroglotError: not enough memory for one text.
    """
    waiting = deque(sorted(range(len(lengths)), key=lambda number: -lengths[number]))
    while waiting:
        longest = lengths[waiting[0]]
        size = min(len(waiting), max(1, budget // max(1, longest)))
        group = [waiting.popleft() for _ in range(size)]
        try:
            run(np.array(group, np.int64))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise NeuroglotError(f"not enough memory for {too_long(group[0])}") from error
            waiting.extendleft(reversed(group))
            budget = max(1, longest * size // 2)
            release_memory()
    return budget


def batch_budget(model: Any, on_cpu: int, wanted: int | None) -> int:
    """Tokens to run at once, padding included.

    Args:
        model: the model, on the device that it runs on.
        on_cpu: the default on a CPU; on a GPU it is 8192.
        wanted: the setting; None for the default.
    """
    usual = on_cpu if next(model.parameters()).device.type == "cpu" else GPU_TOKENS
    return wanted or usual


def out_of_memory(error: Exception) -> bool:
    """Whether an error means that a batch did not fit into memory."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate" in str(error)


def release_memory() -> None:
    """Free the memory that a failed batch left in the GPU's cache."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
