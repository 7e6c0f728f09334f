"""Uncertainty of neurons' languages: bootstrap over folds of the counted text's segments.

A resample lacks some of the text's tokens, so its coverage and entropy are lower than the text's.
All intervals are therefore ``bootstrap.centred_percentiles``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import xlogy

from neuroglot.analyses.lexicon.measures.lexicon import DECIMALS
from neuroglot.measures.bootstrap import (
    centred_percentiles,
    fold_weights,
    named_bounds,
    ratio_interval,
)

Values = NDArray[np.float64]
CELLS = 1 << 22  # values per block: 32 MB


@dataclass(frozen=True)
class FoldCounts:
    """Token counts by fold of segments; combinations without an entry have the count 0.

    Attributes:
        languages: ids.
        language, token, fold, count: ``[entry]``, index of the language, id of the token, index
            of the fold, and occurrences; each combination at most once, in any order.
    """

    languages: list[str]
    language: NDArray[np.integer]
    token: NDArray[np.integer]
    fold: NDArray[np.integer]
    count: NDArray[np.int64]

    @classmethod
    def read(cls, counted: xr.Dataset) -> "FoldCounts":
        """Take ``fold_language``, ``fold_token``, ``fold`` and ``fold_count [entry]``."""
        names = ("fold_language", "fold_token", "fold", "fold_count")
        languages = [str(language) for language in counted["language"].to_numpy()]
        return cls(languages, *(counted[name].to_numpy() for name in names))

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1

    def of(self, languages: list[str]) -> "FoldCounts":
        """Select some languages, in this order."""
        places = {language: place for place, language in enumerate(languages)}
        language = np.array([places.get(known, -1) for known in self.languages])[self.language]
        keep = language >= 0
        return FoldCounts(
            languages, language[keep], self.token[keep], self.fold[keep], self.count[keep]
        )

    def totals(self) -> Values:
        """Number of tokens ``[language, fold]``."""
        totals = np.zeros((len(self.languages), self.folds))
        np.add.at(totals, (self.language, self.fold), self.count)
        return totals


def token_share_interval(
    counts: FoldCounts, replicates: int, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Bound each language's share of all tokens, low and high [language]."""
    totals = xr.DataArray(
        counts.totals(), {"language": counts.languages}, dims=("language", "fold")
    )
    low, high = ratio_interval(totals, totals.sum("language"), replicates, seed=seed)
    units = {"units": "share of tokens"}
    return low.assign_attrs(units), high.assign_attrs(units)


def lexicon_intervals(
    top_token: xr.DataArray,
    counts: FoldCounts,
    estimate: xr.Dataset,
    replicates: int = 200,
    seed: int = 0,
) -> xr.Dataset:
    """Give 95 % intervals of entropy, coverage and share of neurons (lexicon, 3.1 and 5.1).

    In every resample of folds, tokens are counted and neurons associated with languages as in the
    whole text. All neurons and languages use the same draws.

    Args:
        top_token: ids of each neuron's top tokens, [sign, neuron, rank].
        counts: token counts of the text.
        estimate: measures of the whole text: ``entropy`` (prior, sign, neuron), ``coverage``
            (sign, neuron) and ``top_language_share`` (prior, language).
        replicates: resamples of the folds.
        seed: seed of the resamples.

    Returns:
        ``_low`` and ``_high`` of each of the three measures; NaN where the estimate is NaN.
    """
    ordered = top_token.transpose("sign", "neuron", "rank")
    lists = ordered.to_numpy().reshape(-1, ordered.shape[2])
    text = _Text(lists, counts)
    weights = fold_weights(counts.folds, replicates, seed)
    folds = int(counts.totals().any(axis=0).sum())
    priors = [str(prior) for prior in estimate["prior"].to_numpy()]
    drawn = [
        _measured(text, weights[start : start + text.step], priors)
        for start in range(0, replicates, text.step)
    ]
    dims = {
        "entropy": ("prior", "sign", "neuron"),
        "coverage": ("sign", "neuron"),
        "top_language_share": ("prior", "language"),
    }
    largest = {"entropy": np.log2(len(counts.languages))}
    intervals: dict[str, xr.DataArray] = {}
    for name, order in dims.items():
        whole = estimate[name].transpose(*order)
        values = np.concatenate([block[name] for block in drawn], axis=-1).reshape(-1, replicates)
        with np.errstate(invalid="ignore"):
            bounds = centred_percentiles(values, whole.to_numpy().ravel(), folds)
        bounds = np.clip(bounds, 0, largest.get(name, 1.0)).reshape(2, *whole.shape)
        intervals |= named_bounds(name, (whole.copy(data=bound) for bound in bounds))
    return xr.Dataset(intervals)


