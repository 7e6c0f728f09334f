"""Draws one family of figures from its reductions."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from neuroglot import store
from neuroglot.figures.style import save


def run(paper: str, family: str, paths: Sequence[Path], output: Path) -> None:
    """Write every figure of ``neuroglot.figures.{paper}.{family}`` as SVG and PNG."""
    module = importlib.import_module(f"neuroglot.figures.{paper}.{family}")
    data = xr.merge(
        [store.open_dataset(path, "reduction") for path in paths],
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    output.mkdir(parents=True, exist_ok=True)
    for stem, figure in module.FIGURES.items():
        save(figure(data), output / stem)
