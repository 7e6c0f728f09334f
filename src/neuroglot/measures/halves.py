"""Compares languages across halves of a parallel text, beside a language's own two halves.

A divergence of two estimated distributions is above zero even if they are the same distribution,
and the more so, the fewer tokens they are estimated from. Two things make such numbers readable.
All languages have equally many tokens (``equal_tokens``), and every comparison is between two
halves of the text: language a on one half of the segments, b on the other. The same comparison of
a language with itself is then a floor. Like the numbers beside it, it contains the difference
between other segments, and the noise of as many tokens. A divergence at the floor says nothing.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.bootstrap import centred_percentiles, fold_weights

Values = NDArray[np.float64]

Compared = Callable[[Sequence[Values], Sequence[Values]], Values]
"""Compares sums over two halves, each a list of [replicate, language, ...]: [replicate, ...]."""

SPLITS = 10
CELLS = 1 << 20  # sums per block: 8 MB


def equal_tokens(
    active: xr.DataArray, tokens: xr.DataArray, seed: int = 0
) -> tuple[xr.DataArray, xr.DataArray]:
    """Draw as many tokens of every language in each fold as the language with the fewest has there.

    Tokenizers write some languages with many more tokens than others. More tokens give smaller
    divergences, and fewer experts that reach a threshold by chance. Common segments do not mend
    this, and whole segments cannot be left out without comparing other contents. So tokens are left
    out within each fold. They are drawn without replacement, so the tokens that activate an expert
    are hypergeometric: of ``tokens``, ``active`` activate it, and ``fewest`` are drawn.

    Counts do not tell which experts are active at the same token, so experts are drawn one by one.
    Each expert's number is distributed exactly as if tokens were drawn; only the dependence between
    experts is lost. A divergence depends on that through the sum of a layer's counts alone, which
    is 1 part in the number of experts of its noise. One draw is taken, not the mean of several,
    which would leave languages with many tokens less noise than the one with the fewest.

    Args:
        active: tokens that activate each expert, [language, fold, layer, expert].
        tokens: all tokens, [language, fold], with the coordinate ``language``.
        seed: seed of the draw. A language's draw does not depend on the order of languages.

    Returns:
        ``active`` and ``tokens`` of the tokens drawn, int64 [language, fold, layer, expert] and
        [language, fold], of the folds that all languages have. Languages without any token stay so,
        and are not counted as those with the fewest.
    """
    present = tokens.sum("fold") > 0
    fewest = tokens.where(present).min("language").fillna(0).astype(np.int64)
    common = fewest > 0
    equal = (present * fewest).isel(fold=common)
    tokens = tokens.isel(fold=common)
    counts = active.isel(fold=common).transpose("language", "fold", "layer", "expert")
    drawn = counts.astype(np.int64)
    for language in counts["language"].values:
        generator = np.random.default_rng([seed, *str(language).encode()])
        here = {"language": language}
        chosen = generator.hypergeometric(
            counts.sel(here).to_numpy(),
            (tokens.sel(here) - counts.sel(here)).transpose("fold", ...).to_numpy(),
            equal.sel(here).to_numpy()[:, None, None],
        )
        drawn.loc[here] = chosen
    return drawn, equal


def random_halves(folds: int, seed: int = 0) -> NDArray[np.intp]:
    """Draw ``SPLITS`` pairs of disjoint halves of the folds, [split, half, fold of the half]."""
    generator = np.random.default_rng(seed)
    orders = np.stack([generator.permutation(folds) for _ in range(SPLITS)])
    return orders[:, : folds // 2 * 2].reshape(SPLITS, 2, -1)


def across_halves(
    sums: Sequence[Values], compared: Compared, replicates: int, seed: int = 0
) -> tuple[Values, Values]:
    """Compare languages across random halves of the folds, with intervals.

    The folds are split into two halves at random, ``SPLITS`` times; of an odd number, one is left
    out. The estimate is the mean over splits.

    Intervals are by the bootstrap over folds. A resample draws folds within each half, so that no
    fold is on both sides, and the same folds for all languages. It adds noise, which raises
    distances, so the bounds are ``bootstrap.centred_percentiles``, with the folds of a half as
    units.

    Args:
        sums: one or more sums by fold, each [language, fold, ...].
        compared: compares two halves.
        replicates: number of resamples; rounded up to a multiple of ``SPLITS``.
        seed: seed of splits and resamples.

    Returns:
        The estimates, and the low and high ends of their 95 % intervals, [bound, ...]. All NaN with
        fewer than two folds, and intervals with fewer than four.
    """
    folds = sums[0].shape[1]
    half, drawn = folds // 2, -(-replicates // SPLITS)
    if not half:
        whole = [of.sum(1)[None] for of in sums]
        with np.errstate(invalid="ignore"):
            nothing = np.full_like(compared(whole, whole)[0], np.nan)
        return nothing, np.stack([nothing, nothing])
    splits = random_halves(folds, seed)
    once = np.concatenate([compared(*_of_halves(sums, halves)) for halves in splits])
    estimate: Values = once.mean(axis=0)
    values = np.empty((SPLITS, drawn, *estimate.shape))
    size = max(1, CELLS // max(of[:, 0].size for of in sums))
    for split, halves in enumerate(splits):
        weights = np.split(fold_weights(half, 2 * drawn, seed + split), 2)
        for start in range(0, drawn, size):
            some = slice(start, start + size)
            values[split, some] = compared(*_of_halves(sums, halves, *(w[some] for w in weights)))
    values += estimate - once[:, None]
    flat = values.reshape(SPLITS * drawn, -1)
    bounds = centred_percentiles(flat.T, estimate.ravel(), half)
    return estimate, bounds.reshape(2, *estimate.shape)


def _of_halves(
    sums: Sequence[Values], halves: NDArray[np.intp], *weights: Values
) -> list[list[Values]]:
    """Sum over the folds of each half, [replicate, language, ...].

    Args:
        sums: each [language, fold, ...].
        halves: the folds of each half, [half, fold of the half].
        weights: for each half, how often its folds are drawn, [replicate, fold of the half]; left
            out: once.
    """
    by_half = weights or [np.ones((1, halves.shape[1]))] * 2
    return [
        [np.tensordot(drawn, of[:, own], (1, 1)) for of in sums]
        for own, drawn in zip(halves, by_half, strict=True)
    ]
