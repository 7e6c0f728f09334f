"""What breaks without a kind of neurons, and what is gained by converting some (tables 2, 3, 5)."""

from typing import Any

import pandas as pd
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot import store
from neuroglot.analyses.sharing.bounds import with_bounds
from neuroglot.analyses.sharing.prompts import by_task
from neuroglot.analyses.sharing.steps.answers import VARIANTS
from neuroglot.tables import tidy


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Put the tasks' answers beside each other."""
    paths = inputs.reductions("sharing/answers")
    opened = (store.open_dataset(path, "reduction") for path in paths)
    found = {one.attrs["task"]: one for one in opened}
    answers = [found[task] for task in settings["tasks"]]
    data = by_task(dict(zip(settings["tasks"], answers, strict=True)))
    data = data.reindex(language=settings["languages"], variant=list(VARIANTS))
    for variable in data.values():
        variable.attrs["source"] = "tables 2, 3, 5 and 6"
    return (
        data.drop_attrs(deep=False)
        .assign_coords(scoring=("task", [one.attrs["scoring"] for one in answers]))
        .assign_attrs(random_seeds=settings["random_seeds"], positions=settings["positions"])
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy beside chance, and log-probability of gold, by task, variant and language."""
    compared = {
        quantity: with_bounds(quantity, f"{quantity}_difference", f"{quantity}_excess")
        for quantity in ("accuracy", "log_probability")
    }
    accuracy = [*compared["accuracy"], "exact_accuracy", "neurons", "chance"]
    return {
        "accuracy": tidy(data[[*accuracy, "items", "excluded"]]),
        "log_probability": tidy(data[[*compared["log_probability"], "items", "excluded"]]),
    }
