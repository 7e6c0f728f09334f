"""Uncertainty of LAPE's selection, and the number of neurons selected by chance."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import xlogy

from neuroglot.measures.bootstrap import centred_percentiles, fold_weights, percentiles

VALUES = 1 << 25  # probabilities per block: 128 MB

Fired = Callable[[str, int], NDArray[np.floating]]
"""Maps a language and a layer to the number of tokens at which neurons fire, [fold, neuron]."""

Tokens = Mapping[str, NDArray[np.int64]]
"""The number of tokens in each fold, [fold], by language."""


def selection_interval(
    fired: Fired,
    tokens: Tokens,
    neurons: xr.DataArray,
    widths: Sequence[int],
    shares: tuple[float, float],
    replicates: int,
) -> NDArray[np.float64]:
    """Bound the numbers of language neurons by the bootstrap over folds of segments.

    Each replicate computes the bar and the selection again, as in ``lape.language_neurons``.
    Languages with the same number of folds use the same draws.

    Args:
        fired: counts by fold.
        tokens: number of tokens by fold.
        neurons: numbers of neurons for the original text, [language, layer].
        widths: number of neurons of each layer.
        shares: ``percentile`` and ``top_fraction``.
        replicates: resamples of the folds.

    Returns:
        ``bootstrap.centred_percentiles``, not below 0, [bound, language, layer + 1]. The last
        layer is the sum over all layers.
    """
    languages = [*map(str, neurons["language"].values)]
    counted = neurons.transpose("language", "layer").values.astype(np.float64)
    counted = np.concatenate([counted, counted.sum(1, keepdims=True)], axis=1)
    drawn = np.empty((replicates, *counted.shape))
    resamples = _resampled(fired, tokens, languages, widths, replicates)
    starts = np.cumsum([0, *widths[:-1]])
    for place, probability in enumerate(resamples):
        selected = _selected(probability, *shares)
        by_layer = np.add.reduceat(selected, starts, axis=1, dtype=np.int64)
        drawn[place] = np.column_stack([by_layer, by_layer.sum(1)])
    folds = min(int((tokens[language] > 0).sum()) for language in languages)
    bounds = centred_percentiles(drawn.reshape(replicates, -1).T, counted.ravel(), folds)
    return np.maximum(bounds, 0).reshape(2, *counted.shape)


def _resampled(
    fired: Fired, tokens: Tokens, languages: list[str], widths: Sequence[int], replicates: int
) -> Iterator[NDArray[np.float32]]:
    """Give activation probabilities of each resample, [language, neuron], ordered by layer."""
    neurons, ends = sum(widths), np.cumsum(widths)
    weights = {i: fold_weights(len(tokens[i]), replicates) for i in languages}
    block = max(1, VALUES // (len(languages) * neurons))
    for start in range(0, replicates, block):
        some = slice(start, min(start + block, replicates))
        probability = np.empty((some.stop - start, len(languages), neurons), np.float32)
        for place, language in enumerate(languages):
            drawn = weights[language][some]
            counted = np.maximum(drawn @ tokens[language], 1)[:, None].astype(np.float32)
            for layer, end in enumerate(ends):
                share = drawn.astype(np.float32) @ fired(language, layer) / counted
                probability[:, place, end - widths[layer] : end] = share
        yield from probability


def _selected(
    probability: NDArray[np.float32], percentile: float, top_fraction: float
) -> NDArray[np.bool_]:
    """Select as ``lape.language_neurons``, [language, neuron], but break ties arbitrarily."""
    rank = max(1, round(probability.size * percentile))
    bar = np.partition(probability, rank - 1, axis=None)[rank - 1]
    above = probability > bar
    candidates = np.flatnonzero(above.any(0))
    wanted = min(round(top_fraction * probability.shape[1]), len(candidates))
    chosen = np.zeros(probability.shape[1], bool)
    if wanted:
        entropy = _entropy(probability[:, candidates])
        chosen[candidates[np.argpartition(entropy, wanted - 1)[:wanted]]] = True
    selected: NDArray[np.bool_] = above & chosen
    return selected


def _entropy(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy over languages of [..., language, neuron], in nats; NaN if all are 0."""
    total = probability.sum(-2)
    entropy: NDArray[np.float32] = np.log(total) - xlogy(probability, probability).sum(-2) / total
    return entropy


