"""Entropy of the last layer's neurons over languages through the training of models."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroglot.analyses.lexicon.measures.lexicon import covered
from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

QUARTERS = (0.5, 0.25, 0.75)
ENTROPY = with_bounds("entropy")
TABLE = (*FOLLOWED, *ENTROPY, "covered")

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    "sign": "positive: of the tokens that neurons raise; negative: of those that they lower",
    "entropy": "entropy over languages of a neuron's association, median of the last layer's "
    "neurons of which enough top tokens are covered",
    "entropy_low": "lower quartile of these neurons' entropies",
    "entropy_high": "upper quartile of these neurons' entropies",
    "covered": "neurons of which enough top tokens are covered",
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Give the quartiles of the neurons' entropies, in every revision."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    enough = covered(data["coverage"], data.attrs["minimum_coverage"])
    entropy = data["entropy"].sel(prior="uniform", drop=True).where(enough)
    quartiles = entropy.quantile(np.array(QUARTERS), "neuron").drop_vars("quantile")
    named = {name: quartiles.isel(quantile=at) for at, name in enumerate(ENTROPY)}
    named = {name: bits.assign_attrs(units="bits") for name, bits in named.items()}
    return xr.Dataset({**named, "covered": enough.sum("neuron").assign_attrs(units="neurons")})
