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
    """Run every text once, long ones first, together with others of about its length.

    Batches are halved when memory runs out, so ``run`` must change nothing before it is done.

    Args:
        lengths: tokens of each text.
        budget: tokens run at once, padding included; a longer text is run alone.
        run: reads a batch, told the numbers of its texts.
        too_long: what to say of a text that does not fit into memory alone, told its number.

    Returns:
        The budget that was kept to in the end.

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
        model: in the memory that it runs in.
        on_cpu: what is usual on a CPU; on a GPU it is 8192.
        wanted: what was asked for; None for what is usual.
    """
    usual = on_cpu if next(model.parameters()).device.type == "cpu" else GPU_TOKENS
    return wanted or usual


def out_of_memory(error: Exception) -> bool:
    """Say whether an error means that a batch was too large for the memory."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate" in str(error)


def release_memory() -> None:
    """Give back what a failed batch left in the GPU's cache."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
