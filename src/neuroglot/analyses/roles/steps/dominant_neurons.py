"""The neuron most often at the top and the one that varies most, by layer (figure 8)."""

import xarray as xr

from neuroglot.analyses.roles.measures.dominance import dominant_neurons
from neuroglot.analyses.roles.settings import DominantNeuronsSettings, StatisticsInputs
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Site

TABLE = ("most_often_maximum", "maximum_share", "most_variable", "largest_std")


def compute(inputs: StatisticsInputs, settings: DominantNeuronsSettings) -> xr.Dataset:
    """Find the dominant neurons of detectors and combinators."""
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages)

    def of_site(site: Site) -> xr.Dataset:
        argmax_count, total, sum_of_squares = (
            statistics.total(f"{site}_{name}") for name in ("argmax_count", "sum", "sum_of_squares")
        )
        return dominant_neurons(argmax_count, total, sum_of_squares, statistics.rows)

    return xr.merge([by_site(of_site), {"rows": statistics.rows}])
