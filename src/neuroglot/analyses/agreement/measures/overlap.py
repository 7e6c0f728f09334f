"""Overlap between the neurons that methods name for a language, compared with chance.

The null model is hypergeometric: in each layer, two sets of the methods' sizes are drawn
independently from the layer's neurons. Over all layers, sets keep their size in every layer (layers
are strata), because methods agree on *layers* more easily than on neurons.
"""

from collections.abc import Iterable
from functools import reduce
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln

from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import coordinates_of, layer_widths
from neuroglot.measures.significance import holm_p_value

SOURCE = "Fisher's exact test, stratified by layer"

Values = NDArray[np.float64]


class Sets(NamedTuple):
    """Sizes of a population, of two sets in it, and of their intersection."""

    population: int
    first: int
    second: int
    shared: int


def agreement(named: xr.DataArray, looked_at: xr.DataArray) -> xr.Dataset:
    """Compare every two methods, by layer and over all layers.

    Args:
        named: whether a method names a neuron for a language, bool
            [method, language, layer, neuron]; see ``axes.layer_widths``.
        looked_at: whether a method may name neurons in a layer, bool [method, layer]. "All layers"
            of two methods are the layers that both methods look at.

    Returns:
        ``neurons(method, language, layer)`` int64, sizes of the sets;
        ``shared(method, method_other, language, layer)`` int64 (for a method with itself, the size
        of its set); float64 ``jaccard``, ``expected_jaccard``, its expectation by chance, and
        ``p_value``, P(shared by chance >= shared), with the same dimensions; ``jaccard_all``,
        ``expected_all`` and ``p_value_all`` [method, method_other, language] over all layers; and
        ``p_value_holm``, which is ``p_value_all`` corrected by Holm's method for all pairs and
        languages. All are symmetric; overlaps and p-values are NaN where a set is empty and for a
        method with itself.
    """
    named = named.transpose("method", "language", "layer", "neuron")
    chosen, looked = named.to_numpy(), looked_at.transpose("method", "layer").to_numpy()
    methods, languages, layers, _ = chosen.shape
    population = layer_widths(named)
    sizes = chosen.sum(axis=3)
    shared = np.stack([(chosen & of_method).sum(axis=3) for of_method in chosen])
    by_layer = np.full((3, methods, methods, languages, layers), np.nan)
    over_layers = np.full((3, methods, methods, languages), np.nan)
    for a, b in combinations(range(methods), 2):
        both = np.flatnonzero(looked[a] & looked[b])
        for language in range(languages):
            strata = [
                Sets(
                    population[layer],
                    int(sizes[a, language, layer]),
                    int(sizes[b, language, layer]),
                    int(shared[a, b, language, layer]),
                )
                for layer in both
            ]
            for layer, stratum in zip(both, strata, strict=True):
                by_layer[:, [a, b], [b, a], language, layer] = _column(compare([stratum]))
            over_layers[:, [a, b], [b, a], language] = _column(compare(strata))
    p_holm = over_layers[2].copy()
    first, second = np.triu_indices(methods, 1)
    pairs = xr.DataArray(p_holm[first, second].ravel(), dims="pair")
    corrected = holm_p_value(pairs, "pair").to_numpy().reshape(p_holm[first, second].shape)
    p_holm[first, second] = p_holm[second, first] = corrected
    pair = ("method", "method_other", "language")
    neurons = {"units": "neurons"}
    share = {"units": "share of the neurons of either", "source": SOURCE}
    probability = {"units": "probability", "source": SOURCE}
    return xr.Dataset(
        {
            "neurons": (("method", "language", "layer"), sizes, neurons),
            "shared": ((*pair, "layer"), shared, neurons),
            "jaccard": ((*pair, "layer"), by_layer[0], share),
            "expected_jaccard": ((*pair, "layer"), by_layer[1], share),
            "p_value": ((*pair, "layer"), by_layer[2], probability),
            "jaccard_all": (pair, over_layers[0], share),
            "expected_all": (pair, over_layers[1], share),
            "p_value_all": (pair, over_layers[2], probability),
            "p_value_holm": (pair, p_holm, probability),
        },
        coords={
            **coordinates_of(named, "layer"),
            **coordinates_of(named, "language"),
            "method": named["method"].values,
            "method_other": named["method"].values,
        },
    )


def _column(comparison: tuple[float, float, float]) -> Values:
    return np.array(comparison)[:, None]


def compare(strata: Iterable[Sets]) -> tuple[float, float, float]:
    """Give the Jaccard overlap of two sets, its expectation by chance, and a one-sided p-value.

    Args:
        strata: sizes of the two sets in each layer; the null model keeps them.

    Returns:
        With the sums over strata: shared / (first + second - shared); its exact expectation; and
        the probability of at least as many shared neurons by chance. By chance, the shared neurons
        are a sum of hypergeometric variables, one of each stratum. All are NaN if a set is empty in
        every stratum. A p-value below 1e-308 is 0.
    """
    strata = list(strata)
    first = sum(sets.first for sets in strata)
    second = sum(sets.second for sets in strata)
    shared = sum(sets.shared for sets in strata)
    if not first or not second:
        return np.nan, np.nan, np.nan
    chance: Values = reduce(
        np.convolve,
        (shared_by_chance(sets.population, sets.first, sets.second) for sets in strata),
    )
    numbers = np.arange(chance.size)
    expected = float(chance @ (numbers / (first + second - numbers)))
    p_value = min(1.0, float(chance[shared:].sum()))
    return shared / (first + second - shared), expected, p_value


def shared_by_chance(population: int, first: int, second: int) -> Values:
    """Give the probability that two random sets share 0, 1, … neurons (hypergeometric).

    P(k) = C(first, k) C(population - first, second - k) / C(population, second).

    Args:
        population: number of neurons to draw from.
        first: size of the first set.
        second: size of the second set.

    Returns:
        float64 [shared], from 0 to the smaller size; sums to 1.

    Raises:
        NeuroglotError: a set is larger than the population.
    """
    if not 0 <= first <= population or not 0 <= second <= population:
        raise NeuroglotError(
            f"sets of {first} and {second} neurons cannot be chosen of a layer's {population}"
        )
    numbers = np.arange(min(first, second) + 1)
    possible = numbers >= first + second - population
    k = numbers[possible]
    probability = np.zeros(numbers.size)
    logarithm = _log_choose(first, k) + _log_choose(population - first, second - k)
    probability[possible] = np.exp(logarithm - _log_choose(population, np.array(second)))
    return np.asarray(probability / probability.sum())


def _log_choose(n: int, k: NDArray[np.int64]) -> Values:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def named_by_several(named: xr.DataArray, minimum: int) -> tuple[NDArray[np.intp], ...]:
    """Find the neurons that at least ``minimum`` methods name for a language.

    Args:
        named: whether a method names a neuron for a language, bool
            [method, language, layer, neuron].
        minimum: number of methods.

    Returns:
        The language, layer and neuron of each entry, as indices. Entries are ordered by language,
        then by descending number of methods, then by layer and neuron.
    """
    methods = named.sum("method").transpose("language", "layer", "neuron").to_numpy()
    language, layer, neuron = np.nonzero(methods >= minimum)
    order = np.lexsort((neuron, layer, -methods[language, layer, neuron], language))
    return language[order], layer[order], neuron[order]
