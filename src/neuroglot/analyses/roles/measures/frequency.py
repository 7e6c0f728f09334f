"""Activation frequency: the share of rows in which each neuron fires (roles, section 4.1)."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.axes import over_own_width, width_dimension
from neuroglot.measures.bootstrap import centred_percentiles, expanded_percentiles, fold_weights


def activation_frequency(count: xr.DataArray, rows: xr.DataArray | int) -> xr.DataArray:
    """Divide the number of rows in which a neuron fires by all rows (roles, section 4.1).

    Args:
        count: number of rows in which the neuron fires, [..., neuron] or [..., hidden].
        rows: number of recorded rows, with any of the other dimensions of ``count``.

    Returns:
        float64 in [0, 1], of the shape of ``count``; NaN where there are no rows.
    """
    frequency = (count / rows).rename("activation_frequency")  # xarray's 0 / 0 is a silent NaN
    frequency.attrs = {"units": "share of rows", "source": "figures 2 and 3, section 4.1"}
    return frequency


def layer_spread(frequency: xr.DataArray) -> xr.Dataset:
    """Summarise a layer's activation frequencies over its neurons (roles, figures 2 and 3).

    A large standard deviation means that some neurons matter much and others little.

    Args:
        frequency: result of ``activation_frequency``.

    Returns:
        ``mean`` and ``std``, without the width dimension. ``std`` is the population standard
        deviation: it divides by the number of neurons in the layer.
    """
    width = width_dimension(frequency)

    def spread_of(layers: xr.DataArray) -> xr.Dataset:
        mean, std = layers.mean(width, skipna=False), layers.std(width, skipna=False)
        return xr.Dataset({"mean": mean, "std": std})

    spread = over_own_width(spread_of, frequency)
    for variable in spread.values():
        variable.attrs = {"units": "share of rows", "source": "figures 2 and 3, section 4.1"}
    return spread


def layer_spread_interval(
    count: NDArray[np.floating], rows: NDArray[np.int64], replicates: int
) -> dict[str, NDArray[np.float64]]:
    """Bound a layer's ``mean`` and ``std`` by the bootstrap over folds of segments.

    Let d_f be the deviations of fold f's counts from their mean over the neurons, and w the draws.
    The variance over neurons is w' (d d') w / (neurons · (w' rows)²), so the replicates need only
    the products of every two folds.

    Args:
        count: number of rows of each fold in which the neuron fires, [fold, width].
        rows: number of recorded rows of each fold, [fold].
        replicates: resamples of the folds.

    Returns:
        ``mean`` and ``std``, each [bound]: ``bootstrap.expanded_percentiles`` of the mean and
        ``bootstrap.centred_percentiles`` of the standard deviation.
    """
    counted = count.astype(np.float64)
    weights = fold_weights(len(rows), replicates)
    weights = np.concatenate([weights, np.ones((1, len(rows)))])  # last: the original text
    mean = counted.mean(axis=1)
    deviations = counted - mean[:, None]
    products = deviations @ deviations.T / counted.shape[1]
    drawn = weights @ rows
    drawn = np.where(drawn > 0, drawn, np.nan)
    variance = np.einsum("rf,fg,rg->r", weights, products, weights, optimize=True)
    std = np.sqrt(np.maximum(variance, 0)) / drawn
    folds = int((rows > 0).sum())
    return {
        "mean": expanded_percentiles((weights @ mean / drawn)[None, :-1], folds)[:, 0],
        "std": centred_percentiles(std[None, :-1], std[-1:], folds)[:, 0],
    }
