"""Activation frequency of every neuron, and its spread over each layer (figures 2 and 3)."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.capture.recorded import Recorded, bounded, by_site, open_recorded, rows, statistics
from neuroglot.measures.frequency import (
    activation_frequency,
    layer_spread,
    layer_spread_interval,
)
from neuroglot.steps.inputs import Inputs

TABLE = ("mean", "mean_low", "mean_high", "std", "std_low", "std_high")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Divide firing counts by rows, for detectors, combinators and combinators after GELU."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    recorded_rows = rows(recorded, corpora, languages)
    frequency = {
        site: activation_frequency(
            statistics(recorded, f"{site}_count", corpora, languages), recorded_rows
        )
        for site in ("act", "out", "out_gelu")
    }

    def spread(site: str) -> xr.Dataset:
        def bounds(one: Recorded, layer: int) -> dict[str, NDArray[np.float64]]:
            count = one.by_fold(f"{site}_count", layer)
            return layer_spread_interval(count, one.fold_rows(), settings["replicates"])

        return bounded(recorded, layer_spread(frequency[site]), bounds)

    combinators = "out_gelu" if settings["combinator_gelu"] else "out"
    return xr.merge(
        [
            by_site({site: spread(site) for site in frequency}),
            {f"activation_frequency_{s}": v.astype(np.float32) for s, v in frequency.items()},
            {"rows": recorded_rows},
        ]
    ).assign_attrs(rule=settings["rule"], combinators_drawn=combinators)
