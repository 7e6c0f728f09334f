"""The transfer paper's measures of latent spaces, and of how closely two languages share one.

Arrays are numpy arrays for one state. Sums are float64. The cosine of a zero vector with any
vector is 0.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import bounded_mean
from neuroglot.measures.finite import check_finite
from neuroglot.measures.significance import bounded_difference

BLOCK_VALUES = 1 << 24  # similarities per block: 128 MB in float64
SAME_LOADING = 1e-9  # loadings this close count as equal: rounding must not set an axis' sign
MISSING_VARIANCE = 1e-12  # share of the variance that rounding may remove

COSINE, OVERLAP = "cosine similarity", "share of neighbours"
CLOSENESS = {"mutual_knn": OVERLAP, "parallel": COSINE, "non_parallel": COSINE}
"""Measures of how close a language is to the pivot, with their units."""


def principal_coordinates(
    states: NDArray[np.floating], components: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project states onto the axes of their largest variance (transfer, principal components).

    The axes are the eigenvectors of the covariance. With fewer rows than hidden dimensions, the
    same axes are computed from the rows' inner products. Each axis is turned so that its loading
    of largest absolute value is positive; in a tie, the first such loading.

    Args:
        states: finite states of all languages and segments, [row, hidden].
        components: number of axes, from 1 to the hidden size.

    Returns:
        Coordinates [row, component], in units of the states, and the share of the variance that
        each component explains [component], largest first. Components beyond the rank of the
        states are zeros: all of them, if all rows are identical.
    """
    from scipy.linalg import eigh

    x = _deviations(states)
    rows, hidden = x.shape
    if not 1 <= components <= hidden:
        raise NeuroglotError(
            f"{components} principal components of {hidden} dimensions: "
            f"set them between 1 and {hidden}"
        )
    products = _products(x)
    size = len(products)
    variance, vectors = eigh(products, subset_by_index=(max(size - components, 0), size - 1))
    variance, vectors = variance[::-1], vectors[:, ::-1]
    kept = variance > _negligible(products)
    variance, vectors = variance[kept], vectors[:, kept]
    axes = x.T @ vectors / np.sqrt(variance) if rows < hidden else vectors  # [hidden, component]
    loading = np.abs(axes)
    largest = (loading >= loading.max(axis=0) * (1 - SAME_LOADING)).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(len(largest))])
    missing = components - len(variance)
    explained = variance / np.trace(products)
    return np.pad(x @ axes, ((0, 0), (0, missing))), np.pad(explained, (0, missing))


def component_counts(states: NDArray[np.floating], variances: Sequence[float]) -> NDArray[np.int64]:
    """Count the principal components that explain given shares of the variance (transfer).

    Args:
        states: a language's finite states, [row, hidden].
        variances: shares, above 0 and at most 1.

    Returns:
        For each share, the smallest number of components that together explain it, [variance]; 0
        if all rows are identical.
    """
    for share in variances:
        if not 0 < share <= 1:
            raise NeuroglotError(f"variances: expected shares above 0 and at most 1, found {share}")
    x = _deviations(states)
    products = _products(x)
    variance = np.linalg.eigvalsh(products)[::-1]
    variance = variance[variance > _negligible(products)]
    if not len(variance):
        return np.zeros(len(variances), np.int64)
    explained = np.cumsum(variance) / variance.sum()
    counts = np.searchsorted(explained, np.asarray(variances) - MISSING_VARIANCE) + 1
    return counts.astype(np.int64)


def _deviations(states: NDArray[np.floating]) -> NDArray[np.float64]:
    """Subtract the mean row; identical rows give exactly zero."""
    if states.ndim != 2 or not states.size:
        raise NeuroglotError(
            f"principal components need states [row, hidden], found {list(states.shape)}"
        )
    x = _finite(states)
    x -= x[0].copy()
    x -= x.mean(axis=0)
    return x