class _Text:
    """Counts of the lists' tokens in a text, as sparse matrices.

    A pair is a language and a token of the lists that occurs in the language's text.
    """

    def __init__(self, lists: NDArray[np.integer], counts: FoldCounts) -> None:
        self.tokens, place = np.unique(lists, return_inverse=True)
        self.lists = place.reshape(lists.shape)
        index = np.minimum(np.searchsorted(self.tokens, counts.token), len(self.tokens) - 1)
        known = self.tokens[index] == counts.token
        key = index[known] * len(counts.languages) + counts.language[known]
        pairs, row = np.unique(key, return_inverse=True)
        self.languages = len(counts.languages)
        self.pair_token, self.pair_language = np.divmod(pairs, self.languages)
        self.counts = csr_array(
            (counts.count[known].astype(np.float64), (row, counts.fold[known])),
            shape=(len(pairs), counts.folds),
        )
        self.totals = counts.totals()
        # the pairs of token t are first[t] to first[t + 1]
        self.first = np.searchsorted(self.pair_token, np.arange(len(self.tokens) + 1))
        self.step = max(1, CELLS // max(len(pairs), 1))

    def given(self, drawn: Values, prior: str) -> Values:
        """Compute P(l|t) of every pair and resample, ``[pair, replicate]``, 0 if not drawn."""
        weight = self.counts @ drawn.T
        if prior == "uniform":
            total = self.totals @ drawn.T  # [language, replicate]
            weight /= np.where(total > 0, total, 1)[self.pair_language]
        of_token = self._by_token(weight)
        weight /= np.where(of_token > 0, of_token, 1)[self.pair_token]
        return np.asarray(weight)

    def seen(self, drawn: Values) -> Values:
        """Give 1 for tokens in any language's resampled text, else 0, ``[token, replicate]``."""
        return (self._by_token(self.counts @ drawn.T) > 0).astype(np.float64)

    def _by_token(self, of_pairs: Values) -> Values:
        """Sum over the languages of each token, ``[token, replicate]``."""
        pairs = len(of_pairs)
        return np.asarray(csr_array((np.ones(pairs), np.arange(pairs), self.first)) @ of_pairs)

    def blocks(self, replicates: int) -> Iterator["_Block"]:
        """Cut the neurons into blocks, to bound the memory needed."""
        step = max(1, CELLS // (self.languages * replicates))
        for start in range(0, len(self.lists), step):
            lists = self.lists[start : start + step]
            lengths = np.diff(self.first)[lists].ravel()
            # the pairs of every token of every list, one after the other
            ends = lengths.cumsum()
            within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
            pair = np.repeat(self.first[lists].ravel(), lengths) + within
            neuron = np.repeat(np.arange(len(lists)), lengths.reshape(lists.shape).sum(axis=1))
            cell = neuron * self.languages + self.pair_language[pair]
            cells, row = np.unique(cell, return_inverse=True)
            shape = (len(cells), len(self.pair_token))
            chosen = csr_array((np.ones(len(pair)), (row, pair)), shape=shape)
            yield _Block(start + np.arange(len(lists)), chosen, *np.divmod(cells, self.languages))


@dataclass(frozen=True)
class _Block:
    """A block of neurons; a cell is a neuron and a language with any of the neuron's tokens.

    Attributes:
        neurons: ``[neuron]``, numbers of the neurons.
        chosen: ``[cell, pair]``, matrix that sums pairs to cells.
        neuron, language: ``[cell]``, ascending; index in ``neurons``, and index of the language.
    """

    neurons: NDArray[np.intp]
    chosen: csr_array
    neuron: NDArray[np.integer]
    language: NDArray[np.integer]


def _measured(text: _Text, drawn: Values, priors: list[str]) -> dict[str, Values]:
    """Compute the three measures in every resample, ``[..., replicate]``."""
    replicates, neurons = len(drawn), len(text.lists)
    seen = text.seen(drawn)
    coverage = np.empty((neurons, replicates))
    entropy = np.full((len(priors), neurons, replicates), np.nan)
    share = np.zeros((len(priors), text.languages, replicates))
    by_prior = [text.given(drawn, prior) for prior in priors]
    for block in text.blocks(replicates):
        coverage[block.neurons] = seen[text.lists[block.neurons]].mean(axis=1)
        if not len(block.neuron):
            continue
        known, first, number = np.unique(block.neuron, return_index=True, return_counts=True)
        of_language = csr_array(
            (np.ones(len(block.language)), (block.language, np.arange(len(block.language)))),
            shape=(text.languages, len(block.language)),
        )
        for prior, given in enumerate(by_prior):
            total = block.chosen @ given  # [cell, replicate]
            size = np.add.reduceat(total, first, axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                # -Σ p log p with p = total / size
                nats = np.log(size) - np.add.reduceat(xlogy(total, total), first, axis=0) / size
            entropy[prior, block.neurons[known]] = nats / np.log(2)
            association = total / np.repeat(np.where(size > 0, size, 1), number, axis=0)
            greatest = np.maximum.reduceat(association, first, axis=0)
            least = np.where(greatest > 0, greatest - 10.0**-DECIMALS, np.inf)
            top = (association >= np.repeat(least, number, axis=0)).astype(np.float64)
            ties = np.maximum(np.add.reduceat(top, first, axis=0), 1)
            share[prior] += of_language @ (top / np.repeat(ties, number, axis=0))
    share /= np.maximum(np.isfinite(entropy).sum(axis=1), 1)[:, None]
    return {"coverage": coverage, "entropy": entropy, "top_language_share": share}
