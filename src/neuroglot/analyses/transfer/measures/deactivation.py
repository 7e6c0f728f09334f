"""What becomes of a language's closeness to the pivot without neurons, beside random ones."""

import xarray as xr

from neuroglot.analyses.transfer.measures.latent import COSINE, OVERLAP, segment_mean
from neuroglot.measures.bootstrap import named_bounds

VARIANTS = ("baseline", "without_type1", "random")


def closeness_without(
    similarity: xr.DataArray, overlap: xr.DataArray, replicates: int
) -> xr.Dataset:
    """Average closeness over segments, by variant, and say what deactivation changes of it.

    ``draw`` is the model as it is, then without Type 1 neurons, then without each draw of random
    ones, of which a variant is the mean; ``…_control_low`` and ``…_control_high`` are the least and
    the largest of the draws' means.

    Args:
        similarity: cosines with the pivot [pair, draw, segment, ...].
        overlap: shares of nearest neighbours in common with the pivot [draw, segment, ...].
        replicates: bootstrap samples of segments.

    Returns:
        With intervals, by ``variant`` of VARIANTS: ``similarity``, ``mutual_knn``, ``effect`` (what
        a variant changes of the similarity of the same segments, NaN of the baseline), and without
        ``variant`` ``excess``, the effect of Type 1 neurons less that of random ones.
    """
    by_variant = _variants(similarity)
    effect = by_variant.isel(variant=slice(1, None)) - by_variant.isel(variant=0, drop=True)
    excess = effect.isel(variant=0, drop=True) - effect.isel(variant=1, drop=True)
    change = "difference of cosines"
    data = {
        **_compared("similarity", similarity, COSINE, replicates),
        **_compared("mutual_knn", overlap, OVERLAP, replicates),
        **segment_mean("effect", effect, change, replicates),
        **segment_mean("excess", excess, change, replicates),
    }
    return xr.Dataset(data).reindex(variant=list(VARIANTS))


def _variants(values: xr.DataArray) -> xr.DataArray:
    """The draws as VARIANTS: of the controls, which stand last, the mean."""
    parts = [
        values.isel(draw=0),
        values.isel(draw=1),
        values.isel(draw=slice(2, None)).mean("draw"),
    ]
    return xr.concat(parts, xr.Variable("variant", list(VARIANTS)))


def _compared(
    name: str, values: xr.DataArray, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Means by variant with intervals, and the range of the controls' means."""
    of_controls = values.isel(draw=slice(2, None)).mean("segment").assign_attrs(units=units)
    ends = (of_controls.min("draw", keep_attrs=True), of_controls.max("draw", keep_attrs=True))
    return {
        **segment_mean(name, _variants(values), units, replicates),
        **named_bounds(f"{name}_control", ends),
    }
