"""How far methods that name a language's neurons name the same ones, against chance.

Chance is hypergeometric: in each layer both sets keep their sizes and are drawn from the layer's
neurons independently. Taken together, layers stay strata, because methods agree on *layers* more
easily than on neurons.
"""

from collections.abc import Iterable
from functools import reduce
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln

from neuroglot.analyses.lexicon.measures.lexicon import DECIMALS, covered
from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import coordinates_of

SOURCE = "Fisher's exact test, stratified by layer"
PAIR = ("method", "method_other", "language")
SHARE, PROBABILITY = "share of the neurons of either", "probability"
BY_LAYER = {"jaccard": SHARE, "expected_jaccard": SHARE, "p_value": PROBABILITY}
OVER_LAYERS = {
    "jaccard_all": SHARE,
    "expected_all": SHARE,
    "p_value_all": PROBABILITY,
    "p_value_holm": PROBABILITY,
}

Values = NDArray[np.float64]


class Sets(NamedTuple):
    """Sizes of a population, of two sets in it, and of what they share."""

    population: int
    first: int
    second: int
    shared: int


def agreement(named: xr.DataArray, looked_at: xr.DataArray) -> xr.Dataset:
    """Compare every two methods, layer by layer and over all layers together.

    Args:
        named: whether a method names a neuron for a language, bool
            [method, language, layer, neuron].
        looked_at: whether a method looks at a layer at all, bool [method, layer]. "All layers"
            of two methods are those that both look at.

    Returns:
        ``neurons(method, language, layer)`` int64, sizes of the sets;
        ``shared(method, method_other, language, layer)`` int64 (a method's with itself is the
        size of its set); float64 ``jaccard``, ``expected_jaccard``, its expectation under chance,
        and ``p_value``, P(shared by chance >= shared), of the same dimensions; ``jaccard_all``,
        ``expected_all`` and ``p_value_all`` [method, method_other, language] over all layers, and
        ``p_value_holm``, the last corrected by Holm's method for all pairs and languages. All are
        symmetric; NaN where a set is empty and for a method with itself.
    """
    named = named.transpose("method", "language", "layer", "neuron")
    chosen, looked = named.to_numpy(), looked_at.transpose("method", "layer").to_numpy()
    methods, languages, layers, population = chosen.shape
    sizes = chosen.sum(axis=3)
    shared = np.stack([(chosen & one).sum(axis=3) for one in chosen])
    by_layer = np.full((3, methods, methods, languages, layers), np.nan)
    in_all = np.full((3, methods, methods, languages), np.nan)
    for a, b in combinations(range(methods), 2):
        both = np.flatnonzero(looked[a] & looked[b])
        for language in range(languages):
            strata = [
                Sets(
                    population,
                    int(sizes[a, language, layer]),
                    int(sizes[b, language, layer]),
                    int(shared[a, b, language, layer]),
                )
                for layer in both
            ]
            for layer, stratum in zip(both, strata, strict=True):
                by_layer[:, [a, b], [b, a], language, layer] = _column(compare([stratum]))
            in_all[:, [a, b], [b, a], language] = _column(compare(strata))
    p_all = in_all[2].copy()
    first, second = np.triu_indices(methods, 1)
    p_all[first, second] = p_all[second, first] = holm(p_all[first, second])
    return _dataset(named, sizes, shared, by_layer, np.concatenate([in_all, p_all[None]]))


def _column(values: tuple[float, float, float]) -> Values:
    return np.array(values)[:, None]


def compare(strata: Iterable[Sets]) -> tuple[float, float, float]:
    """Give the Jaccard overlap of two sets, its expectation by chance, and a one-sided p-value.

    Args:
        strata: the two sets' parts in each layer, which chance leaves there.

    Returns:
        shared / (first + second - shared) of the sums over strata; its exact expectation and the
        probability that chance shares as many or more, with the distribution of the sum of the
        strata's hypergeometric variables. All NaN where a set is empty in every stratum. A
        p-value below 1e-308 is 0.
    """
    strata = list(strata)
    first, second, shared = (
        sum(getattr(one, name) for one in strata) for name in ("first", "second", "shared")
    )
    if not first or not second:
        return np.nan, np.nan, np.nan
    chance: Values = reduce(
        np.convolve, (shared_by_chance(one.population, one.first, one.second) for one in strata)
    )
    numbers = np.arange(chance.size)
    expected = float(chance @ (numbers / (first + second - numbers)))
    p_value = min(1.0, float(chance[shared:].sum()))
    return shared / (first + second - shared), expected, p_value


