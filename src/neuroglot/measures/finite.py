"""Refuses activations that overflowed, of which no measure means anything."""

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError


def require_finite(values: NDArray[np.floating], what: str) -> None:
    """Refuse NaN and infinity.

    Args:
        values: computed from a model's activations.
        what: one of them is, such as ``a state``.

    Raises:
        NeuroglotError: one is not finite.
    """
    if not np.isfinite(values).all():
        raise NeuroglotError(
            f"{what} is NaN or infinite: the model's activations overflow; "
            "run it in float32 or bfloat16"
        )
