"""The most frequent maximum and the most variable neuron of each layer (figure 8)."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.roles.measures.dominance import dominant_neurons
from neuroglot.analyses.roles.settings import DominantNeuronsSettings, StatisticsInputs
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Site

TABLE = ("most_often_maximum", "maximum_share", "most_variable", "largest_std")

VARIABLES: Mapping[str, str] = {
    "most_often_maximum": "neuron, or dimension of the output, that is the layer's largest at the "
    "most recorded prefixes; -1 without any",
    "maximum_share": "share of the recorded prefixes at which it is the layer's largest",
    "most_variable": "neuron, or dimension of the output, that varies most over the recorded "
    "prefixes; -1 without any",
    "largest_std": "its standard deviation over the recorded prefixes",
    "rows": "recorded prefixes, all of which are counted",
}


def compute(inputs: StatisticsInputs, settings: DominantNeuronsSettings) -> xr.Dataset:
    """Find the dominant neurons of detectors and combinators."""
    # Languages are not compared, and sums of squares are not kept by segment.
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages, common=False)

    def of_site(site: Site) -> xr.Dataset:
        argmax_count, total, sum_of_squares = (
            statistics.total(f"{site}_{name}") for name in ("argmax_count", "sum", "sum_of_squares")
        )
        return dominant_neurons(argmax_count, total, sum_of_squares, statistics.rows)

    return xr.merge([by_site(of_site), {"rows": statistics.rows}])
