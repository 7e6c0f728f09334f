"""How close a language is to the pivot without its neurons, and without random neurons."""

import xarray as xr

from neuroglot.analyses.transfer.measures.latent import (
    COSINE,
    OVERLAP,
    segment_difference,
    segment_mean,
)
from neuroglot.measures.bootstrap import named_bounds

VARIANTS = ("baseline", "without_type1", "random")


def closeness_without(
    similarity: xr.DataArray, overlap: xr.DataArray, replicates: int
) -> xr.Dataset:
    """Average closeness over segments by variant, and measure how deactivation changes it.

    ``draw`` lists the unedited model, the model without Type 1 neurons, and the model without each
    draw of random neurons. The control variant is the mean over the random draws.
    ``…_control_low`` and ``…_control_high`` are the lowest and highest mean of any draw.

    Args:
        similarity: cosines with the pivot [pair, draw, segment, ...].
        overlap: shares of nearest neighbours in common with the pivot [draw, segment, ...].
        replicates: bootstrap samples of segments.

    Returns:
        With intervals and by ``variant`` of VARIANTS: ``similarity``, ``mutual_knn`` and
        ``effect``, a variant's change of the similarity of the same segments, NaN for the baseline.
        With intervals and without ``variant``: ``excess``, the effect of Type 1 neurons minus that
        of random neurons.
    """
    by_variant = _variants(similarity)
    effect = by_variant.isel(variant=slice(1, None)) - by_variant.isel(variant=0, drop=True)
    excess = effect.isel(variant=0, drop=True) - effect.isel(variant=1, drop=True)
    change = "difference of cosines"
    means = {
        **_compared("similarity", similarity, COSINE, replicates),
        **_compared("mutual_knn", overlap, OVERLAP, replicates),
        **segment_difference("effect", effect, change),
        **segment_difference("excess", excess, change),
    }
    return xr.Dataset(means).reindex(variant=list(VARIANTS))


def _variants(values: xr.DataArray) -> xr.DataArray:
    """Turn draws into VARIANTS: the random draws are averaged."""
    random = values.isel(draw=slice(2, None)).mean("draw")
    parts = [values.isel(draw=0), values.isel(draw=1), random]
    return xr.concat(parts, xr.Variable("variant", list(VARIANTS)))


def _compared(
    name: str, values: xr.DataArray, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Give means by variant with intervals, and the range of the random draws' means."""
    of_draws = values.isel(draw=slice(2, None)).mean("segment").assign_attrs(units=units)
    ends = (of_draws.min("draw", keep_attrs=True), of_draws.max("draw", keep_attrs=True))
    return {
        **segment_mean(name, _variants(values), units, replicates),
        **named_bounds(f"{name}_control", ends),
    }
