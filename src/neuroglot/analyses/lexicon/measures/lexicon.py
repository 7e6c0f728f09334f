"""Languages of a neuron's top tokens: probabilities, entropy and TF-IDF (lexicon, section 3)."""

from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.sparse import csr_array
from scipy.special import entr

from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures.selection import highest

Prior = Literal["corpus", "uniform"]
PRIORS: tuple[Prior, ...] = ("uniform", "corpus")
# The order of languages or neurons changes the last bits of sums. Rounding makes such sums equal
# again before ties are broken.
DECIMALS = 9


def language_given_token(count: xr.DataArray, prior: Prior) -> xr.DataArray:
    """Compute P(l|t), the probability of a language given a token (lexicon, section 5.1).

    ``corpus``: P(l|t) = P(t|l) P(l) / P(t), with P(t|l) = count(l, t) / count(l), the language's
    share P(l) of all tokens and the token's share P(t). ``uniform``: P(l|t) ∝ P(t|l), normalised
    over languages, so that the size of a language's text has no effect. (The paper's P(t) N_l is
    the same for all languages and cancels.)

    Args:
        count: occurrences [language, token] int64, with ascending ids as coordinate ``token``.
        prior: see above.

    Returns:
        [language, token] float64; sums to 1 over languages. Tokens that no language has are left
        out.

    Raises:
        NeuroglotError: a language has no tokens, the prior is unknown, token ids are out of order,
            or the dimensions differ.
    """
    count = _seen(count)
    if prior == "corpus":
        weight = count.astype(np.float64)  # P(t|l) P(l) = count(l, t) / count
    elif prior == "uniform":
        weight = count / count.sum("token")
    else:
        raise NeuroglotError(unknown_name("prior", prior, PRIORS))
    return (weight / weight.sum("language")).assign_attrs(
        units="probability", source="section 5.1", prior=prior
    )


def association(top_token: xr.DataArray, given: xr.DataArray) -> xr.DataArray:
    """Associate each neuron with languages: Σ_{j<k} P(l|t_j), normalised (lexicon, section 3.1).

    Args:
        top_token: ids of each neuron's top tokens [..., rank].
        given: P(l|t) [language, token], result of ``language_given_token``.

    Returns:
        [..., language] float64, sums to 1. Tokens missing from ``given`` contribute nothing; NaN
        where all of a neuron's tokens are missing.
    """
    total = _sum_over_top_tokens(top_token, given)
    size = total.sum("language")
    return (total / size.where(size > 0)).assign_attrs(units="probability", source="section 3.1")


def entropy(association: xr.DataArray) -> xr.DataArray:
    """Entropy over languages, -Σ_l p log2 p with 0 log 0 = 0, in bits (lexicon, section 3.1.1).

    Args:
        association: distributions [..., language].

    Returns:
        [...] between 0 and log2 of the number of languages; NaN where the association is NaN.
    """
    terms: xr.DataArray = xr.apply_ufunc(entr, association)
    bits: xr.DataArray = abs(terms.sum("language", skipna=False)) / np.log(2)  # abs: entr(1) is -0
    return bits.assign_attrs(units="bits", source="section 3.1.1")


def coverage(top_token: xr.DataArray, count: xr.DataArray) -> xr.DataArray:
    """Compute the share of each neuron's top tokens that occur in any language's text.

    Args:
        top_token: ids [..., rank].
        count: occurrences [language, token], see ``language_given_token``.

    Returns:
        [...] in [0, 1].
    """
    seen, _ = _places(top_token.to_numpy(), _seen(count)["token"].to_numpy())
    return (
        top_token.copy(data=seen)
        .mean("rank")
        .assign_attrs(units="share of top tokens", source="section 3.1")
    )


def tfidf(top_token: xr.DataArray, count: xr.DataArray) -> xr.DataArray:
    """Score each neuron's languages by Σ_{j<k} TF(t_j, l) IDF(t_j) (lexicon, section 3.2).

    TF(t, l) = count(l, t) / count(l); IDF(t) = ln(languages / languages with t).

    Args:
        top_token: ids of each neuron's top tokens [..., rank].
        count: occurrences [language, token], see ``language_given_token``.

    Returns:
        [..., language] float64, at least 0. Tokens that no language has contribute nothing.
    """
    count = _seen(count)
    frequency = count / count.sum("token")
    rarity = np.log(count.sizes["language"] / (count > 0).sum("language"))
    return _sum_over_top_tokens(top_token, frequency * rarity).assign_attrs(
        units="TF-IDF (natural logarithm)", source="section 3.2"
    )


