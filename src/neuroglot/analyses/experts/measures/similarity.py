"""Similarity of languages by their use of experts, beside that of two halves of one language."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.halves import across_halves

Values = NDArray[np.float64]

METRICS = {
    "euclidean": "Euclidean distance",
    "kl_divergence": "nats",
    "jensen_shannon": "bits",
    "pearson": "Pearson's r",
}
"""Units of the metrics that compare two languages."""

RANGES = {
    "euclidean": (0, np.inf),
    "kl_divergence": (0, np.inf),
    "jensen_shannon": (0, 1),
    "pearson": (-1, 1),
}
"""The smallest and the largest value of each metric."""

JEFFREYS = 0.5


def similarity(
    active: xr.DataArray, tokens: xr.DataArray, replicates: int = 1000, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Compare every two languages by each of ``METRICS`` (experts, section 4.2).

    Languages are compared by ``halves.across_halves``: the similarity of a and b is the mean over
    splits, and over a on the first half with b on the second and the reverse. On the diagonal a
    language's own halves are compared.

    Args:
        active: tokens that activate each expert, [language, fold, layer, expert], from
            ``halves.equal_tokens``.
        tokens: all tokens, [language, fold], likewise.
        replicates: number of resamples; rounded up to a multiple of ``SPLITS``.
        seed: seed of splits and resamples.

    Returns:
        The similarities and the ends of their 95 % intervals, each [metric, language_a,
        language_b]; see ``euclidean``, ``kl_divergence``, ``jensen_shannon`` and ``pearson``. NaN
        where a language has no tokens; all NaN with fewer than two folds, and intervals with fewer
        than four.
    """
    counts = active.transpose("language", "fold", "layer", "expert").to_numpy().astype(np.float64)
    read = tokens.transpose("language", "fold").to_numpy().astype(np.float64)
    counts[read.sum(axis=1) == 0] = np.nan
    estimate, (low, high) = across_halves([counts, read], _compared, replicates, seed)
    for place, (least, most) in enumerate(RANGES.values()):
        low[place], high[place] = np.clip((low[place], high[place]), least, most)
    ids = active["language"].to_numpy()
    coords = {"metric": list(METRICS), "language_a": ids, "language_b": ids}
    attrs = {
        "units": "; ".join(f"{metric}: {units}" for metric, units in METRICS.items()),
        "source": "figures 2, 5 and 6, section 4.2",
    }
    compared, lowest, highest = (
        xr.DataArray(array, coords, [*coords], attrs=attrs) for array in (estimate, low, high)
    )
    return compared, lowest, highest


def closeness(similarity: xr.DataArray) -> xr.DataArray:
    """Turn the sign of distances and divergences, so that more is always more similar."""
    return similarity.where(similarity["metric"] == "pearson", -similarity)


def euclidean(first: Values, second: Values) -> Values:
    """Compute the Euclidean distance of two languages' frequency matrices (experts, figure 2).

    √Σ_layer,expert (f_a - f_b)², [..., a, b] from frequencies [..., language, layer, expert]: those
    of language a in ``first``, and of b in ``second``.
    """
    a, b = _flat(first), _flat(second)
    squares = (a**2).sum(axis=-1)[..., :, None] + (b**2).sum(axis=-1)[..., None, :]
    distance: Values = np.sqrt(np.maximum(squares - 2 * a @ b.swapaxes(-1, -2), 0))
    return distance


def kl_divergence(first: Values, second: Values) -> Values:
    """Compute KL(a‖b) of the layers' ``distributions``, summed over layers (experts, figure 5).

    Σ_layer,expert p_a ln(p_a / p_b), [..., a, b] in nats. Not symmetric.

    Args:
        first: a's counts [..., language, layer, expert].
        second: b's counts, likewise.
    """
    p, q = _flat(distributions(first)), _flat(distributions(second))
    of_a = (p * np.log(p)).sum(axis=-1)[..., :, None]
    divergence: Values = np.maximum(of_a - p @ np.log(q).swapaxes(-1, -2), 0)
    return divergence


