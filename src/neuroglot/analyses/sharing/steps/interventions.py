"""Effects of deactivating or converting a kind of neurons (tables 2, 3, 5 and 6)."""

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.sharing.settings import InterventionsInputs, InterventionsSettings
from neuroglot.analyses.sharing.steps.answers import VARIANTS
from neuroglot.measures.answers import by_control
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import with_bounds
from neuroglot.tables import tidy


def compute(inputs: InterventionsInputs, settings: InterventionsSettings) -> xr.Dataset:
    """Concatenate the tasks' answers."""
    answers = {
        task: store.open_dataset(inputs.answers[task], "reduction") for task in settings.tasks
    }
    data = along("task", answers)
    data = data.reindex(language=settings.languages, variant=list(VARIANTS))
    for variable in data.values():
        variable.attrs["source"] = "tables 2, 3, 5 and 6"
    scoring = [of_task.attrs["scoring"] for of_task in answers.values()]
    site = next(iter(answers.values())).attrs["site"]
    return (
        data.drop_attrs(deep=False)
        .assign_coords(scoring=("task", scoring))
        .assign_attrs(random_seeds=settings.random_seeds, positions=settings.positions, site=site)
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy, chance, and log-probability of gold, by task, variant and language."""
    wide, excess = by_control(data), [f"excess_{control}" for control in data["control"].values]
    accuracy, log_probability, per_token = (
        with_bounds(quantity, *(f"{quantity}_{name}" for name in ("difference", *excess)))
        for quantity in ("accuracy", "log_probability", "log_probability_per_token")
    )
    tests = [*(f"log_probability_{name}_p_value" for name in excess), "fewest_facts"]
    judged = ["items", "excluded", "facts"]
    numbers = ["exact_accuracy", "neurons", "matched_share", "matched_contribution", "chance"]
    return {
        "accuracy": tidy(wide[[*accuracy, *numbers, *judged]]),
        "log_probability": tidy(wide[[*log_probability, *per_token, *tests, *judged]]),
    }
