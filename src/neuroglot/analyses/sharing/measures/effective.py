"""Effective scores of each kind of neuron for the gold answer (sharing, sections 3.2 and 6.2).

Arrays are numpy arrays for one layer and language. Sums are float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.by_item import OF_LANGUAGES
from neuroglot.analyses.sharing.measures.contribution import check_act
from neuroglot.analyses.sharing.measures.kinds import KINDS, KindBits, check_shape, kind_counts
from neuroglot.analyses.sharing.measures.maxima import maximum_interval, resampled_maxima
from neuroglot.errors import NeuroglotError
from neuroglot.measures.bootstrap import bounded, ratio_interval

# Number of output projection values converted to float64 at a time.
BLOCK_VALUES = 1 << 22

SCORES = {"units": "logits", "source": "table 1 and figure 10, section 6.2"}
HIGHEST = "max_by_layer"


def effective_score(
    act: NDArray[np.floating], rows: NDArray[np.floating], values: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute each neuron's effective score for the gold answer (sharing, section 3.2).

    The score E_r · A_i v_i is computed as A_i (E_r · v_i) for all neurons and items in one matrix
    product. Items with the same row E_r, for example with the same answer, share its products.

    Args:
        act: one layer's activations [item, neuron].
        rows: E_r, the unembedding row for the first token of each item's gold answer,
            [item, hidden].
        values: ``W_out`` [hidden, neuron], whose columns are the value vectors.

    Returns:
        float64 [item, neuron], logits.

    Raises:
        NeuroglotError: shapes differ, or an activation is not finite.
    """
    check_act(act, values.shape[1], "value vectors")
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
    """Statistics of effective scores by kind, over all items and by item.

    ``+`` combines the statistics of the same items in different layers.

    Attributes:
        total: sum of the scores over all items, float64 [kind].
        count: number of neurons of the kind, int64 [item, kind].
        sum: sum of their scores, float64 [item, kind].
        max: highest score [item, kind], -inf without neurons of the kind.
        min: lowest score [item, kind], +inf without neurons of the kind.
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

        The mean is over all pairs of an item and a neuron of the kind. All are NaN for a kind
        without neurons.
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
        score: result of ``effective_score``, [item, neuron].
        kinds: kinds of the layer's neurons, [item, byte].

    Raises:
        NeuroglotError: shapes differ.
    """
    check_shape(score, kinds)
    count = kind_counts(kinds)
    by_kind = [score[kinds.mask(kind)] for kind in KINDS]  # ordered by item
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
    """Reduce each item's ``count[item]`` consecutive scores to one value, [item]."""
    reduced, some = np.full(len(count), nothing, np.float64), count > 0
    starts = np.cumsum(count) - count
    if some.any():
        reduced[some] = operation.reduceat(scores, starts[some], dtype=np.float64)
    return reduced


def scores_bounded(
    scores: Mapping[str, Sequence[ScoreStatistics]],
    judged: Mapping[str, NDArray[np.bool_]],
    replicates: int,
) -> xr.Dataset:
    """Summarise effective scores over all layers and by layer, with intervals over items.

    Args:
        scores: by language, the statistics of each layer.
        judged: by language, the items with a score, bool [item]; all languages have the same items.
        replicates: bootstrap samples of items.

    Returns:
        ``max``, ``min`` and ``mean`` [language, kind] over all layers, see ``ScoreStatistics``;
        ``max_by_layer`` [language, layer, kind], and ``max_by_layer_of_languages`` [layer, kind],
        its mean over languages; and ``…_low`` and ``…_high`` of all. The bounds of maxima and
        minima show how much these depend on single items, see ``maximum_interval``.
    """
    axis = xr.Variable("language", np.array(list(scores), str))
    whole = xr.concat([reduce(add, found).dataset() for found in scores.values()], axis)
    by_layer = xr.concat(
        [xr.concat([one.dataset()["max"] for one in found], "layer") for found in scores.values()],
        axis,
    )
    average = by_layer.mean("language")
    items = _labelled_by_item(scores, judged)
    in_layers = resampled_maxima(items["max"], replicates)
    above = resampled_maxima(items["max"].max("layer"), replicates)
    below = resampled_maxima(-items["min"].min("layer"), replicates)
    pairs = items[["sum", "count"]].sum("layer").rename(item="fold")
    lowest = -maximum_interval(-whole["min"], below)[0]
    found = {
        **bounded("max", whole["max"], maximum_interval(whole["max"], above)),
        **bounded("min", whole["min"], (whole["min"], lowest)),
        **bounded("mean", whole["mean"], ratio_interval(pairs["sum"], pairs["count"], replicates)),
        **bounded(HIGHEST, by_layer, maximum_interval(by_layer, in_layers)),
        **bounded(
            HIGHEST + OF_LANGUAGES,
            average,
            maximum_interval(average, in_layers.mean("language")),
        ),
    }
    return whole.assign({name: values.assign_attrs(SCORES) for name, values in found.items()})


def _labelled_by_item(
    scores: Mapping[str, Sequence[ScoreStatistics]], judged: Mapping[str, NDArray[np.bool_]]
) -> xr.Dataset:
    """Label the statistics by item of ``ScoreStatistics``, (language, layer, item, kind).

    ``max`` and ``min`` are NaN for items without a score or without a neuron of the kind.
    """
    first = next(iter(judged.values()))
    dims = ("language", "layer", "item", "kind")
    found = {}
    for name, nothing in {"sum": 0, "count": 0, "max": np.nan, "min": np.nan}.items():
        by_language = []
        for language, own in scores.items():
            values = np.stack([getattr(one, name) for one in own])  # [layer, item, kind]
            full = np.full((len(own), len(first), len(KINDS)), nothing, np.float64)
            full[:, judged[language]] = np.where(np.isinf(values), np.nan, values)
            by_language.append(full)
        found[name] = (dims, np.stack(by_language))
    return xr.Dataset(found, {"language": list(scores), "kind": list(KINDS)})
