"""Checks that a numpy array or torch tensor is finite."""

from typing import Any

from array_api_compat import array_namespace

from neuroglot.errors import NeuroglotError


def check_finite(values: Any, what: str) -> None:
    """Refuse NaN and infinity.

    Args:
        values: a numpy array or torch tensor.
        what: name of a value in the message, such as ``an activation``.

    Raises:
        NeuroglotError: a value is not finite.
    """
    xp = array_namespace(values)
    if not bool(xp.all(xp.isfinite(values))):
        raise NeuroglotError(
            f"{what} is NaN or infinite: the model's activations overflow; "
            "run it in float32 or bfloat16"
        )
