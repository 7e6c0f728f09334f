"""The neuron most often at the top and the one that varies most, by layer (figure 8)."""

from typing import Any

import xarray as xr

from neuroglot.capture.recorded import by_site, open_recorded, rows, statistics
from neuroglot.measures.dominance import dominant_neurons
from neuroglot.steps.inputs import Inputs

TABLE = ("most_often_maximum", "maximum_share", "most_variable", "largest_std")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Find the dominant neurons of detectors and combinators."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    recorded_rows = rows(recorded, corpora, languages)

    def of_site(site: str) -> xr.Dataset:
        argmax_count, total, sum_of_squares = (
            statistics(recorded, f"{site}_{name}", corpora, languages)
            for name in ("argmax_count", "sum", "sum_of_squares")
        )
        return dominant_neurons(argmax_count, total, sum_of_squares, recorded_rows)

    pieces = {site: of_site(site) for site in ("act", "out")}
    return xr.merge([by_site(pieces), {"rows": recorded_rows}])
