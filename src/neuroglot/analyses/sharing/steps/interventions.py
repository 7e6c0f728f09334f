"""Effects of deactivating or converting a kind of neurons (tables 2, 3, 5 and 6)."""

import pandas as pd
import xarray as xr

from neuroglot import store
from neuroglot.analyses.sharing.settings import InterventionsInputs, InterventionsSettings
from neuroglot.analyses.sharing.steps.answers import VARIANTS
from neuroglot.measures.answers import by_control
from neuroglot.measures.axes import along
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
    return (
        data.drop_attrs(deep=False)
        .assign_coords(scoring=("task", scoring))
        .assign_attrs(random_seeds=settings.random_seeds, positions=settings.positions)
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Accuracy, chance, and log-probability of gold, by task, variant and language."""
    wide = by_control(data)
    accuracy, log_probability = (
        [str(name) for name in wide if str(name).startswith(quantity)]
        for quantity in ("accuracy", "log_probability")
    )
    judged = ["items", "excluded", "facts"]
    numbers = ["exact_accuracy", "neurons", "matched_share", "matched_contribution", "chance"]
    return {
        "accuracy": tidy(wide[[*accuracy, *numbers, *judged]]),
        "log_probability": tidy(wide[[*log_probability, "fewest_facts", *judged]]),
    }
