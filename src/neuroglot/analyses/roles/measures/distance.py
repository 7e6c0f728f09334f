"""Representation distance between two languages' prefixes of the same segments (algorithm 1)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.settings import Scale
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures import kernels
from neuroglot.measures.axes import coordinates_of, prefix_rows, segment_labels
from neuroglot.measures.bootstrap import fold_weights, named_bounds, percentiles, with_bounds

SCALES: tuple[Scale, ...] = get_args(Scale)
SOURCE = "figures 9 and 10, algorithm 1"


@dataclass(frozen=True)
class Prepared:
    """One language's rows, prepared for many comparisons."""

    rows: NDArray[np.float64]  # [layer, row, width], a segment's rows adjacent
    squares: NDArray[np.float64]  # ‖row‖², [layer, row]
    segments: dict[Any, slice]  # label -> its rows, in the order of the labels
    layers: dict[Hashable, xr.DataArray]  # the coordinates along layer


@dataclass(frozen=True)
class _Pair:
    forth: NDArray[np.float64]  # [layer], from the first language to the second
    back: NDArray[np.float64]  # [layer]
    prefixes: tuple[int, int]
    common: list[Any]  # labels of the segments
    forth_each: NDArray[np.float64]  # [segment, layer]
    back_each: NDArray[np.float64]  # [segment, layer]
    prefixes_each: NDArray[np.int64]  # [language, segment]
    left_out: int


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
    stops = [*starts[1:].tolist(), len(segment)]
    values = rows.to_numpy()[:, order].astype(np.float64)
    if scale == "minmax":
        values = kernels.scale(values.reshape(-1, values.shape[2])).reshape(values.shape)
    return Prepared(
        rows=values,
        squares=np.einsum("lrw,lrw->lr", values, values),
        segments={
            label: slice(start, stop)
            for label, start, stop in zip(labels.tolist(), starts.tolist(), stops, strict=True)
        },
        layers=coordinates_of(rows, "layer"),
    )


def representation_distance(
    source: xr.DataArray, target: xr.DataArray, scale: Scale = "none"
) -> xr.Dataset:
    """Compute algorithm 1 from ``source`` to ``target``; it is not symmetric (roles, section 4.2).

    Σ_segments Σ_i min_j ‖L1[i] - L2[j]‖ over the prefixes i of the source and j of the target.

    Args:
        source: rows [layer, row, width] with ``segment(row)``, see ``prepare``.
        target: rows with the same layers and width.
        scale: see ``prepare``.

    Returns:
        ``distance(layer)``: the sum, in units of activation (of scaled activation, in [0, 1], with
        ``minmax``); ``distance_mean(layer)``: the sum per source prefix; ``prefixes``: source
        prefixes compared; ``segments``: segments compared; ``segments_left_out``: segments that
        only one of the two languages has. Distances are NaN where no segment is common.

    Raises:
        NeuroglotError: as ``prepare``, or the two differ in layers or width.
    """
    return both_directions(prepare(source, scale), prepare(target, scale))[0]


def both_directions(a: Prepared, b: Prepared) -> tuple[xr.Dataset, xr.Dataset]:
    """Compute algorithm 1 from ``a`` to ``b`` and from ``b`` to ``a`` with shared products.

    Returns:
        Two datasets, as from ``representation_distance``.
    """
    pair = _compare(a, b)
    forth, back = (
        _with_units(
            xr.Dataset(
                {
                    "distance": ("layer", total),
                    "distance_mean": ("layer", _per_prefix(total, prefixes)),
                    "segments": len(pair.common),
                    "prefixes": prefixes,
                    "segments_left_out": pair.left_out,
                },
                coords=a.layers,
            )
        )
        for total, prefixes in zip((pair.forth, pair.back), pair.prefixes, strict=True)
    )
    return forth, back


