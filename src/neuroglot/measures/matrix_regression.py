"""Is the similarity of languages explained by their family, script and tokens?

Similarities of pairs share languages, so they are not independent, and ordinary tests of a
correlation or regression over pairs find effects where there are none. The tests here permute
languages: rows and columns of a matrix together (Mantel 1967), which keeps that dependence.
"""

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import factorial, prod

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.significance import STAR, holm_p_value

Values = NDArray[np.float64]

PREDICTORS = {
    "family": "same family",
    "script": "same script",
    "token_overlap": "token overlap",
}
"""What may make two languages similar, and how it is called in figures."""

UNITS = {
    "correlation": "Pearson's r",
    "correlation_p_value": "probability",
    "coefficient": "standard deviations",
    "coefficient_p_value": "probability",
}
REGRESSED: Mapping[str, str] = {
    "predictor": "what may make two languages similar",
    "correlation": "correlation, over pairs of languages, of similarity (its mean over layers or "
    "states, if there are several) with the predictor",
    "correlation_p_value": "p value of the correlation, by permutations of languages, adjusted for "
    "all predictors (Holm)",
    "coefficient": "standardised coefficient of the predictor in a regression of similarity (its "
    "mean over layers or states, if there are several) on all predictors, over pairs of languages",
    "coefficient_p_value": "p value of the coefficient, by permutations of languages, adjusted for "
    "all predictors (Holm)",
    "compared_languages": "languages whose pairs are regressed",
}
"""Descriptions of what ``matrix_regression`` gives."""
LAYERED = ("layer_correlation", "layer_coefficient")
BY_LAYER: Mapping[str, str] = {
    "layer_correlation": "correlation, over pairs of languages, of similarity in the layer or "
    "state with the predictor",
    "layer_coefficient": "standardised coefficient of the predictor in a regression of similarity "
    "in the layer or state on all predictors, over pairs of languages",
}
"""Descriptions of what ``regression_by_layer`` gives beside ``REGRESSED``."""

PERMUTATIONS = 9_999
CELLS = 1 << 20  # pairs of permuted matrices at a time: 8 MB
ROUNDING = 1e-9
SINGLE = 1e-6  # of the largest value: what states are known to
PAIR = ("language_a", "language_b")


def relations(
    families: Mapping[str, str], scripts: Mapping[str, str], overlap: xr.DataArray
) -> xr.DataArray:
    """Make the matrices of ``PREDICTORS``, float64 [predictor, language_a, language_b].

    Args:
        families: each language's family; its languages are compared, in this order.
        scripts: each language's script.
        overlap: result of ``overlap.token_overlap``, of these languages.
    """
    languages = list(families)
    shared = overlap.sel(language=languages, language_other=languages).to_numpy()
    same = [np.array([facts[language] for language in languages]) for facts in (families, scripts)]
    values = [*(np.equal.outer(facts, facts).astype(np.float64) for facts in same), shared]
    coords = {"predictor": list(PREDICTORS), **dict.fromkeys(PAIR, languages)}
    return xr.DataArray(np.stack(values), coords, [*coords])


