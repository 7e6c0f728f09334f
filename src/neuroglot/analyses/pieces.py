"""Keeps the parts of a long reduction, so that a new language costs only its own part."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.files import written_whole

Piece = dict[str, NDArray[Any]]


def piece(path: Path, fingerprint: str, compute: Callable[[], Piece]) -> Piece:
    """Read a piece with the same fingerprint, or compute it and keep it.

    Args:
        path: path of the piece, an ``.npz`` file.
        fingerprint: fingerprint of everything the piece depends on.
        compute: gives named arrays of numbers or text.
    """
    return pieces({path: fingerprint}, lambda _: {path: compute()})[path]


def pieces(
    fingerprints: Mapping[Path, str], compute: Callable[[list[Path]], Mapping[Path, Piece]]
) -> dict[Path, Piece]:
    """Read several pieces, and compute the missing pieces together.

    Args:
        fingerprints: fingerprint of everything each piece depends on, by the piece's path.
        compute: gives the pieces for some paths.
    """
    kept = {path: _read(path, fingerprint) for path, fingerprint in fingerprints.items()}
    missing = [path for path, piece in kept.items() if piece is None]
    made = compute(missing) if missing else {}
    for path, arrays in made.items():
        with written_whole(path, ".npz") as temporary:
            np.savez_compressed(temporary, **arrays, fingerprint=np.array(fingerprints[path]))  # type: ignore[arg-type]
    return {path: arrays or made[path] for path, arrays in kept.items()}


def _read(path: Path, fingerprint: str) -> Piece | None:
    """Read a piece; None if it is missing, damaged, or has another fingerprint."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception:  # a damaged archive fails in many ways: compute again
        return None
    return arrays if str(arrays.pop("fingerprint", "")) == fingerprint else None
