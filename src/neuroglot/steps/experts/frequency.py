"""How often experts are active in each language, and which languages share them (sections 3-4)."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroglot.measures import experts as measure
from neuroglot.steps.experts.experts import read_routing
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.reduce import tidy


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Give frequencies, three similarities of languages and the number that share each expert."""
    routing, languages = read_routing(inputs), settings["languages"]
    counted = xr.concat(
        [routing[language] for language in languages],
        xr.Variable("language", np.array(languages, str)),
        combine_attrs="drop",
    )
    frequency = measure.expert_frequency(counted["active"], counted["tokens"])
    shared_by = measure.shared_by(frequency, settings["high_frequency"])
    table = settings["language_table"]
    return xr.Dataset(
        {
            "expert_frequency": frequency,
            "tokens": counted["tokens"],
            "similarity": measure.similarity(frequency),
            "shared_by": shared_by,
            "shared_histogram": measure.shared_histogram(shared_by, len(languages)),
        },
        coords={
            key: ("language", [table[language][key] for language in languages])
            for key in ("family", "genus")
        },
        attrs={"high_frequency": settings["high_frequency"]},
    )


def tables(data: xr.Dataset) -> dict[str, pd.DataFrame]:
    """Every expert's frequency; the similarities; how many experts languages share (table 3)."""
    return {
        "frequency": tidy(data[["expert_frequency"]]),
        "similarity": tidy(data[["similarity"]]),
        "shared_experts": tidy(data[["shared_histogram"]]).rename(
            columns={"shared_histogram": "experts"}
        ),
    }
