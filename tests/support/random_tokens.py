"""Random tokens of a text, without a tokenizer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroglot.tokens import Tokens


def random_tokens(
    lengths: Sequence[int],
    before: int = 1,
    after: int = 0,
    every: int = 2,
    least: int = 3,
    seed: int = 3,
    **more: Any,
) -> Tokens:
    """Make segments of ``lengths`` tokens from ``least`` to 29.

    ``before`` and ``after`` are numbers of special tokens around a segment; of its own tokens each
    ``every``-th ends a prefix. ``more`` are further fields.
    """
    place = np.concatenate([np.arange(n) for n in lengths])
    generator = np.random.default_rng(seed)
    return Tokens(
        token_id=generator.integers(least, 30, sum(lengths)).astype(np.int32),
        segment=np.repeat(np.arange(len(lengths)), lengths).astype(np.int32),
        position=(place + before).astype(np.int32),
        end=(place + 1).astype(np.int32),
        ends_prefix=place % every == 1,
        segment_ids=[f"s{i}" for i in range(len(lengths))],
        before=[1] * before,
        after=[2] * after,
        **more,
    )
