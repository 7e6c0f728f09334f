"""How often a neuron is specific to the same language in several items, compared with chance."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.sharing.measures.kinds import Bits, unpack
from neuroglot.measures.axes import layer_widths
from neuroglot.measures.selection import highest

Floats = NDArray[np.float64]


def specific_items(
    languages: Mapping[str, Bits], specific: Bits, neurons: int, widest: int | None = None
) -> xr.DataArray:
    """Count the items in which each neuron is active in only one language (sharing, equation 6).

    Args:
        languages: activity by language, bits [item, layer, byte] for the same items.
        specific: ``KindBits.specific`` over these languages, [item, layer, byte].
        neurons: width of these layers.
        widest: width of the model's widest layer; None if these layers are the widest.

    Returns:
        int32 (language, layer, neuron) with ``widest`` neurons. Padding neurons have count zero;
        with a single language all counts are zero.
    """
    beyond = ((0, 0), (0, (widest or neurons) - neurons))
    counts = [
        np.pad(unpack(specific & active, neurons).sum(0, dtype=np.int32), beyond)
        for active in languages.values()
    ]
    coords = {"language": list(languages)}
    attrs = {"units": "items"}
    return xr.DataArray(np.stack(counts), coords, ("language", "layer", "neuron"), attrs=attrs)


def specific_in_all(tasks: Sequence[xr.Dataset]) -> xr.Dataset:
    """Add up over tasks the numbers of items in which each neuron is active in only one language.

    Only the tasks with the most languages count: with fewer languages, more neurons are specific.

    Args:
        tasks: for each task, ``specific`` from ``specific_items`` and ``items``, the number of
            items.

    Returns:
        ``specific`` (language, layer, neuron), and ``specific_items``, the total number of items.
    """
    most = max(task.sizes["language"] for task in tasks)
    counted = [task for task in tasks if task.sizes["language"] == most]
    return xr.Dataset(
        {
            "specific": reduce(add, (task["specific"] for task in counted)),
            "specific_items": reduce(add, (task["items"] for task in counted)),
        }
    )


def most_specific(counts: xr.DataArray, top_fraction: float) -> xr.DataArray:
    """Select the neurons that are most often active in only one language.

    Args:
        counts: result of ``specific_items``, (language, layer, neuron); see ``axes.layer_widths``.
        top_fraction: largest share of all layers' neurons per language. The neurons with the
            highest counts are taken (see ``highest``), and no neuron with count zero.

    Returns:
        bool (language, layer, neuron).
    """
    ordered = counts.transpose("language", "layer", "neuron")
    score = ordered.where(ordered > 0)
    n = round(top_fraction * sum(layer_widths(ordered)))
    return score.copy(data=np.array([highest(of_language, n) for of_language in score.to_numpy()]))


def repeated_specificity(counts: xr.DataArray, items: int) -> xr.Dataset:
    """Measure how often neurons are specific to the same language, compared with chance.

    The null model keeps the items in which each neuron is specific. In each layer it permutes the
    languages among all pairs of an item and a specific neuron. A neuron that is specific in s items
    then draws s languages; language L has the probability p_L, its share of these pairs. The
    expectations over permutations are computed in closed form; no permutation is drawn.

    Args:
        counts: result of ``specific_items``, (language, layer, neuron).
        items: number of items.

    Returns:
        float64 (layer):
        ``repeating``: number of neurons specific to the same language in more than half of the
        items;
        ``repeating_null``: the number expected by chance, Σ_neuron Σ_L P(Binomial(s, p_L) >
        items / 2);
        ``repeating_null_high``: upper bound of this number in 95 % of permutations, from the
        Poisson distribution, which is at least as wide as that of a sum of independent events;
        ``same_language``: share of pairs of items with the same language, among all pairs of items
        in which a neuron is specific; NaN where no neuron is specific in two items;
        ``same_language_null``: the share expected by chance, Σ_L p_L²; NaN where no neuron is
        specific.
    """
    layers = counts.transpose("layer", "language", "neuron").to_numpy().astype(np.int64)
    expected = np.array([_expected(layer, items) for layer in layers])
    neurons, pairs = {"units": "neurons"}, {"units": "share of pairs of items"}
    repeating = (2 * layers > items).any(1).sum(1).astype(np.float64)
    same_by_chance = [(_marginals(layer) ** 2).sum() for layer in layers]
    return xr.Dataset(
        {
            "repeating": ("layer", repeating, neurons),
            "repeating_null": ("layer", expected, neurons),
            "repeating_null_high": ("layer", _poisson_quantile(0.95, expected), neurons),
            "same_language": ("layer", [_same(layer) for layer in layers], pairs),
            "same_language_null": ("layer", same_by_chance, pairs),
        }
    )


def _marginals(counts: NDArray[np.int64]) -> Floats:
    """Each language's share of a layer's specific neurons in all items, from [language, neuron].

    NaN where no neuron is specific.
    """
    total = counts.sum()
    share: Floats = counts.sum(1) / (total if total else np.nan)
    return share


def _expected(counts: NDArray[np.int64], items: int) -> float:
    """Number of neurons expected by chance to be specific to a language in over half the items."""
    from scipy.special import bdtrc

    times, neurons = np.unique(counts.sum(0), return_counts=True)
    share = np.nan_to_num(_marginals(counts))
    majority = bdtrc(items // 2, times[:, None], share)  # at most one language has it
    chance = np.where(times[:, None] > items // 2, majority, 0)
    return float((chance.sum(1) * neurons).sum())


def _poisson_quantile(share: float, means: Floats) -> Floats:
    """Smallest integers whose Poisson cumulative probability is at least ``share``, by mean."""
    from scipy.special import pdtr, pdtrik

    above = np.ceil(pdtrik(share, np.maximum(means, np.finfo(np.float64).tiny)))
    below = np.maximum(above - 1, 0)  # where rounding made the quantile one too high
    quantiles: Floats = np.where(pdtr(below, means) >= share, below, above)
    return quantiles


def _same(counts: NDArray[np.int64]) -> float:
    """Share of pairs with the same language, among all pairs of a neuron's specific items."""
    total = counts.sum(0)
    pairs = (total * (total - 1)).sum()
    return float((counts * (counts - 1)).sum() / (pairs if pairs else np.nan))
