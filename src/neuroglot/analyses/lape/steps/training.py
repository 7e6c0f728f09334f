"""Numbers of language-specific neurons through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.lape.steps.neurons import VARIABLES as OF_NEURONS
from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

NUMBERS = with_bounds("all_layers", "chance_all_layers")
TABLE = (*FOLLOWED, *NUMBERS)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    **{name: OF_NEURONS[name] for name in ("all_layers", "chance_all_layers")},
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Put the numbers of all layers' neurons, and those by chance, side by side."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    return data[NUMBERS]
