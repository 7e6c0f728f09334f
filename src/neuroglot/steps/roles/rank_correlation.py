"""Rank correlation of neurons between languages through the layers (figures 12, 13, 17 and 18)."""

from typing import Any

import numpy as np
import xarray as xr

from neuroglot.capture.recorded import Recorded, by_site, open_recorded, statistics
from neuroglot.measures.ranks import rank_correlation, rank_correlation_interval
from neuroglot.steps.inputs import Inputs

TABLE = ("rank_correlation", "rank_correlation_low", "rank_correlation_high")


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Correlate the ranks of summed activations of every two languages, in each corpus."""
    recorded = open_recorded(inputs, "roles")
    corpora, languages = settings["corpora"], settings["languages"]

    def of_site(site: str) -> xr.Dataset:
        total = statistics(recorded, f"{site}_sum", corpora, languages)
        return bounded(recorded, site, rank_correlation(total), settings["replicates"])

    found: xr.Dataset = by_site({site: of_site(site) for site in ("act", "out")})
    return found


def bounded(
    recorded: list[Recorded], site: str, values: xr.DataArray, replicates: int
) -> xr.Dataset:
    """Put the bounds of ``values``, a rank correlation between languages, beside them."""
    ordered = values.transpose("corpus", "layer", "language_a", "language_b")
    bounds = np.full((2, *ordered.shape), np.nan)
    by_key = {(one.corpus, one.language): one for one in recorded}
    languages = ordered["language_a"].values.tolist()
    for place, corpus in enumerate(ordered["corpus"].values.tolist()):
        held = [i for i, one in enumerate(languages) if (corpus, one) in by_key]
        for layer in range(ordered.sizes["layer"] if held else 0):
            sums = [by_key[corpus, languages[i]].by_fold(f"{site}_sum", layer) for i in held]
            found = rank_correlation_interval(sums, replicates)
            bounds[:, place, layer, np.array(held)[:, None], held] = found
    low, high = (ordered.copy(data=bound).transpose(*values.dims) for bound in bounds)
    name = "rank_correlation"
    return xr.Dataset({name: values, f"{name}_low": low, f"{name}_high": high})
