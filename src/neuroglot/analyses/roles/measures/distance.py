"""Representation distance between two languages' prefixes of the same segments (algorithm 1)."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, TypeVar, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.roles.settings import Scale
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures import kernels
from neuroglot.measures.axes import coordinates_of, prefix_rows, segment_labels
from neuroglot.measures.bootstrap import expanded_percentiles, fold_weights, named_bounds
from neuroglot.provenance import digest

SCALES: tuple[Scale, ...] = get_args(Scale)
SOURCE = "figures 9 and 10, algorithm 1"
DERANGEMENTS = 5
"""Number of random pairings of each segment with another one."""

Label = TypeVar("Label", bound=Hashable)


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
        interval by the bootstrap; ``unrelated_mean(layer)``: the same if each source segment is
        compared with another segment of the target, mean over ``DERANGEMENTS`` pairings (see
        ``derangements``); ``distance_ratio(layer)``: ``distance_mean`` ÷ ``unrelated_mean``, with
        the bounds of its interval, which is conditional on the pairings; ``prefixes``: source
        prefixes compared; ``segments``: segments compared; ``segments_left_out``: segments that
        only one of the two languages has. Distances are NaN where no segment is common, and 0 from
        a language to itself; those of unrelated segments are NaN where fewer than two are common,
        and not computed from a language to itself (NaN).

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
    unrelated = np.full(total.shape, np.nan)
    bounds, ratio_bounds = np.zeros((2, *total.shape)), np.full((2, *total.shape), np.nan)
    labels = sorted({label for language in prepared.values() for label in language.segments})
    number = {label: index for index, label in enumerate(labels)}
    weights = fold_weights(len(labels), replicates)  # each segment is one fold
    segments, prefixes, left_out = np.zeros((3, size, size), dtype=np.int64)
    for language, index in at.items():
        segments[index, index] = len(prepared[language].segments)
        prefixes[index, index] = prepared[language].rows.shape[1]
    for a, b in combinations(sorted(rows), 2):  # sorted: bits do not depend on languages' order
        common, distances, apart, counts = _compare(prepared[a], prepared[b])
        drawn = weights[:, [number[label] for label in common]]
        for pair, sums, deranged, counted in zip(
            ((at[a], at[b]), (at[b], at[a])), distances, apart, counts, strict=True
        ):
            total[pair] = np.cumsum(sums, axis=0)[-1] if common else np.nan  # one after another
            bounds[:, *pair] = _bounds(sums, counted[:, None], drawn)
            if len(common) > 1:
                unrelated[pair] = np.cumsum(deranged, axis=0)[-1]
                ratio_bounds[:, *pair] = _bounds(sums, deranged, drawn)
            prefixes[pair] = counted.sum()
            segments[pair] = len(common)
            left_out[pair] = len(prepared[a].segments) + len(prepared[b].segments) - 2 * len(common)
    pairs = ("language_a", "language_b")
    by_layer, mean_units = (*pairs, "layer"), "Euclidean distance per source prefix"
    total_units = "Euclidean distance, summed over source prefixes"
    per_prefix = np.maximum(prefixes, 1)[..., None]  # without prefixes the total is NaN already
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = total / unrelated
    variables = {
        "distance": (by_layer, total, total_units),
        "distance_mean": (by_layer, total / per_prefix, mean_units),
        **named_bounds("distance_mean", [(by_layer, bound, mean_units) for bound in bounds]),
        "unrelated_mean": (by_layer, unrelated / per_prefix, mean_units),
        "distance_ratio": (by_layer, ratio, "1"),
        **named_bounds("distance_ratio", [(by_layer, bound, "1") for bound in ratio_bounds]),
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


def derangements(segments: Sequence[Label]) -> list[dict[Label, Label]]:
    """Pair each segment with another one, ``DERANGEMENTS`` times.

    The segments are put into a random circle, and each is paired with the next. So none is paired
    with itself, and any two are equally likely to be paired. The order is that of digests of the
    labels: all pairs of languages that have the same segments have the same pairings, and a pair
    that lacks some keeps the others in their order. A segment of the language whose id comes first
    is compared with its partner in the other language, and that partner with it.

    Args:
        segments: labels, at least two.

    Returns:
        For each derangement, the label of the other segment by label.
    """
    pairings = []
    for draw in range(DERANGEMENTS):
        circle = sorted(segments, key=lambda segment: digest([draw, segment]))
        pairings.append(dict(zip(circle, [*circle[1:], *circle[:1]], strict=True)))
    return pairings


def _compare(
    a: Prepared, b: Prepared
) -> tuple[list[Any], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Give the common segments, and from a to b and from b to a: sums of distances over prefixes.

    Returns:
        Labels of the segments; by source segment, sums [direction, segment, layer] over the
        parallel segments, and over other segments, mean over ``derangements`` (0 if there is one
        segment alone); numbers of source prefixes [direction, segment].
    """
    if (a.rows.shape[0], a.rows.shape[2]) != (b.rows.shape[0], b.rows.shape[2]):
        raise NeuroglotError(
            "two languages' rows differ in layers or width: [layer, row, width] is "
            f"{list(a.rows.shape)} against {list(b.rows.shape)}"
        )
    common = [segment for segment in a.segments if segment in b.segments]
    pairings = derangements(common) if len(common) > 1 else []
    place = {segment: index for index, segment in enumerate(common)}
    distances, unrelated = np.zeros((2, 2, len(common), a.rows.shape[0]))
    prefixes = np.empty((2, len(common)), np.int64)
    for segment, here in place.items():
        i, j = a.segments[segment], b.segments[segment]
        distances[:, here] = _to_nearest(a, i, b, j)
        prefixes[:, here] = i.stop - i.start, j.stop - j.start
        for other in [pairing[segment] for pairing in pairings]:
            forth, back = _to_nearest(a, i, b, b.segments[other])
            unrelated[0, here] += forth / DERANGEMENTS
            unrelated[1, place[other]] += back / DERANGEMENTS
    return common, distances, unrelated, prefixes


def _to_nearest(
    a: Prepared, i: slice, b: Prepared, j: slice
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum the distances of a's prefixes to b's nearest, and of b's to a's nearest, [layer]."""
    squared = _squared_distances(a, i, b, j)  # [layer, prefix of a, prefix of b]
    forth = np.sqrt(squared.min(axis=2)).sum(axis=1)
    back = np.sqrt(squared.min(axis=1)).sum(axis=1)
    return forth, back


def _bounds(
    part: NDArray[np.float64], whole: NDArray[np.number], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Bound Σ part ÷ Σ whole over segments, [bound, layer].

    Args:
        part: sums of each segment, [segment, layer].
        whole: the same of the denominator, or [segment, 1] for all layers.
        drawn: how often each replicate draws a segment, [replicate, segment].
    """
    below = whole.T @ drawn.T
    ratio = (part.T @ drawn.T) / np.where(below > 0, below, np.nan)
    return expanded_percentiles(ratio, len(part))


def _squared_distances(a: Prepared, i: slice, b: Prepared, j: slice) -> NDArray[np.float64]:
    # ‖x - y‖² = ‖x‖² + ‖y‖² - 2 x·y as one matrix product per layer. In float64 the cancellation
    # leaves an error of about 1e-8 ‖x‖ in the distance of nearly equal rows, and far less in other
    # distances. In float32 a few massive activations would decide which row is nearest.
    products = a.rows[:, i] @ b.rows[:, j].transpose(0, 2, 1)
    squared = a.squares[:, i, None] + b.squares[:, None, j] - 2 * products
    return np.maximum(squared, 0)
