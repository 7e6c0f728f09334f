"""Kinds of neurons through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.sharing.measures.kinds import KIND
from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

SHARE = with_bounds("kind_share")
TABLE = (*FOLLOWED, *SHARE)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    "kind": KIND,
    "kind_share": "share of a layer's neurons that are of the kind at the end of the prompt, mean "
    "over facts and over layers",
    "kind_share_low": "mean over layers of the lower ends of these shares' 95 % intervals",
    "kind_share_high": "mean over layers of the upper ends of these shares' 95 % intervals",
    "facts": "facts that the items ask for",
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Average each kind's share over layers, in every revision."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    return data[SHARE].mean("layer", keep_attrs=True).assign(facts=data["facts"])
