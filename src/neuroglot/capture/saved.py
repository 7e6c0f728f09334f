"""Saves the sums of a recording under way, so that a killed run goes on from them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglot.capture.collectors import Totals
from neuroglot.errors import not_finite
from neuroglot.files import written_whole
from neuroglot.store import damaged


def by_layer(totals: Mapping[str, Totals]) -> dict[str, NDArray[Any]]:
    """The sums by ``recording/statistic/layer``, as they are saved."""
    return {
        f"{name}/{key}": values
        for name, sums in totals.items()
        for key, values in sums.arrays().items()
    }


def save(folder: Path, stop: int, sums: dict[str, NDArray[Any]]) -> None:
    """Save the sums over all tokens before ``stop``, and remove the sums saved earlier."""
    path = folder / f"{stop:012d}.npz"
    with written_whole(path, ".npz") as temporary:
        np.savez(temporary, **sums)  # type: ignore[arg-type]
    for other in folder.glob("*.npz"):
        if other.name < path.name:
            other.unlink()


def resumed(folder: Path, names: Iterable[str]) -> tuple[int, dict[str, Totals]]:
    """Read saved progress: the token at which to continue, and the sums up to it."""
    saved = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
    if not saved:
        return 0, {name: Totals() for name in names}
    sums: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    try:
        with np.load(saved[-1], allow_pickle=False) as stored:
            for key, values in stored.items():
                name, _, of_layer = key.partition("/")
                sums[name][of_layer] = values
    except Exception as error:  # a damaged archive can raise errors of many types
        raise damaged(saved[-1], error) from error
    return int(saved[-1].stem), {name: Totals.of(sums[name]) for name in names}


def refuse_nan(arrays: Mapping[str, NDArray[Any]], where: Path | str) -> None:
    """Refuse NaN and infinity in arrays whose names end in ``statistic/layer``."""
    for key, values in arrays.items():
        if not np.isfinite(values).all():
            *_, name, layer = key.split("/")
            raise not_finite(f"{where}: {name} of layer {int(layer) + 1}")
