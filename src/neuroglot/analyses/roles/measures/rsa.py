"""Representational similarity between models that read the same prefixes (roles, figure 11)."""

from collections.abc import Hashable, Iterable
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import coordinates_of, prefix_rows
from neuroglot.measures.bootstrap import centred_percentiles, fold_weights

# Correlations that differ only by rounding count as equal.
NO_SPREAD = 1e-12

Stimulus = tuple[Hashable, int]
"""A prefix in any model: its segment and the number of characters it covers."""


def shared_stimuli(
    keys_a: Iterable[Stimulus], keys_b: Iterable[Stimulus]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match the rows of two models that belong to the same prefix of the same segment.

    Tokenisers differ, but a prefix (segment, end) is the same stimulus in both models. If several
    rows of a model have the same key (bytes of one character), the last row is used.

    Returns:
        The rows of a and the rows of b, pair by pair, in a's order.
    """
    last_a = {key: row for row, key in enumerate(keys_a)}
    last_b = {key: row for row, key in enumerate(keys_b)}
    rows = sorted((row, last_b[key]) for key, row in last_a.items() if key in last_b)
    a, b = np.array(rows, dtype=np.intp).reshape(-1, 2).T
    return a, b


def spread_evenly(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Take at most ``most`` of the rows, evenly spaced, including the first and the last.

    Models with equally many rows get the same positions.
    """
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.intp)]


def correlation_rows(rows: xr.DataArray) -> xr.DataArray:
    """Correlate every two rows of each layer, as standardised vectors (roles, figure 11).

    The result is the upper triangle of the row-by-row Pearson correlation matrix, centred and
    scaled to unit norm, so that the Pearson correlation of two triangles is their dot product. The
    paper first scales each row to [0, 1]. This does not change Pearson correlations, so the rows
    are not scaled here. The correlation of a row whose values are all equal is undefined and set
    to 0.

    Takes 8 bytes for each layer and pair of rows: 4 MB per layer for 1,000 rows.

    Args:
        rows: [layer, row, width], the same stimuli in the same order in each model.

    Returns:
        [layer, pair] float64; NaN where all correlations of a layer are equal (for example with
        two rows).
    """
    rows = prefix_rows(rows)
    upper = np.triu_indices(rows.sizes["row"], k=1)
    triangles = np.empty((rows.sizes["layer"], len(upper[0])))
    for layer, triangle in enumerate(triangles):
        unit = _unit_rows(rows[layer].to_numpy().astype(np.float64))
        triangle[:] = _standardised((unit @ unit.T)[upper])
    return xr.DataArray(
        triangles,
        dims=("layer", "pair"),
        coords=coordinates_of(rows, "layer"),
        attrs={"units": "standardised correlation", "source": "figure 11, section 4.2"},
    )


def rsa(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Compare every layer of one model with every layer of another (roles, figure 11).

    Args:
        a: result of ``correlation_rows`` for one model, [layer, pair].
        b: result for another model, over the same stimuli.

    Returns:
        Pearson correlation of the two correlation matrices' upper triangles, [layer_a, layer_b].

    Raises:
        NeuroglotError: the two have different numbers of stimuli.
    """
    if a.sizes["pair"] != b.sizes["pair"]:
        raise NeuroglotError(
            f"the models saw different stimuli: {a.sizes['pair']} pairs of rows against "
            f"{b.sizes['pair']}; take the rows that shared_stimuli names"
        )
    similarity = a.rename(layer="layer_a").dot(b.rename(layer="layer_b"), dim="pair")
    return (
        similarity.transpose("layer_a", "layer_b")
        .drop_vars([name for name in similarity.coords if name not in ("layer_a", "layer_b")])
        .clip(-1, 1)
        .rename("rsa")
        .assign_attrs(units="Pearson's r", source="figure 11, section 4.2")
    )


def rsa_interval(
    a: xr.DataArray, b: xr.DataArray, fold: NDArray[np.integer], replicates: int
) -> NDArray[np.float64]:
    """Bound ``rsa`` by the bootstrap over folds of segments.

    If a stimulus is drawn twice, each of its pairs with other stimuli counts twice. Its pair with
    itself never counts, because that correlation is 1 in every model. All pairs of rows of the
    same two folds have the same weight, so the replicates need only sums over these pairs.

    Args:
        a: result of ``correlation_rows`` for one model, [layer, pair].
        b: result for another model, over the same stimuli.
        fold: fold of each stimulus's segment, [stimulus].
        replicates: resamples of the folds.

    Returns:
        [bound, layer_a, layer_b], ``bootstrap.centred_percentiles``; NaN where ``rsa`` is.
    """
    folds, of = np.unique(fold, return_inverse=True)
    first, second = np.triu_indices(len(of), k=1)
    low, high = np.minimum(of[first], of[second]), np.maximum(of[first], of[second])
    order = np.argsort(low * len(folds) + high, kind="stable")
    cells, starts = np.unique((low * len(folds) + high)[order], return_index=True)
    x, y = (triangles.transpose("layer", "pair").to_numpy()[:, order] for triangles in (a, b))
    drawn = fold_weights(len(folds), replicates)
    drawn = np.concatenate([drawn, np.ones((1, len(folds)))])  # last: the original text
    weights = drawn[:, cells // len(folds)] * drawn[:, cells % len(folds)]  # [replicate, cell]

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return weights @ np.add.reduceat(values, starts, axis=1).T  # [replicate, layer]

    products = np.stack(
        [(x[:, i:j] @ y[:, i:j].T).ravel() for i, j in pairwise([*starts, x.shape[1]])]
    )
    size = (len(weights), len(x), len(y))
    count = (weights @ np.diff([*starts, x.shape[1]]))[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = summed(x) / count, summed(y) / count
        spread_x, spread_y = summed(x**2) / count - mean_x**2, summed(y**2) / count - mean_y**2
        covariance = (weights @ products).reshape(size) / count[..., None]
        covariance -= mean_x[:, :, None] * mean_y[:, None, :]
        similarity = covariance / np.sqrt(spread_x[:, :, None] * spread_y[:, None, :])
    similarity[~np.isfinite(similarity)] = np.nan
    variables = similarity.reshape(len(weights), -1).T
    bounds = centred_percentiles(variables[:, :-1], variables[:, -1], len(folds))
    return np.clip(bounds, -1, 1).reshape(2, *size[1:])


def _unit_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre each row and scale it to unit norm; rows whose values are all equal become zeros."""
    centred = values - values.mean(axis=1, keepdims=True)
    centred[np.ptp(values, axis=1) == 0] = 0  # rounding of the mean could correlate two
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float64] = centred / np.where(norm > 0, norm, 1)
    return unit


def _standardised(triangle: NDArray[np.float64]) -> NDArray[np.float64]:
    if triangle.size == 0:
        return triangle
    centred = triangle - triangle.mean()
    norm = np.linalg.norm(centred)
    if norm <= NO_SPREAD * np.sqrt(triangle.size):
        return np.full_like(triangle, np.nan)
    standardised: NDArray[np.float64] = centred / norm
    return standardised
