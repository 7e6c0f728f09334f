"""Representation distance between two languages' prefixes of the same segments (algorithm 1)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.settings import Scale
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures import kernels
from neuroglot.measures.axes import coordinates_of, prefix_rows, segment_labels
from neuroglot.measures.bootstrap import expanded_percentiles, fold_weights, named_bounds

SCALES: tuple[Scale, ...] = get_args(Scale)
SOURCE = "figures 9 and 10, algorithm 1"


@dataclass(frozen=True)
class Prepared:
    """One language's rows, prepared for many comparisons."""

    rows: NDArray[np.float64]  # [layer, row, width], a segment's rows adjacent
    squares: NDArray[np.float64]  # ‖row‖², [layer, row]
    segments: dict[Any, slice]  # label -> its rows, in the order of the labels
    layers: dict[Hashable, xr.DataArray]  # the coordinates along layer


def prepare(rows: xr.DataArray, scale: Scale = "none") -> Prepared:
    """Sort, scale and square one language's rows once, for all pairs with this language.

    Takes 8 bytes per value: with large models, pass a few layers at a time.

    Args:
        rows: recorded prefixes [layer, row, width] with the coordinate ``segment(row)``. A label
            must name the same segment in every language, unlike the row indices of a store.
        scale: ``none``, or ``minmax`` to scale each row by equation 3 first.

    Raises:
        NeuroglotError: other dimensions, no ``segment(row)``, or an unknown scale.
    """
    if scale not in SCALES:
        raise NeuroglotError(unknown_name("scale", scale, SCALES))
    rows = prefix_rows(rows)
    segment = segment_labels(rows).to_numpy()
    order = np.argsort(segment, kind="stable")
    labels, starts = np.unique(segment[order], return_index=True)
    ends = pairwise([*starts.tolist(), len(segment)])
    values = rows.to_numpy()[:, order].astype(np.float64)
    if scale == "minmax":
        values = kernels.scale(values.reshape(-1, values.shape[2])).reshape(values.shape)
    return Prepared(
        rows=values,
        squares=np.einsum("lrw,lrw->lr", values, values),
        segments={label: slice(*both) for label, both in zip(labels.tolist(), ends, strict=True)},
        layers=coordinates_of(rows, "layer"),
    )


def distance_matrix(
    rows: Mapping[str, xr.DataArray], scale: Scale = "none", replicates: int = 1000
) -> xr.Dataset:
    """Compute algorithm 1 for every ordered pair of languages (roles, section 4.2, figures 9, 10).

    Σ_segments Σ_i min_j ‖L1[i] - L2[j]‖ over the prefixes i of the first language, the source, and
    j of the second; it is not symmetric. Holds all languages' rows in float64: with large models,
    pass a few layers at a time.

    Args:
        rows: language id -> rows [layer, row, width] with ``segment(row)``, see ``prepare``.
        scale: see ``prepare``.
        replicates: bootstrap samples of the segments; all pairs use the same samples.

    Returns:
        With the leading dimensions ``language_a`` (source) and ``language_b`` (target):
        ``distance(layer)``: the sum, in units of activation (of scaled activation, in [0, 1], with
        ``minmax``); ``distance_mean(layer)``: the sum per source prefix, with the bounds of its
        interval by the bootstrap; ``prefixes``: source prefixes compared; ``segments``: segments
        compared; ``segments_left_out``: segments that only one of the two languages has. Distances
        are NaN where no segment is common, and 0 from a language to itself.

    Raises:
        NeuroglotError: as ``prepare``, two languages differ in layers or width, or there are none.
    """
    if not rows:
        raise NeuroglotError("no languages to compare: name at least one")
    prepared = {language: prepare(rows[language], scale) for language in rows}
    at = {language: index for index, language in enumerate(rows)}
    first = next(iter(prepared.values()))
    size = len(rows)
    total = np.zeros((size, size, first.rows.shape[0]))
    bounds = np.zeros((2, *total.shape))
    labels = sorted({label for language in prepared.values() for label in language.segments})
    number = {label: index for index, label in enumerate(labels)}
    weights = fold_weights(len(labels), replicates)  # each segment is one fold
    segments, prefixes, left_out = np.zeros((3, size, size), dtype=np.int64)
    for language, index in at.items():
        segments[index, index] = len(prepared[language].segments)
        prefixes[index, index] = prepared[language].rows.shape[1]
    for a, b in combinations(sorted(rows), 2):  # sorted: bits do not depend on languages' order
        common, distances, counts = _compare(prepared[a], prepared[b])
        drawn = weights[:, [number[label] for label in common]]
        for pair, sums, counted in zip(
            ((at[a], at[b]), (at[b], at[a])), distances, counts, strict=True
        ):
            total[pair] = np.cumsum(sums, axis=0)[-1] if common else np.nan  # one after another
            bounds[:, *pair] = _bounds(sums, counted, drawn)
            prefixes[pair] = counted.sum()
            segments[pair] = len(common)
            left_out[pair] = len(prepared[a].segments) + len(prepared[b].segments) - 2 * len(common)
    pairs = ("language_a", "language_b")
    by_layer, mean_units = (*pairs, "layer"), "Euclidean distance per source prefix"
    total_units = "Euclidean distance, summed over source prefixes"
    mean = total / np.maximum(prefixes, 1)[..., None]  # without prefixes the total is NaN already
    variables = {
        "distance": (by_layer, total, total_units),
        "distance_mean": (by_layer, mean, mean_units),
        **named_bounds("distance_mean", [(by_layer, bound, mean_units) for bound in bounds]),
        "segments": (pairs, segments, "segments"),
        "prefixes": (pairs, prefixes, "source prefixes"),
        "segments_left_out": (pairs, left_out, "segments"),
    }
    return xr.Dataset(
        {
            name: (dims, values, {"units": units, "source": SOURCE})
            for name, (dims, values, units) in variables.items()
        },
        coords={"language_a": list(rows), "language_b": list(rows), **first.layers},
    )


