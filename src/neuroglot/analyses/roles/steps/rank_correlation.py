"""Rank correlation of neurons between languages through the layers (figures 12, 13, 17 and 18)."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.roles.measures.ranks import rank_correlation, rank_correlation_bounds
from neuroglot.analyses.roles.settings import ResampledSettings, StatisticsInputs
from neuroglot.analyses.roles.statistics import Statistics, by_site
from neuroglot.capture.recorded import Site
from neuroglot.measures.bootstrap import bounded, with_bounds

TABLE = with_bounds("rank_correlation")

VARIABLES: Mapping[str, str] = {
    "rank_correlation": "rank correlation between two languages of the neurons' activations, "
    "summed over all recorded prefixes",
}


def compute(inputs: StatisticsInputs, settings: ResampledSettings) -> xr.Dataset:
    """Correlate the ranks of summed activations between every two languages in each corpus."""
    statistics = Statistics.open(inputs.roles, settings.corpora, settings.languages)

    def of_site(site: Site) -> xr.Dataset:
        correlation = rank_correlation(statistics.total(f"{site}_sum"), "language")
        sums = statistics.sums_by_fold(f"{site}_sum")
        bounds = rank_correlation_bounds(correlation, sums, "language", settings.replicates)
        return xr.Dataset(bounded("rank_correlation", correlation, bounds))

    return by_site(of_site)
