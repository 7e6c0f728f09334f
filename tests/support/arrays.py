"""The array libraries and devices that measures are tried on."""

from typing import Any

import numpy as np
import pytest
import torch

BACKENDS = [
    "numpy",
    "torch",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    ),
]


def on(backend: str, x: np.ndarray) -> Any:
    if backend == "numpy":
        return x
    return torch.from_numpy(x).to("cuda" if backend == "cuda" else "cpu")


def back(x: Any) -> np.ndarray:
    return x.cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
