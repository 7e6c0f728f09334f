"""Runs a model over many texts in batches that fit into memory."""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError

if TYPE_CHECKING:
    from neuroglot.models.intervene import Edit

GPU_TOKENS = 8192


class Budget(NamedTuple):
    """How many tokens are run at once.

    Attributes:
        tokens: padding included.
        fixed: never to be lowered, because in half precision batches change numbers by rounding.
    """

    tokens: int
    fixed: bool = False


EditsOf = Callable[[NDArray[np.int64]], Sequence["Edit"]]
"""Takes the numbers of a batch's texts; returns the edits for these texts in this order."""


def in_batches(
    lengths: Sequence[int],
    budget: Budget,
    run: Callable[[NDArray[np.int64]], Any],
    text: str,
    remedy: str = "shorten it",
    alike: bool = False,
    times: int = 1,
) -> Budget:
    """Run every text once, or several ``times``, in batches of similar length, the longest first.

    Batches are halved when memory runs out, so ``run`` must change nothing before it is done. With
    a fixed budget they are not, and which texts are run together depends on lengths alone.

    Args:
        lengths: tokens of each text.
        budget: tokens run at once; a longer text is run alone.
        run: runs a batch, given the numbers of its texts.
        text: what a text is, for the error message, such as ``one segment`` or ``question {}``,
            where {} stands for its number.
        remedy: what the user can do about a text that alone does not fit into memory.
        alike: whether to run only texts of equal length together, so that none is padded.
        times: how often each text is run; if not once, ``run`` is given numbers of runs, those of
            the first text before those of the second.

    Returns:
        The final budget.

    Raises:
        NeuroglotError: not enough memory for one text, or for a batch if the budget is fixed.
    """
    lengths = [length for length in lengths for _ in range(times)]
    waiting = deque(sorted(range(len(lengths)), key=lambda number: -lengths[number]))
    while waiting:
        longest = lengths[waiting[0]]
        size = min(len(waiting), max(1, budget.tokens // max(1, longest)))
        if alike:
            together = list(islice(waiting, size))
            size = sum(lengths[number] == longest for number in together)
        group = [waiting.popleft() for _ in range(size)]
        try:
            run(np.array(group, np.int64))
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            if size == 1:
                alone = text.format(group[0] // times)
                raise NeuroglotError(
                    f"not enough memory for {alone} ({longest} tokens); {remedy}, or use a device "
                    "with more memory"
                ) from error
            less = max(1, longest * size // 2)
            if budget.fixed:
                raise NeuroglotError(
                    f"not enough memory for a batch of {longest * size} tokens; set "
                    f"execution.batch_tokens to {less}, or use a device with more memory. In half "
                    "precision a batch is not made smaller by itself: it changes numbers by "
                    "rounding, so what was computed with this model is then computed again"
                ) from error
            waiting.extendleft(reversed(group))
            budget = Budget(less)
    return budget


def edits_of_runs(
    variants: Sequence[EditsOf | None], texts: NDArray[np.int64], places: NDArray[np.int64]
) -> "list[Edit]":
    """The edits of a batch in which texts are run under variants with edits of their own.

    Args:
        variants: each gives the edits for some texts; None edits nothing.
        texts: number of each run's text, ``[run]``.
        places: place of each run's variant in ``variants``, ``[run]``.
    """
    from neuroglot.models.intervene import side_by_side

    parts = []
    for place in np.unique(places):
        if variant := variants[place]:
            runs = np.flatnonzero(places == place)
            parts.append((runs, variant(texts[runs])))
    return side_by_side(parts, len(places))


def _out_of_memory(error: Exception) -> bool:
    """Whether a batch did not fit into memory; then free what it left in the GPU's cache."""
    import torch

    full = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate" in str(error)
    if full and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return full


def batch_budget(model: Any, on_cpu: int, wanted: int | None) -> Budget:
    """Tokens to run at once: as ``wanted``, or the default for the device; fixed in half precision.

    Its weights tell a model's precision.
    """
    weights = next(model.parameters())
    usual = on_cpu if weights.device.type == "cpu" else GPU_TOKENS
    return Budget(wanted or usual, fixed=weights.element_size() < 4)
