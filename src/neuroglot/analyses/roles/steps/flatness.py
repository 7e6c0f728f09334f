"""Activation flatness through the layers (figures 4 and 6)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.flatness import activation_flatness
from neuroglot.analyses.roles.settings import ResampledSettings, StatisticsInputs
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Recorded, Site
from neuroglot.measures.bootstrap import ratio_interval, with_bounds

TABLE = ("flatness_sum", *with_bounds("flatness_mean"))

VARIABLES: Mapping[str, str] = {
    "flatness_sum": "entropy of the layer's scaled activations per neuron, summed over the "
    "recorded prefixes",
    "flatness_mean": "entropy of the layer's scaled activations per neuron, mean over the recorded "
    "prefixes",
    "rows": "recorded prefixes, all of which are counted",
}


def compute(inputs: StatisticsInputs, settings: ResampledSettings) -> xr.Dataset:
    """Give the published sum over rows, and the mean for comparing languages."""
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages)

    def of_site(site: Site) -> xr.Dataset:
        def bounds(recording: Recorded, layer: int) -> dict[str, NDArray[np.float64]]:
            total = xr.DataArray(recording.by_fold(f"{site}_flatness_sum", layer), dims="fold")
            rows = xr.DataArray(recording.fold_rows(), dims="fold")
            return {"flatness_mean": np.array(ratio_interval(total, rows, settings.replicates))}

        flatness = activation_flatness(statistics.total(f"{site}_flatness_sum"), statistics.rows)
        return flatness.merge(statistics.bounded(flatness[["flatness_mean"]], bounds))

    return xr.merge([by_site(of_site), {"rows": statistics.rows}])
