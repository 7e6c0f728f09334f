"""What each kind of neuron contributes to the FFN's output and to the gold answer (sharing, 6).

Arrays are numpy's, of one layer and language at a time or of several; sums are float64.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.finite import check_finite
from neuroglot.measures.sharing import KINDS, KindBits, count_bits, kind_counts, pack

# Values of the output projection widened to float64 at a time.
BLOCK_VALUES = 1 << 22

SCORES = {"units": "logits", "source": "table 1 and figure 10, section 6.2"}


def value_norm(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Take the L2 norm of each value vector, [neuron], from ``W_out`` [hidden, neuron]."""
    squared = np.einsum("hn,hn->n", values, values, dtype=np.float64)  # widens block by block
    norm: NDArray[np.float64] = np.sqrt(squared)
    return norm


def contribution(
    act: NDArray[np.floating], value_norm: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute each neuron's contribution to the FFN's output (sharing, equation 3).

    C_i = |A_i| ‖v_i‖ / Σ_j |A_j| ‖v_j‖ over the neurons of one layer.

    Args:
        act: activations [..., neuron].
        value_norm: ‖v_i‖ [neuron], see the function ``value_norm``.

    Returns:
        float64 [..., neuron]; sums to 1 over neurons. NaN where the whole layer is silent: nobody
        has a share of nothing.

    Raises:
        NeuroglotError: there is not one norm for each neuron, or an activation is not finite.
    """
    _check_act(act, len(value_norm), "norms of value vectors")
    weight = np.abs(act, dtype=np.float64) * value_norm
    total = weight.sum(axis=-1, keepdims=True)
    share: NDArray[np.float64] = weight / np.where(total > 0, total, np.nan)
    return share


def top_composition(
    contribution: NDArray[np.float64], kinds: KindBits, fraction: float = 0.05
) -> NDArray[np.float64]:
    """Compute the shares of the kinds among the top contributors (sharing, figure 8, section 6.1).

    The top are the ceil(fraction · neurons) neurons of a layer with the highest contributions; of
    equal ones the lower index comes first.

    Args:
        contribution: what ``contribution`` gives, [..., neuron].
        kinds: of the same items and layers, [..., byte].
        fraction: of the neurons, above 0 and at most 1.

    Returns:
        float64 [..., kind]; sums to 1 over kinds. NaN where the layer is silent.

    Raises:
        NeuroglotError: the fraction is out of range, or shapes differ.
    """
    _check_kinds(contribution, kinds)
    if not 0 < fraction <= 1:
        raise NeuroglotError(f"top_fraction is {fraction}: set it above 0 and at most 1")
    count = ceil(round(fraction * kinds.neurons, 9))  # 0.07 * 100 is a bit above 7
    top = pack(_highest(contribution, count))
    found = np.stack([count_bits(top & kinds.bits(kind)) for kind in KINDS], axis=-1)
    return np.where(_silent(contribution), np.nan, found / count)


def sum_by_kind(contribution: NDArray[np.float64], kinds: KindBits) -> NDArray[np.float64]:
    """Add up the contributions of each kind's neurons (sharing, figure 9).

    Args:
        contribution: what ``contribution`` gives, [..., neuron].
        kinds: of the same items and layers, [..., byte].

    Returns:
        float64 [..., kind], 0 for a kind without neurons; sums to 1 over kinds. NaN where the
        layer is silent.

    Raises:
        NeuroglotError: shapes differ.
    """
    _check_kinds(contribution, kinds)
    rows = contribution.reshape(-1, kinds.neurons)
    place = np.arange(len(rows))[:, None] * len(KINDS)
    number = sum(i * kinds.mask(kind).astype(np.int8) for i, kind in enumerate(KINDS))
    bins = (place + np.reshape(number, rows.shape)).reshape(-1)
    total = np.bincount(bins, weights=rows.reshape(-1), minlength=len(rows) * len(KINDS))
    by_kind = total.reshape(*contribution.shape[:-1], len(KINDS))
    return np.where(_silent(contribution), np.nan, by_kind)


def mean_by_kind(contribution: NDArray[np.float64], kinds: KindBits) -> NDArray[np.float64]:
    """Average the contributions of each kind's neurons (sharing, figure 9).

    Arguments and errors as ``sum_by_kind``.

    Returns:
        float64 [..., kind]; NaN for a kind without neurons, and where the layer is silent.
    """
    count = kind_counts(kinds)
    return sum_by_kind(contribution, kinds) / np.where(count > 0, count, np.nan)


def contribution_by_item(
    contribution: NDArray[np.float64], kinds: KindBits, top_fraction: float = 0.05
) -> xr.Dataset:
    """Tell what each kind contributes in a layer, item by item (sharing, section 6.1).

    Args:
        contribution: of one layer and language, [item, neuron].
        kinds: of that layer, [item, byte].
        top_fraction: see ``top_composition``.

    Returns:
        ``top_share``, ``mean`` and ``sum`` [item, kind], see ``top_composition``, ``mean_by_kind``
        and ``sum_by_kind``.

    Raises:
        NeuroglotError: as ``top_composition``.
    """
    shares = {
        "top_share": (
            top_composition(contribution, kinds, top_fraction),
            "share of top contributors",
            "figure 8, section 6.1",
        ),
        "mean": (
            mean_by_kind(contribution, kinds),
            "share of the layer's output weight per neuron",
            "figure 9, section 6.1",
        ),
        "sum": (
            sum_by_kind(contribution, kinds),
            "share of the layer's output weight",
            "figure 9, section 6.1",
        ),
    }
    return xr.Dataset(
        {
            name: (("item", "kind"), values, {"units": units, "source": source})
            for name, (values, units, source) in shares.items()
        },
        coords={"kind": list(KINDS)},
    )


def contribution_by_kind(by_item: xr.Dataset) -> xr.Dataset:
    """Average over items what ``contribution_by_item`` gives, [..., item, kind].

    Returns:
        The same variables [..., kind]. Items whose layer is silent are left out; so are, of
        ``mean``, those without a neuron of the kind. NaN where no item is left.
    """
    return by_item.mean("item", skipna=True, keep_attrs=True)


def effective_score(
    act: NDArray[np.floating], rows: NDArray[np.floating], values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute each neuron's effective score for the gold answer (sharing, section 3.2).

    E_r · A_i v_i, computed as A_i (E_r · v_i) for all neurons and items in one matrix product;
    items with the same row E_r, as those with the same answer have, share its products.

    Args:
        act: one layer's activations [item, neuron].
        rows: E_r, the unembedding's row of the first token of each item's gold answer,
            [item, hidden].
        values: ``W_out`` [hidden, neuron], whose columns are the value vectors.

    Returns:
        float64 [item, neuron], logits.

    Raises:
        NeuroglotError: shapes differ, or an activation is not finite.
    """
    _check_act(act, values.shape[1], "value vectors")
    if rows.shape != (len(act), len(values)):
        raise NeuroglotError(
            f"effective scores need unembedding rows [item, hidden] = {[len(act), len(values)]}, "
            f"found {list(rows.shape)}"
        )
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(row.tobytes(), len(places)) for row in rows], np.intp)
    _, first = np.unique(place, return_index=True)
    distinct = rows[first].astype(np.float64)
    score = np.empty(act.shape)
    step = max(1, BLOCK_VALUES // max(1, len(values)))
    for start in range(0, act.shape[1], step):
        some = slice(start, start + step)
        per_activation = distinct @ values[:, some].astype(np.float64)
        np.multiply(act[:, some], per_activation[place], out=score[:, some])
    return score


@dataclass(frozen=True, eq=False)
class ScoreStatistics:
    """Statistics of effective scores by kind, of all items and of each one.

    Those of the same items in other layers add up with ``+``.

    Attributes:
        total: of the scores of all items, float64 [kind].
        count: neurons of the kind, int64 [item, kind].
        sum: of their scores, float64 [item, kind].
        max: highest score [item, kind], -inf where there is none.
        min: lowest score [item, kind], +inf where there is none.
    """

    total: NDArray[np.float64]
    count: NDArray[np.int64]
    sum: NDArray[np.float64]
    max: NDArray[np.float64]
    min: NDArray[np.float64]

    def __add__(self, other: "ScoreStatistics") -> "ScoreStatistics":
        """Combine with the statistics of the same items in another layer."""
        return ScoreStatistics(
            self.total + other.total,
            self.count + other.count,
            self.sum + other.sum,
            np.maximum(self.max, other.max),
            np.minimum(self.min, other.min),
        )

    def dataset(self) -> xr.Dataset:
        """Give ``max``, ``min`` and ``mean`` [kind] in logits (sharing, table 1 and figure 10).

        The mean is over all pairs of an item and a neuron of the kind. NaN for a kind without
        neurons.
        """
        pairs = self.count.sum(0)
        count = np.where(pairs > 0, pairs, np.nan)
        found = {
            "max": self.max.max(0, initial=-np.inf),
            "min": self.min.min(0, initial=np.inf),
            "mean": self.total / count,
        }
        return xr.Dataset(
            {
                name: ("kind", np.where(pairs > 0, values, np.nan), dict(SCORES))
                for name, values in found.items()
            },
            coords={"kind": list(KINDS)},
        )


def score_statistics(score: NDArray[np.floating], kinds: KindBits) -> ScoreStatistics:
    """Summarise effective scores by kind (sharing, section 6.2).

    Args:
        score: what ``effective_score`` gives, [item, neuron].
        kinds: of that layer, [item, byte].

    Raises:
        NeuroglotError: shapes differ.
    """
    _check_kinds(score, kinds)
    count = kind_counts(kinds)
    by_kind = [score[kinds.mask(kind)] for kind in KINDS]  # item after item
    parts = list(zip(by_kind, count.T, strict=True))
    return ScoreStatistics(
        total=np.array([scores.sum(dtype=np.float64) for scores in by_kind]),
        count=count,
        sum=np.stack([_by_item(np.add, *part, nothing=0) for part in parts], -1),
        max=np.stack([_by_item(np.maximum, *part, nothing=-np.inf) for part in parts], -1),
        min=np.stack([_by_item(np.minimum, *part, nothing=np.inf) for part in parts], -1),
    )


def _by_item(
    operation: np.ufunc, scores: NDArray[np.floating], count: NDArray[np.int64], nothing: float
) -> NDArray[np.float64]:
    """Reduce ``count[item]`` scores of each item, which follow on one another, to one [item]."""
    reduced, some = np.full(len(count), nothing, np.float64), count > 0
    starts = np.cumsum(count) - count
    if some.any():
        reduced[some] = operation.reduceat(scores, starts[some], dtype=np.float64)
    return reduced


def _highest(x: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """Say which are the ``count`` highest along the last axis, the first of equals."""
    lowest = np.partition(x, x.shape[-1] - count, axis=-1)[..., -count, None]
    above, tied = x > lowest, x == lowest
    places = count - above.sum(axis=-1, keepdims=True)
    highest: NDArray[np.bool_] = above | (tied & (tied.cumsum(axis=-1) <= places))
    return highest


def _silent(contribution: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isnan(contribution[..., :1])


def _check_act(act: NDArray[np.floating], neurons: int, what: str) -> None:
    if act.shape[-1] != neurons:
        raise NeuroglotError(
            f"{act.shape[-1]} activations, but {neurons} {what}: take both of the same layer"
        )
    check_finite(act, "an activation")


def _check_kinds(values: NDArray[np.floating], kinds: KindBits) -> None:
    expected = (*kinds.all_shared.shape[:-1], kinds.neurons)
    if values.shape != expected:
        raise NeuroglotError(
            f"values {list(values.shape)} and kinds {list(expected)} of neurons differ in shape: "
            "take both of the same items and layers"
        )
