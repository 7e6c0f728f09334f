"""Activation frequency of every neuron, and its spread over each layer (figures 2 and 3)."""

from typing import Any

import numpy as np
import xarray as xr

from neuroglot.measures.frequency import activation_frequency, layer_spread
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.recorded import by_site, open_recorded, rows, statistics

TABLE = ("mean", "std")


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
    spread = by_site({site: layer_spread(values) for site, values in frequency.items()})
    combinators = "out_gelu" if settings["combinator_gelu"] else "out"
    return xr.merge(
        [
            spread,
            {f"activation_frequency_{s}": v.astype(np.float32) for s, v in frequency.items()},
            {"rows": recorded_rows},
        ]
    ).assign_attrs(rule=settings["rule"], combinators_drawn=combinators)
