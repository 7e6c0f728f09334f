"""Draws one family of figures from its reductions."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.figures.style import save


def run(paper: str, family: str, paths: Sequence[Path], output: Path) -> None:
    """Write every figure of ``neuroglot.figures.{paper}.{family}`` as SVG and PNG."""
    module = importlib.import_module(f"neuroglot.figures.{paper}.{family}")
    data = merged([store.open_dataset(path, "reduction") for path in paths])
    output.mkdir(parents=True, exist_ok=True)
    for stem, figure in module.FIGURES.items():
        save(figure(data), output / stem)


def merged(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    """Put reductions' variables into one dataset; of what several have, the first one's count.

    Along each dimension come the first one's tasks, languages, and the like, in their order, and
    then those that only others have; values are NaN where a reduction lacks them.
    """
    order: dict[str, pd.Index] = {}
    for part in parts:
        for name, index in part.indexes.items():
            known = order.setdefault(str(name), index)
            if not known.equals(index):
                order[str(name)] = known.append(index.difference(known, sort=False))
    aligned = [part.reindex({name: order[str(name)] for name in part.indexes}) for part in parts]
    return xr.merge(aligned, compat="override", join="exact", combine_attrs="override")