def top_language_share(association: xr.DataArray) -> xr.DataArray:
    """Compute the share of neurons of both signs by most associated language (section 5.1).

    Args:
        association: [..., sign, neuron, language]; other dimensions, such as prior, are kept.

    Returns:
        [..., language], a share of the neurons with an association; sums to 1. If several languages
        share a neuron's greatest association, the neuron counts for each of them in equal parts.
    """
    greatest = association.max("language")
    top = association >= greatest - 10.0**-DECIMALS
    share = (top / top.sum("language")).where(greatest.notnull()).mean(("sign", "neuron"))
    return share.assign_attrs(units="share of neurons", source="section 5.1")


def covered(coverage: xr.DataArray, minimum_coverage: float) -> xr.DataArray:
    """Mark the neurons with the minimum coverage, bool of the shape of ``coverage``."""
    return coverage >= minimum_coverage - 10.0**-DECIMALS  # rounding may put 0.2 just below 0.2


def covered_association(
    association: xr.DataArray, coverage: xr.DataArray, minimum_coverage: float
) -> xr.DataArray:
    """Leave out neurons below the minimum coverage, unless all neurons are below it.

    If only one of a neuron's tokens was seen, such as a bracket, the languages with that token
    would look similar by accident.

    Args:
        association: [..., neuron, language].
        coverage: [..., neuron], see ``coverage``.
        minimum_coverage: minimum share of seen top tokens.

    Returns:
        ``association``, NaN where a neuron is left out.
    """
    known = covered(coverage, minimum_coverage)
    return association.where(known) if known.any() else association


def language_linkage(association: xr.DataArray) -> xr.DataArray:
    """Cluster languages by their associations with neurons, with average linkage.

    The distance of two languages is 1 - Pearson's r of their associations over all pairs of sign
    and neuron; r is 0 for a language whose associations are all equal. Cosines would all be large,
    because every language has a share in common tokens such as digits and punctuation; the
    correlation subtracts this common level. The paper groups the languages of neurons by eye
    (section 5.2).

    Args:
        association: [sign, neuron, language]. Neurons without an association are left out.

    Returns:
        SciPy's linkage [merge, column] of the languages in their order: the two merged clusters,
        their distance in [0, 2] and the number of languages in both. The tree's leaves are ordered
        so that near languages are adjacent. Empty for a single language.

    Raises:
        NeuroglotError: no neuron has an association.
    """
    profiles = association.transpose("language", "sign", "neuron").to_numpy()
    profiles = profiles.reshape(len(profiles), -1)
    profiles = profiles[:, np.isfinite(profiles).all(axis=0)]
    if not profiles.size:
        raise NeuroglotError(
            "no neuron is associated with a language: none of their top tokens occurs in the "
            "text that was counted; count more text or keep more top tokens"
        )
    pairs = language_distances(profiles)
    merges = linkage(pairs, "average", optimal_ordering=True) if len(pairs) else np.empty((0, 4))
    return xr.DataArray(
        merges,
        dims=("merge", "column"),
        attrs={"units": "1 − Pearson's r", "source": "section 5.2"},
    )


def language_distances(
    profiles: NDArray[np.float64], weights: NDArray[np.integer] | None = None
) -> NDArray[np.float64]:
    """Compute 1 - Pearson's r of every two rows; r is 0 for a row whose values are all equal.

    Args:
        profiles: one row per language.
        weights: how often each column counts; None: once.

    Returns:
        Condensed distances, as for SciPy's ``linkage``.
    """
    centred = profiles - np.average(profiles, axis=1, weights=weights)[:, None]
    centred[np.ptp(profiles, axis=1) == 0] = 0  # rounding of the mean leaves no zeros
    if weights is not None:
        centred *= np.sqrt(weights)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(norm > 0, norm, 1)
    correlation = np.clip(unit @ unit.T, -1, 1)
    pairs = np.triu_indices(len(profiles), 1)
    return np.asarray(np.abs(np.round(1 - correlation[pairs], DECIMALS)))


def lowest_entropy(
    entropy: xr.DataArray, coverage: xr.DataArray, minimum_coverage: float, n: int
) -> xr.DataArray:
    """Find the neurons of lowest entropy over languages (lexicon, section 3.1.1).

    The minimum coverage is needed because entropy ignores tokens outside the text. A neuron with
    only one seen token, in a single language, would have entropy 0 and rank before neurons whose
    whole list belongs to two related languages.

    Args:
        entropy: [..., neuron].
        coverage: [..., neuron], see ``coverage``.
        minimum_coverage: minimum share of seen top tokens.
        n: number of neurons to find.

    Returns:
        Neuron numbers [..., place] int32, lowest entropy first; in a tie the lowest number comes
        first. -1 where there are fewer than n neurons.
    """
    entropy, coverage = xr.broadcast(entropy.transpose(..., "neuron"), coverage)
    allowed = covered(coverage, minimum_coverage) & entropy.notnull()
    order = entropy.round(DECIMALS).where(allowed, np.inf).to_numpy()
    lowest = np.argsort(order, axis=-1, kind="stable")[..., :n].astype(np.int32)
    places = np.arange(lowest.shape[-1])
    lowest = np.where(places < allowed.sum("neuron").to_numpy()[..., None], lowest, -1)
    missing = [(0, 0)] * (lowest.ndim - 1) + [(0, n - len(places))]
    return xr.DataArray(
        np.pad(lowest, missing, constant_values=-1),
        dims=(*entropy.dims[:-1], "place"),
        coords=entropy.isel(neuron=0, drop=True).coords,
        attrs={"units": "index of neuron", "source": "section 3.1.1"},
    )


