"""Activation flatness through the layers (figures 4 and 6)."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.recorded import Recorded, bounded, by_site, open_recorded, rows, statistics
from neuroglot.measures.bootstrap import ratio_interval
from neuroglot.measures.flatness import activation_flatness
from neuroglot.steps.inputs import Inputs

TABLE = ("flatness_sum", "flatness_mean", "flatness_mean_low", "flatness_mean_high")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Give the published sum over rows and the mean that languages are compared with."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    recorded_rows = rows(recorded, corpora, languages)

    def of_site(site: str) -> xr.Dataset:
        def bounds(one: Recorded, layer: int) -> dict[str, NDArray[np.float64]]:
            total = xr.DataArray(one.by_fold(f"{site}_flatness_sum", layer), dims="fold")
            counted = xr.DataArray(one.fold_rows(), dims="fold")
            both = ratio_interval(total, counted, settings["replicates"])
            return {"flatness_mean": np.array(both)}

        total = statistics(recorded, f"{site}_flatness_sum", corpora, languages)
        flatness = activation_flatness(total, recorded_rows)
        return flatness.merge(bounded(recorded, flatness[["flatness_mean"]], bounds))

    pieces = {site: of_site(site) for site in ("act", "out")}
    return xr.merge([by_site(pieces), {"rows": recorded_rows}])