def _products(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Multiply x with itself, over the longer of its two dimensions."""
    products: NDArray[np.float64] = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return products


def _negligible(products: NDArray[np.float64]) -> float:
    """Give the largest eigenvalue that may be a rounding error."""
    return float(np.trace(products) * np.finfo(np.float64).eps * len(products))


def centroid_similarity(centroids: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compare languages' centroids by their cosine (transfer, distances between latent spaces).

    Args:
        centroids: [language, hidden], finite.

    Returns:
        float64 [language, language] in [-1, 1].
    """
    unit = _normalised(centroids)
    similarity: NDArray[np.float64] = unit @ unit.T
    return np.clip(similarity, -1, 1)


def parallel_similarity(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compare each segment's states in two languages: cos(first_k, second_k) (transfer).

    Args:
        first: a language's finite states [segment, hidden].
        second: the other language's states, with the same segments in the same order.

    Returns:
        float64 [segment] in [-1, 1].
    """
    _check_parallel(first, second)
    products = _row_products(_normalised(first), _normalised(second))
    return np.clip(products, -1, 1)


def non_parallel_similarity(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compare each segment with all non-parallel segments of the other language (transfer).

    mean_{j ≠ k} cos(first_k, second_j), computed from the sum of the normalised second states.
    Arguments and result are as for ``parallel_similarity``, with two segments or more.
    """
    _check_parallel(first, second)
    segments = len(first)
    if segments < 2:
        raise NeuroglotError(
            f"pairs that are not parallel need two segments or more, found {segments}"
        )
    x, y = _normalised(first), _normalised(second)
    others: NDArray[np.float64] = (x @ y.sum(axis=0) - _row_products(x, y)) / (segments - 1)
    return np.clip(others, -1, 1)


def nearest_neighbours(states: NDArray[np.floating], k: Sequence[int]) -> list[csr_array]:
    """Find each segment's nearest neighbours by the cosine of their states (transfer).

    Where several segments are equally near and not all of them can be among the k nearest, any of
    them may be, with the same probability. Segments with identical states are equally near to every
    other segment: before the first layer, all that end in the same token.

    Args:
        states: a language's finite states, [segment, hidden].
        k: numbers of neighbours per segment, without the segment itself; below that of segments.

    Returns:
        For each k, the probability that a segment (column) is among the k nearest neighbours of
        another (row): sparse [segment, segment]; rows add up to k.
    """
    segments = len(states)
    if not (k and min(k) >= 1 and max(k) < segments):
        raise NeuroglotError(
            f"k is {[*k]}, but a segment has {max(segments - 1, 0)} others to be near to: "
            "set k between 1 and that, or give the corpus more segments"
        )
    distinct, place = _distinct_rows(states)
    x = _finite(distinct)
    norm = np.sqrt(_row_products(x, x))
    norm[norm == 0] = 1
    blocks: list[list[csr_array]] = [[] for _ in k]
    step = max(1, BLOCK_VALUES // segments)
    for start in range(0, segments, step):
        block = np.arange(start, min(start + step, segments))
        whole = len(block) == len(x) == segments
        similarity = (x if whole else x[place[block]]) @ x.T  # x @ x.T is half the work
        similarity /= norm  # dividing by the row's norm too would not change the order in a row
        if len(x) < segments:
            similarity = similarity[:, place]
        similarity[block - start, block] = -np.inf
        for of_k, number in zip(blocks, k, strict=True):
            of_k.append(_among_highest(similarity, number))
    return [vstack(of_k, format="csr") for of_k in blocks]


def neighbour_overlap(first: csr_array, second: csr_array) -> NDArray[np.float64]:
    """Compute the share of a segment's nearest neighbours common to two languages (transfer).

    |N_first(i) ∩ N_second(i)| / k; its mean over segments is the mutual k-NN alignment. With ties,
    the share that is expected if both languages choose among equally near segments at random.

    Args:
        first: a language's ``nearest_neighbours``, [segment, segment].
        second: the other language's, with the same segments and k.

    Returns:
        float64 [segment] in [0, 1]; see ``chance_overlap`` for unrelated languages.
    """
    _check_parallel(first, second)
    k = first.sum(axis=1)
    return np.asarray(first.multiply(second).sum(axis=1) / k)


def chance_overlap(k: Sequence[int], segments: int) -> xr.DataArray:
    """Give the expected ``neighbour_overlap`` of unrelated languages, [k]: k / (segments - 1)."""
    axis = xr.Variable("k", list(k), {"units": "neighbours"})
    chance = np.array(k) / (segments - 1)
    return xr.DataArray(chance, {"k": axis}, ("k",), attrs={"units": OVERLAP})


def closeness(
    pivot: NDArray[np.floating],
    other: NDArray[np.floating],
    near_pivot: Sequence[csr_array],
    k: Sequence[int],
    judged: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Compare a language's states with the pivot's, segment by segment.

    Args:
        pivot: the pivot's states [segment, hidden].
        other: the language's states, with the same segments in the same order.
        near_pivot: the pivot's ``nearest_neighbours`` for every k.
        k: numbers of neighbours.
        judged: the segments that are compared, [segment]; None for all. Cosines are those among
            these. Neighbours are sought among all segments, of which half would be too few.

    Returns:
        The measures of CLOSENESS by name: ``parallel`` and ``non_parallel`` [segment],
        ``mutual_knn`` [k, segment]. NaN for segments that are not judged.
    """
    some = np.ones(len(pivot), bool) if judged is None else judged
    near = nearest_neighbours(other, k)
    overlap = np.stack([*map(neighbour_overlap, near_pivot, near)])
    measured = {"mutual_knn": np.where(some, overlap, np.nan)}
    for name, similarity in (
        ("parallel", parallel_similarity),
        ("non_parallel", non_parallel_similarity),
    ):
        measured[name] = np.full(len(pivot), np.nan)
        measured[name][some] = similarity(pivot[some], other[some])
    return measured


def segment_mean(
    name: str, values: xr.DataArray, units: str, replicates: int
) -> dict[str, xr.DataArray]:
    """Average over ``segment``, and bound the mean by the bootstrap over segments.

    Args:
        name: name of the mean.
        values: [..., segment], NaN where a segment has no value.
        units: units of the values.
        replicates: bootstrap samples of segments.

    Returns:
        ``{name}``, ``{name}_low`` and ``{name}_high``, without ``segment``.
    """
    return bounded_mean(name, _by_item(values, units), replicates)


def segment_difference(name: str, values: xr.DataArray, units: str) -> dict[str, xr.DataArray]:
    """Average differences over ``segment``, and bound the mean by their sign-flip test.

    Args:
        name: name of the mean difference.
        values: [..., segment], NaN where a segment has no value.
        units: units of the values.

    Returns:
        ``{name}``, ``{name}_low`` and ``{name}_high``, without ``segment``.
    """
    return bounded_difference(name, _by_item(values, units))


def _by_item(values: xr.DataArray, units: str) -> xr.DataArray:
    by_item = values.rename(segment="item").drop_vars("item", errors="ignore")
    return by_item.drop_attrs().assign_attrs(units=units)


def _distinct_rows(
    states: NDArray[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.intp]]:
    """Find the distinct rows, in order of appearance, and the index of each row among them.

    Segments with the same last token have equal states 0. A matrix product may round equal columns
    differently, which would order such segments arbitrarily. So each product is computed once.
    """
    if len(np.unique(states[:, 0])) == len(states):
        return states, np.arange(len(states))
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(row.tobytes(), len(places)) for row in states], np.intp)
    return states[np.unique(place, return_index=True)[1]], place


def _among_highest(similarity: NDArray[np.float64], k: int) -> csr_array:
    """Give the probability that a column is among its row's k highest, if ties are drawn."""
    width = similarity.shape[1]
    lowest = np.partition(similarity, width - k, axis=1)[:, width - k, None]
    above, tied = similarity > lowest, similarity == lowest
    places_left = k - above.sum(axis=1, keepdims=True)
    row, column = np.nonzero(above | tied)
    probability = np.where(
        above[row, column], 1, (places_left / tied.sum(1, keepdims=True))[row, 0]
    )
    return csr_array((probability, (row, column)), shape=similarity.shape)


def _row_products(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("kh,kh->k", first, second))


def _normalised(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Divide vectors [..., hidden] by their Euclidean norm; zeros stay zeros."""
    wide = _finite(vectors)
    norm = np.linalg.norm(wide, axis=-1, keepdims=True)
    wide /= np.where(norm > 0, norm, 1)
    return wide


def _finite(states: NDArray[np.floating]) -> NDArray[np.float64]:
    """Copy states to float64 and make sure that they are finite."""
    check_finite(states, "a state")
    return states.astype(np.float64)


def _check_parallel(
    first: NDArray[np.generic] | csr_array, second: NDArray[np.generic] | csr_array
) -> None:
    if first.shape != second.shape:
        raise NeuroglotError(
            f"two languages differ in shape, {list(first.shape)} against {list(second.shape)}: "
            "take the same segments of both, in the same order"
        )
