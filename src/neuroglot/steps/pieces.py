"""Keeps the parts of a long reduction, so that one more language costs its own part only."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Piece = dict[str, NDArray[Any]]


def piece(path: Path, fingerprint: str, compute: Callable[[], Piece]) -> Piece:
    """Read a piece made from the same things before, or compute it and keep it.

    Args:
        path: of the piece, an ``.npz`` file.
        fingerprint: of everything the piece depends on.
        compute: gives named arrays of numbers or text.
    """
    kept = _read(path, fingerprint)
    if kept is not None:
        return kept
    made = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.npz")
    np.savez_compressed(temporary, **made, fingerprint=np.array(fingerprint))  # type: ignore[arg-type]
    temporary.replace(path)
    return made


def _read(path: Path, fingerprint: str) -> Piece | None:
    """Read a piece that is whole and of this fingerprint; anything else does not count."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except Exception:  # a damaged archive fails in a dozen ways, and all of them mean: again
        return None
    return found if str(found.pop("fingerprint", "")) == fingerprint else None
