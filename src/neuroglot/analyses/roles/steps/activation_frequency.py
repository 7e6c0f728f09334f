"""Activation frequency of every neuron, with mean and spread by layer (figures 2 and 3)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.measures.frequency import (
    activation_frequency,
    layer_spread,
    layer_spread_interval,
)
from neuroglot.analyses.roles.settings import ActivationFrequencySettings, StatisticsInputs
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Recorded
from neuroglot.measures.bootstrap import with_bounds

TABLE = with_bounds("mean", "std")
SITES = ("act", "out", "out_gelu")

VARIABLES: Mapping[str, str] = {
    "site": "act: the neurons' activations; out: the FFN's output; out_gelu: GELU of it",
    "activation_frequency_act": "share of the recorded prefixes at which the neuron fires",
    "activation_frequency_out": "share of the recorded prefixes at which the dimension of the "
    "FFN's output fires",
    "activation_frequency_out_gelu": "share of the recorded prefixes at which GELU of the "
    "dimension of the FFN's output fires",
    "mean": "share of the recorded prefixes at which a neuron fires, mean over the layer",
    "std": "share of the recorded prefixes at which a neuron fires, standard deviation over the "
    "layer",
    "rows": "recorded prefixes, all of which are counted",
}


def compute(inputs: StatisticsInputs, settings: ActivationFrequencySettings) -> xr.Dataset:
    """Divide firing counts by rows for detectors, combinators, and combinators after GELU."""
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages)
    frequency = {
        site: activation_frequency(statistics.total(f"{site}_count"), statistics.rows)
        for site in SITES
    }

    def spread(site: str) -> xr.Dataset:
        def bounds(recording: Recorded, layer: int) -> dict[str, NDArray[np.float64]]:
            count = recording.by_fold(f"{site}_count", layer)
            return layer_spread_interval(count, recording.fold_rows(), settings.replicates)

        return statistics.bounded(layer_spread(frequency[site]), bounds)

    combinators = "out_gelu" if settings.combinator_gelu else "out"
    return xr.merge(
        [
            by_site(spread, SITES),
            {f"activation_frequency_{s}": v.astype(np.float32) for s, v in frequency.items()},
            {"rows": statistics.rows},
        ],
        compat="no_conflicts",
    ).assign_attrs(rule=settings.rule, combinators_drawn=combinators)
