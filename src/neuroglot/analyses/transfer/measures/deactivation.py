"""How close a language is to the pivot without some of its neurons, and without their controls."""

import xarray as xr

from neuroglot.analyses.transfer.measures.controls import BASELINE
from neuroglot.analyses.transfer.measures.latent import (
    COSINE,
    OVERLAP,
    segment_difference,
    segment_mean,
)
from neuroglot.measures.answers import excess_over_controls

MEASURES = {"similarity": COSINE, "mutual_knn": OVERLAP}
CHANGES = {"similarity": "difference of cosines", "mutual_knn": "difference of shares"}


def closeness_without(data: xr.Dataset, replicates: int) -> xr.Dataset:
    """Average closeness over segments by variant, and measure how deactivation changes it.

    Args:
        data: [variant, segment, ...], in each segment with neurons that it did not choose:
            ``similarity``, cosines with the pivot, and ``mutual_knn``, shares of nearest neighbours
            in common with it. Variants are those of ``controls.variants_of``; a control's values
            are means over its draws.
        replicates: bootstrap samples of segments.

    Returns:
        By ``variant``, with intervals, and for both measures: the mean; ``…_effect``, the change
        from the unedited model in the same segments, NaN for the unedited model; and
        ``…_excess(control, …)``, the value minus that of a control in the same segments, and
        ``…_excess_all(control, …)``, its mean over the languages that have a value.
    """
    means: dict[str, xr.DataArray] = {}
    for name, units in MEASURES.items():
        values = data[name]
        change = (values - values.sel(variant=BASELINE, drop=True)).where(
            values["variant"] != BASELINE
        )
        means |= segment_mean(name, values, units, replicates)
        means |= segment_difference(f"{name}_effect", change, CHANGES[name])
        excess = excess_over_controls(values)
        means |= segment_difference(f"{name}_excess", excess, CHANGES[name])
        of_all = excess.mean("language")
        means |= segment_difference(f"{name}_excess_all", of_all, CHANGES[name])
    return xr.Dataset(means)
