"""bfloat16 compared with float32 on this processor: the pass, and the pass with its head.

What decides for ``capture.dtype: half_if_faster`` is whether both are faster.
"""

import copy

import numpy as np
import pytest
import torch

from comparing import compared, text
from neuroglot.capture.perplexity import negative_log_likelihood
from neuroglot.tokens import Tokens
from test_capture import bare_pass


@pytest.fixture(scope="module")
def half(model: torch.nn.Module) -> torch.nn.Module:
    return copy.deepcopy(model).bfloat16()


def test_pass(benchmark, model, half, tokens: Tokens) -> None:
    """The forward pass alone, on the batches of a recording."""
    compared(benchmark, bare_pass(half, tokens), bare_pass(model, tokens))


def test_perplexity(benchmark, model, half) -> None:
    """The pass, and the head at every token."""
    tokens = text()
    cut = np.flatnonzero(np.diff(tokens.segment)) + 1
    segments = np.split(tokens.token_id.astype(np.int64), cut)

    def read(one: torch.nn.Module):
        return lambda: negative_log_likelihood(one, segments, tokens.before)

    compared(benchmark, read(half), read(model))
