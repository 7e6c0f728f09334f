"""Rank correlation of neurons between languages through the layers (figures 12, 13, 17 and 18)."""

from typing import Any

import xarray as xr

from neuroglot.measures.ranks import rank_correlation
from neuroglot.steps.inputs import Inputs
from neuroglot.steps.recorded import by_site, open_recorded, statistics

TABLE = ("rank_correlation",)


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Correlate the ranks of summed activations of every two languages, in each corpus."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]
    pieces = {
        site: rank_correlation(statistics(recorded, f"{site}_sum", corpora, languages))
        for site in ("act", "out")
    }
    return xr.Dataset({"rank_correlation": by_site(pieces)})
