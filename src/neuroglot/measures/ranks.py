"""Rank correlation: do two languages, or two corpora, light up the same neurons (roles, 4.4)?"""

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from neuroglot.measures.axes import coordinates_of, width_dimension


def rank_correlation(
    total: xr.DataArray, between: Literal["language", "corpus"] = "language"
) -> xr.DataArray:
    """Correlate neurons' ranks by summed activation, Spearman's ρ (roles, section 4.4).

    Args:
        total: activations summed over rows, [..., language, layer, neuron] (or hidden). All other
            dimensions, such as corpus, are kept.
        between: what is compared. ``language`` gives figures 12, 13, 17 and 18; ``corpus``
            compares one language's rankings in several corpora, figures 14 and 15.

    Returns:
        [..., language_a, language_b, layer] (or corpus_a, corpus_b) in [-1, 1]; equal sums share
        their average rank. NaN where a layer's sums are all equal, or any is NaN.
    """
    width = width_dimension(total)
    kept = [dim for dim in total.dims if dim not in (between, "layer", width)]
    ordered = total.transpose(*kept, "layer", between, width)
    ranks = _standardised_ranks(ordered.to_numpy())
    pair = (f"{between}_a", f"{between}_b")
    correlation = xr.DataArray(
        np.clip(ranks @ np.swapaxes(ranks, -1, -2), -1, 1),
        dims=(*kept, "layer", *pair),
        coords={
            name: coordinate
            for dim in (*kept, "layer")
            for name, coordinate in coordinates_of(total, str(dim)).items()
        },
        name="rank_correlation",
        attrs={"units": "Spearman's ρ", "source": "figures 12 to 15, 17 and 18, section 4.4"},
    )
    if between in total.coords:
        correlation = correlation.assign_coords({name: total[between].to_numpy() for name in pair})
    return correlation.transpose(*kept, *pair, "layer")


def _standardised_ranks(values: NDArray[np.number]) -> NDArray[np.float64]:
    """Rank along the last axis, ties averaged; centre and scale to unit norm."""
    ranks = rankdata(values.astype(np.float64), axis=-1, nan_policy="propagate")
    ranks -= ranks.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(ranks, axis=-1, keepdims=True)
    standardised: NDArray[np.float64] = ranks / np.where(norm > 0, norm, np.nan)
    return standardised
