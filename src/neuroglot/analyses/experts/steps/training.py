"""Numbers of experts of one language alone through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.experts.steps.frequency import VARIABLES as OF_FREQUENCY
from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

NUMBERS = with_bounds("specific", "specific_null")
TABLE = (*FOLLOWED, *NUMBERS)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    **{name: OF_FREQUENCY[name] for name in ("specific", "specific_null")},
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Put the numbers of experts, and those by chance, side by side."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    return data[NUMBERS]
