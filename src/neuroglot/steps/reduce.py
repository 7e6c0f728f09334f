"""Reduces stores to one dataset, written as Zarr with a tidy CSV beside it."""

import importlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from neuroglot import store
from neuroglot.packages import file_sha256
from neuroglot.provenance import digest, fingerprint


def run(
    paper: str, name: str, paths: Sequence[Path], settings: dict[str, Any], output: Path
) -> None:
    """Compute ``neuroglot.steps.{paper}.{name}`` over ``paths`` and write it.

    Args:
        paper: whose reduction it is.
        name: of the reduction.
        paths: stores (and texts) it compares, in any order.
        settings: what ``compute`` reads; ``language_table`` maps ids to names and families.
        output: the Zarr store; the table has the suffix ``.csv`` instead.
    """
    module_name = f"neuroglot.steps.{paper}.{name}"
    module = importlib.import_module(module_name)
    paths = sorted(paths)
    origin = {
        "reduction": f"{paper}/{name}",
        "inputs": digest([_identity(path) for path in paths]),
        "settings": settings,
        "code": fingerprint(__name__, module_name),
    }
    if store.begin(output, "reduction", origin):
        return
    data: xr.Dataset = module.compute(paths, settings)
    table = {key: settings["language_table"][key] for key in settings["languages"]}
    data = data.assign_attrs(
        paper=paper,
        reduction=name,
        **{key: settings[key] for key in ("model", "pivot") if key in settings},
        language_names=json.dumps({k: v["name"] for k, v in table.items()}, ensure_ascii=False),
        language_families=json.dumps({k: v["family"] for k, v in table.items()}),
    )
    store.write_dataset(output, data)
    if module.TABLE:
        _write_table(data[list(module.TABLE)], output.with_suffix(".csv"))
    store.complete(output, "reduction", origin, {str(k): int(v) for k, v in data.sizes.items()})


def _identity(path: Path) -> str:
    """What a store was made from, or what a file holds."""
    return file_sha256(path) if path.suffix == ".parquet" else store.read_record(path).fingerprint


def _write_table(data: xr.Dataset, path: Path) -> None:
    """One line per combination; those that were not computed are left out."""
    index = {str(name) for name in data.dims}
    table = data.reset_coords(drop=True).to_dataframe().dropna(how="all").reset_index()
    table = table[[column for column in table.columns if column in index or column in data]]
    if "layer" in table:
        table["layer"] += 1  # tables, like figures, count layers from 1
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(temporary, index=False, float_format="%.6g")
    temporary.replace(path)
