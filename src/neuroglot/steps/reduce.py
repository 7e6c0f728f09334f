"""Reduces stores, models and texts to one dataset, written as Zarr with tidy CSVs beside it."""

import importlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.capture.settings import ExecutionSettings
from neuroglot.errors import NeuroglotError
from neuroglot.files import written_whole
from neuroglot.provenance import digest, fingerprint
from neuroglot.steps.inputs import Inputs


def run(
    paper: str,
    name: str,
    paths: Sequence[Path],
    settings: dict[str, Any],
    output: Path,
    execution: ExecutionSettings,
) -> None:
    """Compute ``neuroglot.steps.{paper}.{name}`` over ``paths`` and write it.

    The module's ``compute(inputs, settings)`` gives the dataset. ``TABLE`` names the variables of
    the table ``{name}.csv``; a module whose tables are shaped otherwise has ``tables(data)``
    instead, and one that writes other files too has ``export(data, folder)``.

    Args:
        paper: whose reduction it is.
        name: of the reduction.
        paths: what it reads, in any order.
        settings: what ``compute`` reads; ``language_table`` maps ids to names and families.
        output: the Zarr store.
        execution: how much to do at a time.

    Raises:
        NeuroglotError: inputs made with different models, or whatever the reduction refuses.
    """
    module_name = f"neuroglot.steps.{paper}.{name}"
    module = importlib.import_module(module_name)
    inputs = Inputs(tuple(sorted(paths)), execution, output.with_suffix(".pieces"))
    cards = inputs.cards()
    if len(cards) > 1 and "models" not in settings:
        raise NeuroglotError(
            f"{paper} {name}: its inputs were made with {len(cards)} different models; "
            "make them again with one"
        )
    origin = {
        "reduction": f"{paper}/{name}",
        "inputs": digest(inputs.identities()),
        "cards": cards,
        "settings": settings,
        "code": fingerprint(__name__, module_name),
    }
    if store.begin(output, "reduction", origin):
        return
    inputs = replace(inputs, fingerprint=digest(origin))
    data: xr.Dataset = module.compute(inputs, settings)
    data = data.assign_attrs(paper=paper, reduction=name, **_labels(settings))
    store.write_dataset(output, data)
    for stem, table in _tables(module, name, data).items():
        with written_whole(output.with_name(f"{stem}.csv")) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    if hasattr(module, "export"):
        module.export(data, output.parent)
    store.complete(output, "reduction", origin, {str(k): int(v) for k, v in data.sizes.items()})
    shutil.rmtree(inputs.progress, ignore_errors=True)


def _labels(settings: dict[str, Any]) -> dict[str, str]:
    """What figures say of the model and the languages."""
    labels: dict[str, str] = {key: settings[key] for key in ("model", "pivot") if key in settings}
    if "language_table" in settings:
        table = {key: settings["language_table"][key] for key in settings["languages"]}
        names = {key: row["name"] for key, row in table.items()}
        families = {key: row["family"] for key, row in table.items()}
        labels["language_names"] = json.dumps(names, ensure_ascii=False)
        labels["language_families"] = json.dumps(families, ensure_ascii=False)
    return labels


def _tables(module: ModuleType, name: str, data: xr.Dataset) -> dict[str, pd.DataFrame]:
    if hasattr(module, "tables"):
        tables: dict[str, pd.DataFrame] = module.tables(data)
        return tables
    return {name: tidy(data[list(module.TABLE)])} if getattr(module, "TABLE", ()) else {}


def tidy(data: xr.Dataset) -> pd.DataFrame:
    """One line per combination of coordinates; those that were not computed are left out."""
    index = {str(name) for name in data.dims}
    table = data.reset_coords(drop=True).to_dataframe().dropna(how="all").reset_index()
    table = table[[column for column in table.columns if column in index or column in data]]
    if "layer" in table:
        table["layer"] += 1  # tables, like figures, count layers from 1
    return table
