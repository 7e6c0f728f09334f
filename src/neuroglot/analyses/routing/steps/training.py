"""Divergence of languages' routing from the pivot's through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.routing.steps.shares import VARIABLES as OF_SHARES
from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

NUMBERS = with_bounds("mean_divergence", "mean_floor", "mean_excess")
TABLE = (*FOLLOWED, *NUMBERS)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    **{name: OF_SHARES[name] for name in ("mean_divergence", "mean_floor", "mean_excess")},
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Put the divergences, their floors and what is beyond side by side."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    return data[NUMBERS]
