"""The exception for bad input, and its messages for unknown names and overflow."""

from collections.abc import Iterable
from difflib import get_close_matches


class NeuroglotError(Exception):
    """Bad input. The message names the file, key or language, what was found and what to do.

    The command line prints the message alone, without a traceback, and exits with status 1.
    """


def unknown_name(noun: str, name: str, valid: Iterable[str]) -> str:
    """Word a message for a ``name`` that is not in ``valid``, with the nearest valid name.

    ``noun`` says what is named.

    Example:
        >>> unknown_name("corpus", "udrh", ["udhr", "django"])
        "unknown corpus 'udrh'; did you mean 'udhr'?"
    """
    names = sorted(valid)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"unknown {noun} {name!r}; did you mean {near[0]!r}?"
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"unknown {noun} {name!r}; known: {shown or 'none'}"


def not_finite(what: str, of: str = "activations") -> NeuroglotError:
    """Make the error for a NaN or infinite value that comes from overflow in a model.

    Args:
        what: the value's name.
        of: the tensors that hold NaN or infinity, ``activations`` or ``logits``.
    """
    return NeuroglotError(
        f"{what} is not finite: the model's {of} hold NaN or infinity; set capture.dtype to "
        "float32 or bfloat16"
    )