def lowest_entropy_neurons(data: xr.Dataset, minimum_coverage: float, n: int) -> xr.DataArray:
    """Assign neurons of lowest entropy to languages (lexicon, section 3.1.1).

    A neuron has two lists of tokens: those whose logits it raises and those it lowers. Both count,
    because in a gated model the activation can have either sign. Of the lists with the minimum
    coverage, the one of lower entropy is taken. The neuron is assigned to the language with the
    largest share in this list, or to all languages with equally large shares.

    Args:
        data: ``association(sign, neuron, language)`` and ``entropy(sign, neuron)`` in bits for one
            prior, NaN where no token was seen; ``coverage(sign, neuron)``.
        minimum_coverage: minimum share of seen top tokens.
        n: maximum number of neurons per language, by lowest entropy (see ``highest``).

    Returns:
        bool [language, neuron].
    """
    entropy = data["entropy"].where(covered(data["coverage"], minimum_coverage)).round(DECIMALS)
    lowest = entropy.min("sign")
    share = data["association"].where(entropy == lowest)
    top = (share >= share.max("language") - 10.0**-DECIMALS).any("sign")
    score = -lowest.where(top).transpose("language", "neuron")
    chosen = [highest(of_language, n) for of_language in score.to_numpy()]
    return score.copy(data=np.array(chosen, bool))


def highest_entropy(
    entropy: xr.DataArray, coverage: xr.DataArray, minimum_coverage: float
) -> xr.DataArray:
    """Find the neuron of highest entropy over languages (lexicon, section 5.2, figure 14).

    Arguments as in ``lowest_entropy``.

    Returns:
        Neuron numbers [...] int32; -1 where no neuron has the minimum coverage.
    """
    return lowest_entropy(-entropy, coverage, minimum_coverage, 1).isel(place=0)


def _seen(count: xr.DataArray) -> xr.DataArray:
    """Check counts, and order them [language, token] without tokens that no language has."""
    if set(count.dims) != {"language", "token"} or "token" not in count.coords:
        raise NeuroglotError(
            "expected counts [language, token] with the coordinate token, found "
            f"{count.dims} with {list(count.coords)}"
        )
    if (np.diff(count["token"].to_numpy()) <= 0).any():
        raise NeuroglotError("counts: token ids must ascend and be distinct; sort them by token")
    count = count.transpose("language", "token")
    if empty := count["language"].values[count.sum("token").to_numpy() == 0].tolist():
        raise NeuroglotError(
            f"no token of language {empty[0]!r} was counted, so no token's probability of being "
            "of it is known; give it text or leave it out"
        )
    return count[:, count.to_numpy().any(axis=0)]


def _places(
    top_token: NDArray[np.integer], token: NDArray[np.integer]
) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Mark the top tokens that are in ``token``, and give their indices in it."""
    place = np.minimum(np.searchsorted(token, top_token), len(token) - 1)
    seen = token[place] == top_token
    return seen, place[seen]


def _sum_over_top_tokens(top_token: xr.DataArray, weight: xr.DataArray) -> xr.DataArray:
    """Compute Σ_j weight[language, t_j] as the product of a sparse 0-1 matrix and ``weight``."""
    top_token = top_token.transpose(..., "rank")
    first = top_token.isel(rank=0, drop=True)
    lists = top_token.to_numpy().reshape(first.size, -1)
    seen, place = _places(lists, weight["token"].to_numpy())
    starts = np.concatenate([[0], seen.sum(axis=1).cumsum()])
    shape = (first.size, weight.sizes["token"])
    in_list = csr_array((np.ones(len(place)), place, starts), shape=shape)
    total = in_list @ np.ascontiguousarray(weight.transpose("token", "language").to_numpy())
    return xr.DataArray(
        total.reshape(*first.shape, -1),
        dims=(*first.dims, "language"),
        coords={**first.coords, **weight.isel(token=0, drop=True).coords},
    )
