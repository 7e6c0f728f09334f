"""Effective scores of each kind of neuron for the gold answer (sharing, sections 3.2 and 6.2).

Arrays are numpy arrays for one layer and language. Sums are float64.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.by_fact import OF_LANGUAGES, fact_numbers
from neuroglot.analyses.sharing.measures.kinds import KINDS, KindBits, kind_counts
from neuroglot.analyses.sharing.measures.maxima import maximum_interval, resampled_maxima
from neuroglot.measures.axes import along
from neuroglot.measures.bootstrap import bounded, ratio_interval
from neuroglot.measures.finite import check_finite

# Number of output projection values converted to float64 at a time.
BLOCK_VALUES = 1 << 22

SCORES = {
    "units": "logits before the final norm",
    "source": "table 1 and figure 10, section 6.2",
}
HIGHEST = "max_by_layer"


def effective_score(
    act: NDArray[np.floating],
    rows: NDArray[np.floating],
    values: NDArray[np.floating],
    scale: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Compute each neuron's effective score for the gold answer (sharing, section 3.2).

    The score E_r · A_i v_i is the product of the answer's unembedding and what the neuron adds to
    the residual stream. Where a norm follows the FFN, a neuron adds s (g ∘ A_i v_i): the norm, with
    gain g, is linearised at the item. The scores of a layer then add up to the product of the
    unembedding and the FFN's contribution, without the terms of its biases.

    It is computed as s A_i (E_r · v_i) for all neurons and items in one matrix product. Items with
    the same row E_r, for example with the same answer, share its products.

    Args:
        act: one layer's activations [item, neuron].
        rows: E_r, the unembedding row for the first token of each item's gold answer,
            [item, hidden].
        values: g ∘ v_i, see ``models.norms.value_vectors``, [hidden, neuron].
        scale: s, see ``models.norms.output_scale``, [item].

    Returns:
        float64 [item, neuron], logits before the final norm.

    Raises:
        NeuroglotError: an activation is not finite.
    """
    check_finite(act, "an activation")
    places: dict[bytes, int] = {}
    place = np.array([places.setdefault(row.tobytes(), len(places)) for row in rows], np.intp)
    _, first = np.unique(place, return_index=True)
    distinct = rows[first].astype(np.float64)
    scaled = act * scale[:, None]
    score = np.empty(act.shape)
    step = max(1, BLOCK_VALUES // max(1, len(values)))
    for start in range(0, act.shape[1], step):
        some = slice(start, start + step)
        per_activation = distinct @ values[:, some].astype(np.float64)
        np.multiply(scaled[:, some], per_activation[place], out=score[:, some])
    return score


def score_statistics(score: NDArray[np.floating], kinds: KindBits) -> xr.Dataset:
    """Summarise one layer's effective scores by kind (sharing, section 6.2).

    Args:
        score: result of ``effective_score``, [item, neuron].
        kinds: kinds of the layer's neurons, [item, byte].

    Returns:
        [item, kind]: ``count``, the number of neurons of the kind; ``sum``, ``max`` and ``min`` of
        their scores, where ``max`` and ``min`` are NaN without neurons; and ``total`` [kind], the
        sum of the scores over all items.
    """
    count = kind_counts(kinds)
    by_kind = [score[kinds.mask(kind)] for kind in KINDS]  # ordered by item
    reduced = {
        name: np.stack(
            [
                _by_item(operation, of_kind, number, empty)
                for of_kind, number in zip(by_kind, count.T, strict=True)
            ],
            axis=-1,
        )
        for name, operation, empty in (
            ("sum", np.add, 0.0),
            ("max", np.maximum, np.nan),
            ("min", np.minimum, np.nan),
        )
    }
    dims = ("item", "kind")
    return xr.Dataset(
        {
            "count": (dims, count),
            **{name: (dims, values) for name, values in reduced.items()},
            "total": ("kind", [scores.sum(dtype=np.float64) for scores in by_kind]),
        },
        {"kind": list(KINDS)},
    )


def _by_fact(statistics: xr.Dataset, facts: Sequence[str]) -> xr.Dataset:
    """Put the items of each fact together: ``item`` has one place per fact."""
    numbers = fact_numbers(facts)
    if len(numbers) == len(set(facts)):
        return statistics
    grouped = statistics.assign_coords(fact=("item", numbers)).groupby("fact")
    reduced = {
        "count": grouped.sum(),
        "sum": grouped.sum(),
        "max": grouped.max(),
        "min": grouped.min(),
    }
    merged = xr.Dataset({name: data[name] for name, data in reduced.items()})
    return merged.rename(fact="item").assign(total=statistics["total"])


def _by_item(
    operation: np.ufunc, scores: NDArray[np.floating], count: NDArray[np.int64], empty: float
) -> NDArray[np.float64]:
    """Reduce each item's ``count[item]`` consecutive scores to one value, [item]."""
    reduced, some = np.full(len(count), empty, np.float64), count > 0
    starts = np.cumsum(count) - count
    if some.any():
        reduced[some] = operation.reduceat(scores, starts[some], dtype=np.float64)
    return reduced


def scores_bounded(
    by_language: Mapping[str, Sequence[xr.Dataset]], facts: Sequence[str], replicates: int
) -> xr.Dataset:
    """Summarise effective scores over all layers and by layer, with intervals over facts.

    Args:
        by_language: each layer's ``score_statistics``, labelled with the items that have scores in
            the language: ``item`` counts from 0 and is the same item in every language.
        facts: the fact that each item asks for, with or without scores, [item]. The items of a fact
            are drawn together.
        replicates: bootstrap samples of facts.

    Returns:
        ``max``, ``min`` and ``mean`` [language, kind] over all items, layers and neurons of the
        kind, NaN without any; ``max_by_layer`` [language, layer, kind], and
        ``max_by_layer_of_languages`` [layer, kind], its mean over languages; and ``…_low`` and
        ``…_high`` of all. The bounds of maxima and minima show how much these depend on single
        facts, see ``maximum_interval``.
    """
    items = np.arange(len(facts))
    empty = {"count": 0, "sum": 0.0, "max": np.nan, "min": np.nan}
    statistics = along(
        "language",
        {
            language: xr.concat(layers, "layer").reindex(item=items, fill_value=empty)
            for language, layers in by_language.items()
        },
    )
    statistics = _by_fact(statistics, facts)
    whole = ("layer", "item")
    pairs = statistics["count"].sum(whole)  # of an item and a neuron
    highest, lowest = statistics["max"].max(whole), statistics["min"].min(whole)
    by_layer = statistics["max"].max("item")
    average = by_layer.mean("language")
    in_layers = resampled_maxima(statistics["max"], replicates)
    above = resampled_maxima(statistics["max"].max("layer"), replicates)
    below = resampled_maxima(-statistics["min"].min("layer"), replicates)
    sums = statistics[["sum", "count"]].sum("layer").rename(item="fold")
    mean = statistics["total"].sum("layer") / pairs.where(pairs > 0)
    summaries = {
        **bounded("max", highest, maximum_interval(highest, above)),
        **bounded("min", lowest, (lowest, -maximum_interval(-lowest, below)[0])),
        **bounded("mean", mean, ratio_interval(sums["sum"], sums["count"], replicates)),
        **bounded(HIGHEST, by_layer, maximum_interval(by_layer, in_layers)),
        **bounded(
            HIGHEST + OF_LANGUAGES,
            average,
            maximum_interval(average, in_layers.mean("language")),
        ),
    }
    return xr.Dataset({name: values.assign_attrs(SCORES) for name, values in summaries.items()})