def jensen_shannon(first: Values, second: Values) -> Values:
    """Compute the Jensen-Shannon divergence of ``distributions``, averaged over layers.

    H(m) - H(p_a) / 2 - H(p_b) / 2 with m = (p_a + p_b) / 2 (Lin 1991, doi:10.1109/18.61115),
    [..., a, b] in bits: from 0 for equal distributions to 1 for disjoint ones. Symmetric if
    ``first`` is ``second``. Arguments as ``kl_divergence``.
    """
    layers = first.shape[-2]
    p, q = _flat(distributions(first)), _flat(distributions(second))
    of_a, of_b = _entropy(p)[..., :, None], _entropy(q)[..., None, :]
    mixed = [_entropy((p[..., [a], :] + q) / 2) for a in range(p.shape[-2])]
    divergence: Values = (np.stack(mixed, axis=-2) - of_a / 2 - of_b / 2) / layers
    return np.clip(divergence, 0, 1)


def distributions(counts: Values) -> Values:
    """Turn counts into a distribution over each layer's experts, [..., layer, expert].

    ½ is added to each count, the prior of Jeffreys, and counts are divided by their sum. A
    divergence is then finite, and an expert that one language uses and another does not counts for
    as much as the number of tokens warrants. With a tiny number instead of ½, such experts would
    decide everything: a single token would add as much as the tiny number's logarithm makes it.
    A layer without any active expert is uniform.
    """
    smoothed = counts + JEFFREYS
    p: Values = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return p


def pearson(first: Values, second: Values) -> Values:
    """Correlate two languages' frequencies in each layer and average over layers (figure 6).

    A layer is left out of the mean if all its experts are equally frequent in one of the two
    languages. NaN if every layer is left out.

    Args:
        first: a's frequencies or counts, [..., language, layer, expert].
        second: b's, likewise.

    Returns:
        Pearson's r, [..., a, b] in [-1, 1].
    """
    r = np.clip(_unit(first) @ _unit(second).swapaxes(-1, -2), -1, 1)  # [..., layer, a, b]
    layers = np.isfinite(r).sum(axis=-3)
    mean: Values = np.nansum(r, axis=-3) / np.where(layers > 0, layers, np.nan)
    return mean


def _compared(first: Sequence[Values], second: Sequence[Values]) -> Values:
    """Compare languages across two halves by all metrics, [replicate, metric, a, b].

    Args:
        first: of the first half, counts [replicate, language, layer, expert] and tokens
            [replicate, language].
        second: likewise.
    """
    first_share, second_share = (
        counts / tokens[..., None, None] for counts, tokens in (first, second)
    )
    symmetric = [
        euclidean(first_share, second_share),
        jensen_shannon(first[0], second[0]),
        pearson(first[0], second[0]),
    ]
    distance, divergence, r = (0.5 * (there + there.swapaxes(1, 2)) for there in symmetric)
    kl = 0.5 * (kl_divergence(first[0], second[0]) + kl_divergence(second[0], first[0]))
    return np.stack([distance, kl, divergence, r], axis=1)


def _flat(values: Values) -> Values:
    return values.reshape(*values.shape[:-2], -1)


def _entropy(p: Values) -> Values:
    """-Σ p log2 p over the last axis, in bits."""
    entropy: Values = -(p * np.log2(p)).sum(axis=-1)
    return entropy


def _unit(frequency: Values) -> Values:
    """Centre each layer and divide by its length, [..., layer, language, expert]; NaN if level."""
    centred = frequency - frequency.mean(axis=-1, keepdims=True)
    level = (frequency == frequency[..., :1]).all(axis=-1, keepdims=True)
    norm = np.where(level, np.nan, np.linalg.norm(centred, axis=-1, keepdims=True))
    unit: Values = (centred / norm).swapaxes(-3, -2)
    return unit
