"""Projecting the last layer onto the vocabulary, compared with plain products and topk.

Random weights of Gemma 3 270M's shapes: 2048 neurons, hidden size 640, 262144 tokens.
"""

import pytest
import torch
from torch import Tensor

from comparing import compared, sized
from neuroglot.models.projection import BLOCK_VALUES, extreme_products

NEURONS, HIDDEN, VOCABULARY = sized(2048, 32), sized(640, 16), sized(262_144, 4096)
K = 100
BLOCK_TOKENS = min(VOCABULARY, BLOCK_VALUES // NEURONS)


@pytest.fixture(scope="module")
def weights() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(NEURONS, HIDDEN, generator=generator)
    return values, torch.randn(VOCABULARY, HIDDEN, generator=generator)


@pytest.mark.parametrize("searches", [0, 2], ids=["product", "product_and_topk"])
def test_projection(benchmark, weights, searches: int) -> None:
    """Both signs' rankings, compared with the product alone and the product with two searches."""
    values, unembedding = weights

    def bare() -> None:
        buffer = torch.empty(NEURONS, BLOCK_TOKENS)
        for rows in unembedding.split(BLOCK_TOKENS):
            torch.matmul(values, rows.T, out=buffer)
            for largest in (True, False)[:searches]:
                buffer.topk(K, dim=1, largest=largest)

    def ours() -> None:
        extreme_products(values, unembedding, K, BLOCK_TOKENS)

    compared(benchmark, ours, bare, rounds=3)