def distance_matrix(
    rows: Mapping[str, xr.DataArray], scale: Scale = "none", replicates: int = 1000
) -> xr.Dataset:
    """Compute algorithm 1 for every ordered pair of languages (roles, figures 9 and 10).

    Holds all languages' rows in float64: with large models, pass a few layers at a time.

    Args:
        rows: language id -> rows [layer, row, width] with ``segment(row)``, see ``prepare``.
        scale: see ``prepare``.
        replicates: bootstrap samples of the segments; all pairs use the same samples.

    Returns:
        The variables of ``representation_distance`` with the leading dimensions ``language_a``
        (source) and ``language_b`` (target), and the bounds of the percentile interval of
        ``distance_mean``. The distance of a language to itself is 0.

    Raises:
        NeuroglotError: as ``representation_distance``, or there are no languages.
    """
    if not rows:
        raise NeuroglotError("no languages to compare: name at least one")
    prepared = {language: prepare(rows[language], scale) for language in rows}
    at = {language: index for index, language in enumerate(rows)}
    first = next(iter(prepared.values()))
    size = len(rows)
    total = np.zeros((size, size, first.rows.shape[0]))
    bounds = np.zeros((2, *total.shape))
    labels = sorted({label for one in prepared.values() for label in one.segments})
    number = {label: index for index, label in enumerate(labels)}
    weights = fold_weights(len(labels), replicates)  # each segment is one fold
    segments, prefixes, left_out = np.zeros((3, size, size), dtype=np.int64)
    for language, one in prepared.items():
        segments[at[language], at[language]] = len(one.segments)
        prefixes[at[language], at[language]] = one.rows.shape[1]
    for a, b in combinations(sorted(rows), 2):  # sorted: bits do not depend on languages' order
        pair = _compare(prepared[a], prepared[b])
        drawn = weights[:, [number[label] for label in pair.common]]
        for source, target, distance, count, each, own in (
            (at[a], at[b], pair.forth, pair.prefixes[0], pair.forth_each, pair.prefixes_each[0]),
            (at[b], at[a], pair.back, pair.prefixes[1], pair.back_each, pair.prefixes_each[1]),
        ):
            total[source, target] = distance
            bounds[:, source, target] = _bounds(each, own, drawn)
            prefixes[source, target] = count
            segments[source, target] = len(pair.common)
            left_out[source, target] = pair.left_out
    pairs = ("language_a", "language_b")
    return _with_units(
        xr.Dataset(
            {
                "distance": ((*pairs, "layer"), total),
                "distance_mean": ((*pairs, "layer"), _per_prefix(total, prefixes[..., None])),
                **named_bounds("distance_mean", [((*pairs, "layer"), one) for one in bounds]),
                "segments": (pairs, segments),
                "prefixes": (pairs, prefixes),
                "segments_left_out": (pairs, left_out),
            },
            coords={"language_a": list(rows), "language_b": list(rows), **first.layers},
        )
    )


def _compare(a: Prepared, b: Prepared) -> _Pair:
    if (a.rows.shape[0], a.rows.shape[2]) != (b.rows.shape[0], b.rows.shape[2]):
        raise NeuroglotError(
            "two languages' rows differ in layers or width: [layer, row, width] is "
            f"{list(a.rows.shape)} against {list(b.rows.shape)}"
        )
    common = [segment for segment in a.segments if segment in b.segments]
    layers = a.rows.shape[0]
    forth, back = np.zeros((2, layers)) if common else np.full((2, layers), np.nan)
    each, prefixes = np.empty((2, len(common), layers)), np.empty((2, len(common)), np.int64)
    for place, segment in enumerate(common):
        i, j = a.segments[segment], b.segments[segment]
        squared = _squared_distances(a, i, b, j)  # [layer, prefix of a, prefix of b]
        each[0, place] = np.sqrt(squared.min(axis=2)).sum(axis=1)
        each[1, place] = np.sqrt(squared.min(axis=1)).sum(axis=1)
        prefixes[:, place] = i.stop - i.start, j.stop - j.start
        forth += each[0, place]
        back += each[1, place]
    left_out = len(a.segments) + len(b.segments) - 2 * len(common)
    of_a, of_b = prefixes.sum(axis=1).tolist()
    return _Pair(forth, back, (of_a, of_b), common, each[0], each[1], prefixes, left_out)


def _bounds(
    each: NDArray[np.float64], prefixes: NDArray[np.int64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bound the distance per prefix, [bound, layer], from each segment's sums and the draws."""
    counted = drawn @ prefixes
    means = (each.T @ drawn.T) / np.where(counted > 0, counted, np.nan)
    return percentiles(means)


def _squared_distances(a: Prepared, i: slice, b: Prepared, j: slice) -> NDArray[np.float64]:
    # ‖x - y‖² = ‖x‖² + ‖y‖² - 2 x·y as one matrix product per layer. In float64 the cancellation
    # leaves an error of about 1e-8 ‖x‖ in the distance of nearly equal rows, and far less in other
    # distances. In float32 a few massive activations would decide which row is nearest.
    products = a.rows[:, i] @ b.rows[:, j].transpose(0, 2, 1)
    squared = a.squares[:, i, None] + b.squares[:, None, j] - 2 * products
    return np.maximum(squared, 0)


def _per_prefix(
    total: NDArray[np.float64], prefixes: int | NDArray[np.int64]
) -> NDArray[np.float64]:
    return total / np.maximum(prefixes, 1)  # without prefixes the total is NaN already


def _with_units(distances: xr.Dataset) -> xr.Dataset:
    for name, units in {
        "distance": "Euclidean distance, summed over source prefixes",
        **dict.fromkeys(with_bounds("distance_mean"), "Euclidean distance per source prefix"),
        "segments": "segments",
        "prefixes": "source prefixes",
        "segments_left_out": "segments",
    }.items():
        if name in distances:
            distances[name].attrs = {"units": units, "source": SOURCE}
    return distances
