"""Rank correlation between languages through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

CORRELATION = with_bounds("rank_correlation")
TABLE = (*FOLLOWED, *CORRELATION)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    "rank_correlation": "rank correlation of the neurons' activations between the language and "
    "another, mean over the other languages and over layers",
    "rank_correlation_low": "mean of the lower ends of these correlations' 95 % intervals",
    "rank_correlation_high": "mean of the upper ends of these correlations' 95 % intervals",
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Average each language's correlations with other languages, in every revision."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    others = data[CORRELATION].where(data["language_a"] != data["language_b"])
    return others.mean(["language_b", "layer"], keep_attrs=True).rename(language_a="language")