def matrix_regression(
    similarity: xr.DataArray, predictors: xr.DataArray, seed: int = 0
) -> xr.Dataset:
    """Correlate similarities with each predictor, and regress them on all predictors.

    The units are the n (n - 1) / 2 pairs of n languages. All variables are standardised over pairs.
    A correlation is tested by permuting the predictor's languages (Mantel 1967). A coefficient is
    tested by double semi-partialing (Dekker, Krackhardt and Snijders 2007,
    doi:10.1007/s11336-007-9016-1): the part of the predictor that the other predictors do not
    explain is permuted, and the regression is made again. The statistic is the coefficient's t, as
    its squared partial correlation. Unlike permuting the similarities, this keeps what the other
    predictors explain. Tests are two-sided, and exact up to seven languages; beyond that,
    ``PERMUTATIONS`` random permutations and the observed order count.

    Args:
        similarity: [..., language_a, language_b], larger for languages that are more alike; the
            mean of both directions is taken, and the diagonal plays no role. A language that has
            no value is left out.
        predictors: [predictor, language_a, language_b], symmetric, of at least these languages.
        seed: seed of random permutations.

    Returns:
        ``correlation`` and ``coefficient``, [..., predictor]: Pearson's r, and standardised
        coefficients. NaN for a predictor that is the same for all pairs; a coefficient also for one
        that the others determine, or with too few pairs for the number of predictors.
        ``correlation_p_value`` and ``coefficient_p_value``, adjusted for the predictors (Holm).
        NaN also where no similarity could earn one below ``STAR``, even without the adjustment:
        with three languages, or where most permutations leave the predictor as it is.
        ``compared_languages``: n.
    """
    known = similarity.notnull() & (similarity[PAIR[0]] != similarity[PAIR[1]])
    outcomes = [name for name in similarity.dims if name not in PAIR]
    present = known.any([*outcomes, PAIR[1]]) & known.any([*outcomes, PAIR[0]]).rename(
        {PAIR[1]: PAIR[0]}
    )
    # Random permutations of sorted languages do not depend on the order in which they are given.
    languages = sorted(present[PAIR[0]].values[present.values].tolist())
    chosen = dict.fromkeys(PAIR, languages)
    ordered = similarity.sel(chosen).transpose(..., *PAIR)
    of_pairs = np.triu_indices(len(languages), 1)
    both = ordered.to_numpy() + ordered.to_numpy().swapaxes(-1, -2)
    shape = [ordered.sizes[name] for name in outcomes]
    y = both[..., of_pairs[0], of_pairs[1]].reshape(prod(shape), len(of_pairs[0]))
    matrices = predictors.sel(chosen).transpose("predictor", *PAIR).to_numpy().astype(np.float64)
    x = matrices[:, of_pairs[0], of_pairs[1]]
    results: dict[str, list[Values]] = {name: [] for name in UNITS}
    for place in range(len(x)):
        for name, given in (("correlation", x[:0]), ("coefficient", np.delete(x, place, axis=0))):
            values, p = _tested(y, x[place], given, len(languages), seed)
            results[name].append(values)
            results[f"{name}_p_value"].append(p)
    coords = {name: ordered[name] for name in outcomes if name in ordered.coords}
    data = xr.Dataset(
        {
            name: ((*outcomes, "predictor"), np.stack(values, axis=-1).reshape(*shape, len(x)))
            for name, values in results.items()
        },
        {**coords, "predictor": predictors["predictor"]},
    )
    for name, units in UNITS.items():
        adjusted = holm_p_value(data[name], "predictor") if "p_value" in name else data[name]
        data[name] = adjusted.assign_attrs(units=units)
    data["compared_languages"] = ((), len(languages), {"units": "languages"})
    return data


def regression_by_layer(
    similarity: xr.DataArray, predictors: xr.DataArray, layers: str
) -> xr.Dataset:
    """Regress the mean over layers, with tests, and each layer's similarities, without.

    Layers are many and much alike, so they are not tested one by one.

    Args:
        similarity: see ``matrix_regression``; [..., ``layers``, language_a, language_b].
        predictors: likewise.
        layers: dimension of layers or states.

    Returns:
        What ``matrix_regression`` gives for the mean, and ``layer_correlation`` and
        ``layer_coefficient``, [..., ``layers``, predictor].
    """
    of_layers = matrix_regression(similarity, predictors)[["correlation", "coefficient"]]
    named = of_layers.rename({name: f"layer_{name}" for name in of_layers})
    return matrix_regression(similarity.mean(layers), predictors).assign(named.data_vars)