def _compare(a: Prepared, b: Prepared) -> tuple[list[Any], NDArray[np.float64], NDArray[np.int64]]:
    """Give the common segments, and from a to b and from b to a: sums of distances over prefixes.

    Returns:
        Labels of the segments; sums [direction, segment, layer]; numbers of source prefixes
        [direction, segment].
    """
    if (a.rows.shape[0], a.rows.shape[2]) != (b.rows.shape[0], b.rows.shape[2]):
        raise NeuroglotError(
            "two languages' rows differ in layers or width: [layer, row, width] is "
            f"{list(a.rows.shape)} against {list(b.rows.shape)}"
        )
    common = [segment for segment in a.segments if segment in b.segments]
    distances = np.empty((2, len(common), a.rows.shape[0]))
    prefixes = np.empty((2, len(common)), np.int64)
    for place, segment in enumerate(common):
        i, j = a.segments[segment], b.segments[segment]
        squared = _squared_distances(a, i, b, j)  # [layer, prefix of a, prefix of b]
        distances[0, place] = np.sqrt(squared.min(axis=2)).sum(axis=1)
        distances[1, place] = np.sqrt(squared.min(axis=1)).sum(axis=1)
        prefixes[:, place] = i.stop - i.start, j.stop - j.start
    return common, distances, prefixes


def _bounds(
    distances: NDArray[np.float64], prefixes: NDArray[np.int64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bound the distance per prefix, [bound, layer], from each segment's sums and the draws."""
    counted = drawn @ prefixes
    means = (distances.T @ drawn.T) / np.where(counted > 0, counted, np.nan)
    return expanded_percentiles(means, len(prefixes))


def _squared_distances(a: Prepared, i: slice, b: Prepared, j: slice) -> NDArray[np.float64]:
    # ‖x - y‖² = ‖x‖² + ‖y‖² - 2 x·y as one matrix product per layer. In float64 the cancellation
    # leaves an error of about 1e-8 ‖x‖ in the distance of nearly equal rows, and far less in other
    # distances. In float32 a few massive activations would decide which row is nearest.
    products = a.rows[:, i] @ b.rows[:, j].transpose(0, 2, 1)
    squared = a.squares[:, i, None] + b.squares[:, None, j] - 2 * products
    return np.maximum(squared, 0)
