"""Activation flatness through the layers (figures 4 and 6)."""

from typing import Any

import xarray as xr

from neuroglot.measures.flatness import activation_flatness
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.recorded import by_site, open_recorded, rows, statistics

TABLE = ("flatness_sum", "flatness_mean")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Give the published sum over rows and the mean that languages are compared with."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    recorded_rows = rows(recorded, corpora, languages)
    pieces = {
        site: activation_flatness(
            statistics(recorded, f"{site}_flatness_sum", corpora, languages), recorded_rows
        )
        for site in ("act", "out")
    }
    return xr.merge([by_site(pieces), {"rows": recorded_rows}])
