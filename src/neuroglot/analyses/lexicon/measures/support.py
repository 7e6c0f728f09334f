"""Support for clusters of languages: how often resampled neurons give the same cluster."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage

from neuroglot.analyses.lexicon.measures.lexicon import language_distances

SEED = 0

Values = NDArray[np.float64]


def clades(tree: Values) -> list[frozenset[int]]:
    """List the languages below each merge of SciPy's linkage ``[merge, column]``, as indices."""
    below = [frozenset([leaf]) for leaf in range(len(tree) + 1)]
    for first, second in tree[:, :2].astype(int):
        below.append(below[first] | below[second])
    return below[len(tree) + 1 :]


def clade_support(tree: Values, association: xr.DataArray, replicates: int) -> Values:
    """Compute the share of bootstrap samples of neurons whose tree has each cluster.

    This is Felsenstein's bootstrap of phylogenetic trees, with neurons as characters.

    Args:
        tree: SciPy's linkage ``[merge, column]`` of the languages.
        association: what the tree was made from, ``[sign, neuron, language]``; NaN where left out.
        replicates: number of samples; each has as many neurons as there are, with repetition.

    Returns:
        Shares in [0, 1], ``[merge]``; 1 for the last merge, which has all languages.
    """
    profiles = association.transpose("language", "neuron", "sign").values
    languages, neurons, signs = profiles.shape
    profiles = profiles.reshape(languages, -1)
    known = np.isfinite(profiles).all(axis=0)
    profiles = profiles[:, known]
    generator = np.random.default_rng(SEED)
    clusters, count = clades(tree), np.zeros(len(tree))
    for _ in range(replicates):
        times = np.bincount(generator.integers(neurons, size=neurons), minlength=neurons)
        weights = np.repeat(times, signs)[known]
        if weights.any():
            pairs = language_distances(profiles, weights)
            resampled = set(clades(linkage(pairs, "average")))
            count += [clade in resampled for clade in clusters]
    return count / replicates
