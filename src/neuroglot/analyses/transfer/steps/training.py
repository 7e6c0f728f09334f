"""Nearest neighbours shared with the pivot through the training of models."""

from collections.abc import Mapping

import xarray as xr

from neuroglot.analyses.training import FOLLOWED, TrainingInputs, TrainingSettings, followed
from neuroglot.measures.bootstrap import with_bounds

OVERLAP = with_bounds("mutual_knn")
EXCESS = with_bounds("mutual_knn_excess")
TABLE = (*FOLLOWED, *EXCESS)

VARIABLES: Mapping[str, str] = {
    **FOLLOWED,
    "k": "nearest neighbours that are looked at",
    "mutual_knn_excess": "share of a segment's nearest neighbours that the language has in common "
    "with the pivot, less that of unrelated languages, mean over segments and states",
    "mutual_knn_excess_low": "mean over states of the lower ends of these shares' 95 % intervals",
    "mutual_knn_excess_high": "mean over states of the upper ends of these shares' 95 % intervals",
    "segments": "parallel segments, whose neighbours are compared",
}


def compute(inputs: TrainingInputs, settings: TrainingSettings) -> xr.Dataset:
    """Average shared neighbours beyond chance over states, in every revision."""
    return followed(inputs.results, settings.families, measured)


def measured(data: xr.Dataset) -> xr.Dataset:
    """Give what is followed of one model."""
    excess = data[OVERLAP] - data["mutual_knn_chance"]
    units = {"units": "share of neighbours"}
    named = {
        after: excess[before].mean("state").assign_attrs(units)
        for before, after in zip(OVERLAP, EXCESS, strict=True)
    }
    return xr.Dataset({**named, "segments": ((), data.sizes["segment"], {"units": "segments"})})