def shared_by_chance(population: int, first: int, second: int) -> Values:
    """Give the probability that two random sets share 0, 1, … neurons (hypergeometric).

    P(k) = C(first, k) C(population - first, second - k) / C(population, second).

    Args:
        population: neurons to choose from.
        first: size of one set.
        second: size of the other.

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


def holm(p_values: Values) -> Values:
    """Correct p-values for their number by Holm's step-down method; NaN is no test.

    Args:
        p_values: of any shape.

    Returns:
        Corrected ones of the same shape: max over i <= rank of (m - i) p_(i), at most 1, with m
        tests and i counted from 0.
    """
    corrected = np.full(p_values.shape, np.nan)
    tested = ~np.isnan(p_values)
    p = p_values[tested]
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    own = np.empty(p.size)
    own[order] = np.minimum(steps, 1)
    corrected[tested] = own
    return corrected


def highest(score: Values, n: int) -> NDArray[np.bool_]:
    """Choose the n highest of ``score``; NaN is never chosen.

    Of equals that only some could be chosen of, none is: an order such as that of the layers
    would choose by what has nothing to do with the score. So fewer than n may be chosen.

    Args:
        score: of any shape.
        n: how many at most.

    Returns:
        bool of the same shape.
    """
    ranked = np.sort(score[~np.isnan(score)])[::-1]
    if ranked.size <= n:
        return ~np.isnan(score)
    return np.asarray(score > ranked[n])  # what equals the first one left out stays out with it


def lowest_entropy_neurons(data: xr.Dataset, minimum_coverage: float, n: int) -> xr.DataArray:
    """Name the neurons whose top tokens are most clearly of a language (lexicon, section 3.1.1).

    Of a neuron's two lists of tokens, those it raises and those it lowers, the one of lower
    entropy counts, among those with the minimum coverage: in a gated model a neuron's activation
    has either sign. The neuron is of the language with the largest share in that list, or of each
    of those with equal shares.

    Args:
        data: ``association(sign, neuron, language)`` and ``entropy(sign, neuron)`` in bits of one
            prior, NaN where no token was seen; ``coverage(sign, neuron)``.
        minimum_coverage: least share of seen top tokens.
        n: neurons of a language at most, those of lowest entropy (see ``highest``).

    Returns:
        bool [language, neuron].
    """
    entropy = data["entropy"].where(covered(data["coverage"], minimum_coverage)).round(DECIMALS)
    lowest = entropy.min("sign")
    counts = entropy == lowest
    share = data["association"].where(counts)
    top = (share >= share.max("language") - 10.0**-DECIMALS).any("sign")
    score = -lowest.where(top).transpose("language", "neuron")
    chosen = [highest(of_language, n) for of_language in score.to_numpy()]
    return score.copy(data=np.array(chosen, bool))


def _dataset(
    named: xr.DataArray,
    sizes: NDArray[np.int64],
    shared: NDArray[np.int64],
    by_layer: Values,
    in_all: Values,
) -> xr.Dataset:
    units = {"units": "neurons"}
    return xr.Dataset(
        {
            "neurons": (("method", "language", "layer"), sizes, units),
            "shared": ((*PAIR, "layer"), shared, units),
            **_variables(BY_LAYER, by_layer, (*PAIR, "layer")),
            **_variables(OVER_LAYERS, in_all, PAIR),
        },
        coords={
            **coordinates_of(named, "layer"),
            **coordinates_of(named, "language"),
            "method": named["method"].values,
            "method_other": named["method"].values,
        },
    )


def _variables(
    units: dict[str, str], values: Values, dims: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], Values, dict[str, str]]]:
    return {
        name: (dims, one, {"units": unit, "source": SOURCE})
        for (name, unit), one in zip(units.items(), values, strict=True)
    }