def _tested(
    y: Values, x: Values, others: Values, languages: int, seed: int
) -> tuple[Values, Values]:
    """Regress on a predictor and others, and test the predictor's coefficient.

    Args:
        y: outcomes [outcome, pair]; NaN where a pair has no value.
        x: the predictor [pair].
        others: the other predictors [predictor, pair].
        languages: number of languages; pairs are in the order of ``numpy.triu_indices``.
        seed: seed of random permutations.

    Returns:
        Standardised coefficients and p values, [outcome].
    """
    nothing = np.full((2, len(y)), np.nan)
    if len(x) < 3:
        return nothing[0], nothing[1]
    x, others, y = _standardised(x), _standardised(others), _standardised(y)
    basis = _basis(np.vstack([np.ones(len(x)), others[np.isfinite(others).all(axis=1)]]))
    unexplained = _residual(x, basis)
    if not unexplained @ unexplained > ROUNDING * len(x) or len(x) <= len(basis) + 1:
        return nothing[0], nothing[1]
    y = _residual(y, basis)
    coefficient = y @ unexplained / (unexplained @ unexplained)
    size = (y**2).sum(axis=1)
    y = y / np.sqrt(np.where(size > ROUNDING * len(x), size, np.nan))[:, None]
    observed = _partial_squares(unexplained[None], y, basis)[0]
    as_large, unchanged, count = np.zeros(len(y)), 0, 0
    matrix = np.zeros((languages, languages))
    of_pairs = np.triu_indices(languages, 1)
    matrix[of_pairs] = unexplained
    matrix += matrix.T
    for orders in _orders(languages, seed, max(1, CELLS // len(x))):
        permuted = matrix[orders[:, of_pairs[0]], orders[:, of_pairs[1]]]
        squares = _partial_squares(permuted, y, basis)
        as_large += (squares >= observed - ROUNDING).sum(axis=0)
        unchanged += int((np.abs(permuted - unexplained).max(axis=1) <= ROUNDING).sum())
        count += len(orders)
    earned = np.isfinite(observed) & (unchanged / count < STAR)
    return coefficient, np.where(earned, as_large / count, np.nan)


def _partial_squares(permuted: Values, y: Values, basis: Values) -> Values:
    """Squared correlations with outcomes given the other predictors, [permutation, outcome].

    Args:
        permuted: the predictor [permutation, pair].
        y: residuals of length 1, [outcome, pair].
        basis: see ``_basis``.
    """
    rest = _residual(permuted, basis)
    size = (rest**2).sum(axis=1, keepdims=True)
    squares: Values = (rest @ y.T) ** 2 / np.where(size > ROUNDING * y.shape[1], size, np.inf)
    return squares


def _orders(languages: int, seed: int, block: int) -> Iterator[NDArray[np.intp]]:
    """List permutations of the languages, the observed order first: blocks [permutation, place]."""
    observed = np.arange(languages)
    if factorial(languages) <= PERMUTATIONS:
        yield np.array([*permutations(observed)])
        return
    generator = np.random.default_rng(seed)
    yield observed[None]
    for start in range(0, PERMUTATIONS, block):
        size = min(block, PERMUTATIONS - start)
        yield generator.permuted(np.tile(observed, (size, 1)), axis=1)


def _standardised(values: Values) -> Values:
    """Subtract the mean and divide by the standard deviation; NaN where all values are equal.

    They count as equal if they differ by no more than single precision may round.
    """
    spread, size = (
        np.ptp(values, axis=-1, keepdims=True),
        np.abs(values).max(axis=-1, keepdims=True),
    )
    level = spread <= SINGLE * size
    deviation = np.where(level, np.nan, values.std(axis=-1, keepdims=True))
    standardised: Values = (values - values.mean(axis=-1, keepdims=True)) / deviation
    return standardised


def _basis(vectors: Values) -> Values:
    """Orthonormal vectors that span the given ones, [vector, pair]."""
    _, singular, basis = np.linalg.svd(vectors, full_matrices=False)
    spanning: Values = basis[singular > ROUNDING * singular[0]]
    return spanning


def _residual(values: Values, basis: Values) -> Values:
    """What the basis does not explain, in the shape of ``values`` [..., pair]."""
    residual: Values = values - (values @ basis.T) @ basis
    return residual