def chance_selection(
    fired: Fired,
    tokens: Tokens,
    layers: int,
    bar: float,
    entropy: float,
    permutations: int,
    seed: int = 0,
) -> xr.Dataset:
    """Count the neurons that would be language-specific by chance.

    The languages' texts in a fold are parallel. Each permutation shuffles them among the languages,
    independently in every fold. It then counts the neurons that reach the standard of the observed
    selection: the probability is above the bar in some language, and the entropy is at most the
    highest entropy of a neuron that belongs to a language.
    Such a neuron belongs to every language in which it is above the bar.

    Args:
        fired: counts by fold.
        tokens: number of tokens by fold; a language may have fewer folds than another.
        layers: number of layers.
        bar: ``activation_bar`` of the observed selection.
        entropy: highest entropy of a neuron that belongs to a language in this selection, nats.
        permutations: number of permutations.
        seed: seed of the permutations. The result does not depend on the order of languages.

    Returns:
        ``chance_selected``: number of selected neurons; ``chance_neurons(layer)`` and
        ``chance_all_layers``: number of neurons per language, by layer and over all layers. Each
        is a mean with the 95 % percentiles ``_low`` and ``_high``. Numbers per language are
        averaged over permutations and languages.
    """
    languages = sorted(tokens)
    folds = max(map(len, tokens.values()))
    dealt = _permutations(len(languages), folds, permutations, seed)

    def padded(values: NDArray[np.number]) -> NDArray[np.float32]:
        whole = np.zeros((folds, *values.shape[1:]), np.float32)
        whole[: len(values)] = values
        return whole

    counted = dealt @ np.concatenate([padded(tokens[language]) for language in languages])
    selected = np.zeros((permutations, layers))
    specific = np.zeros((permutations, len(languages), layers))
    for layer in range(layers):
        sums = np.concatenate([padded(fired(language, layer)) for language in languages])
        block = max(1, VALUES // (len(languages) * sums.shape[1]))
        for start in range(0, permutations, block):
            some = slice(start, start + block)
            probability = dealt[some] @ sums / np.maximum(counted[some], 1)[..., None]
            above = probability > bar
            with np.errstate(invalid="ignore", divide="ignore"):
                chosen = above.any(1) & (_entropy(probability) <= np.float32(entropy))
            selected[some, layer] = chosen.sum(1)
            specific[some, :, layer] = (above & chosen[:, None]).sum(2)
    per_layer = specific.reshape(-1, layers).T
    return xr.Dataset(
        {
            **_summary("chance_selected", (), selected.sum(1)[None]),
            **_summary("chance_neurons", ("layer",), per_layer),
            **_summary("chance_all_layers", (), per_layer.sum(0)[None]),
        },
        attrs={"permutations": permutations},
    )


def _permutations(languages: int, folds: int, permutations: int, seed: int) -> NDArray[np.float32]:
    """Assign each (language, fold) to a language, 0 or 1, [permutation, language, pair]."""
    generator = np.random.default_rng(seed)
    order = np.tile(np.arange(languages), (permutations, folds, 1))
    given = generator.permuted(order, axis=2).transpose(0, 2, 1)  # [permutation, language, fold]
    dealt = np.zeros((permutations, languages, languages * folds), np.float32)
    np.put_along_axis(dealt, given * folds + np.arange(folds), 1, axis=2)
    return dealt


def _summary(
    name: str, dims: tuple[str, ...], values: NDArray[np.float64]
) -> dict[str, tuple[tuple[str, ...], NDArray[np.float64], dict[str, str]]]:
    """Compute the mean and the 95 % percentiles over the draws of [variable, draw]."""
    low, high = percentiles(values)
    return {
        f"{name}{end}": (dims, numbers if dims else numbers[0], {"units": "neurons"})
        for end, numbers in (("", values.mean(1)), ("_low", low), ("_high", high))
    }
