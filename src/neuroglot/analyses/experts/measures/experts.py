"""Experts, which are clusters of neurons: the active experts of a token, and sharing by languages.

Functions on single tokens take numpy arrays and torch tensors on any device. They add in float64
and in one fixed order, so that a token's result is bitwise independent of the other tokens and of
the library. The other functions take and return xarray objects.
"""

from typing import get_args

import numpy as np
import xarray as xr
from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import NDArray
from scipy.special import rel_entr

from neuroglot.analyses.experts.settings import Score
from neuroglot.errors import NeuroglotError, unknown_name
from neuroglot.measures.bootstrap import FOLDS
from neuroglot.measures.controls import matched_random
from neuroglot.measures.finite import check_finite
from neuroglot.measures.kernels import Array

SCORES: tuple[Score, ...] = get_args(Score)
SMOOTHING = 1e-12

NO_EXPERT = -1
"""Expert of padding neurons, in layers with fewer neurons than the widest layer."""


def members(expert: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """List each expert's neurons in ascending order, [expert, size].

    Rows of smaller experts are padded with the number of neurons, one past the last index.
    ``expert_scores`` reads this index as a neuron whose value is 0.

    Args:
        expert: each neuron's expert, [neuron], between 0 and ``n`` - 1.
        n: number of experts.

    Raises:
        NeuroglotError: a neuron's expert is out of this range.
    """
    if len(expert) == 0 or expert.min() < 0 or expert.max() >= n:
        raise NeuroglotError(
            f"a partition of {len(expert)} neurons does not number its experts 0 to {n - 1}: "
            "make it again with the same experts_per_layer"
        )
    sizes = np.bincount(expert, minlength=n)
    listed = np.full((n, sizes.max()), len(expert), dtype=np.int64)
    listed[np.arange(sizes.max()) < sizes[:, None]] = np.argsort(expert, kind="stable")
    return listed


def expert_scores(act: Array, members: Array, score: Score = "signed") -> Array:
    """Sum the values of each expert's neurons, float64 [row, expert] (experts, section 3).

    Args:
        act: one layer's activations [row, neuron]; half precision is also summed in float64.
        members: result of ``members``, an integer array of the same library and device.
        score: ``signed`` sums the values, ``absolute`` their magnitudes, and ``positive`` the
            positive values. The paper defines the sum for ReLU models, which have no negative
            values.

    Raises:
        NeuroglotError: ``score`` is none of these.
    """
    xp = array_namespace(act)
    if score == "absolute":
        act = xp.abs(act)
    elif score == "positive":
        act = xp.clip(act, min=0)
    elif score != "signed":
        raise NeuroglotError(unknown_name("score", score, SCORES))
    experts, size = members.shape
    if experts * size > act.shape[1]:
        act = xp.concat([act, xp.zeros_like(act[:, :1])], axis=1)
    by_place = xp.reshape(xp.permute_dims(members, (1, 0)), (-1,))  # by place in the expert
    values = xp.reshape(xp.take(act, by_place, axis=1), (act.shape[0], size, experts))
    total = xp.astype(values[:, 0], xp.float64, copy=True)
    for place in range(1, size):
        total += values[:, place]
    return total


def standardise(scores: Array) -> Array:
    """Compute each row's z-scores over one layer's experts (experts, section 3).

    z = (score - mean) / std with the population standard deviation. If all scores of a layer are
    equal, for example in a silent ReLU layer, the z-scores are 0.

    Args:
        scores: result of ``expert_scores``, float64 [row, expert].
    """
    xp = array_namespace(scores)
    experts = scores.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):  # ``active`` reports overflows
        centred = scores - _row_sums(scores)[:, None] / experts
        std = _square_root(_row_sums(centred * centred) / experts)
    # Compare maximum and minimum: the rounded mean of equal numbers may differ from them.
    level = (xp.max(scores, axis=1) == xp.min(scores, axis=1)) | (std == 0)
    z = centred / xp.where(level, xp.ones_like(std), std)[:, None]
    return xp.where(level[:, None], xp.zeros_like(z), z)


def active(z: Array, fraction: float) -> Array:
    """Choose each row's active experts among the experts of all layers (experts, section 3).

    Args:
        z: z-scores of all layers, concatenated, [row, layer x expert].
        fraction: share of the experts, above 0 and at most 1; the paper's 800 of 32 x 256 are
            0.09765625.

    Returns:
        bool of the shape of ``z``: the ``round(fraction * experts)`` highest of each row, at least
        one. In a tie the lower index comes first: the lower layer, then the lower expert.

    Raises:
        NeuroglotError: the fraction is out of range, or a z-score is not finite.
    """
    xp = array_namespace(z)
    if not 0 < fraction <= 1:
        raise NeuroglotError(f"active_fraction is {fraction}: set it above 0 and at most 1")
    check_finite(z, "an expert's score")
    count = max(1, round(fraction * z.shape[1]))
    lowest = _highest(z, count)[:, None]
    above = z > lowest
    tied = z == lowest
    places = count - xp.sum(above, axis=1)[:, None]
    return above | (tied & (xp.cumulative_sum(xp.astype(tied, xp.int64), axis=1) <= places))


def active_count(z: Array, fraction: float, folds: Array) -> Array:
    """Count the rows in which each expert is active; counts of disjoint sets of rows add up.

    Args:
        z: results of ``standardise`` for each layer, [row, layer, expert].
        fraction: see ``active``.
        folds: float32 [fold, row] of the same library and device, 1 if the row belongs to the fold
            of segments, else 0.

    Returns:
        int64 [layer, fold, expert].

    Raises:
        NeuroglotError: see ``active``.
    """
    xp = array_namespace(z)
    rows, layers, experts = z.shape
    chosen = active(xp.reshape(z, (rows, layers * experts)), fraction)
    counts = folds @ xp.astype(chosen, xp.float32)  # exact up to 16,777,216 rows
    by_fold = xp.reshape(xp.astype(counts, xp.int64), (folds.shape[0], layers, experts))
    return xp.permute_dims(by_fold, (1, 0, 2))


def tokens_by_fold(place: NDArray[np.integer], folds: int) -> NDArray[np.int64]:
    """Count the tokens of each fold of segments, [fold].

    Args:
        place: place of each token's segment, [token]; see ``tokens.Tokens``.
        folds: number of folds; some may have no token.
    """
    return np.bincount(place % FOLDS, minlength=folds).astype(np.int64)


def expert_frequency(active_tokens: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Divide the number of tokens that activate an expert by all tokens (experts, section 3).

    Args:
        active_tokens: sums of ``active_count``, [language, layer, expert] or for one language.
        tokens: number of tokens read, [language] or for one language.

    Returns:
        float64 in [0, 1], of the shape of ``active_tokens``; NaN where there are no tokens.
    """
    frequency = (active_tokens / tokens).rename("expert_frequency")
    frequency.attrs = {"units": "share of tokens", "source": "figures 1 and 7 to 14, section 3"}
    return frequency


def euclidean(frequency: xr.DataArray) -> xr.DataArray:
    """Compute the Euclidean distance of two languages' frequency matrices (experts, figure 2).

    √Σ_layer,expert (f_a - f_b)², [language_a, language_b].
    """
    values = _matrices(frequency)
    distance = np.stack([np.sqrt(((one - values) ** 2).sum(axis=(1, 2))) for one in values])
    return _between_languages(frequency, distance, "euclidean", "Euclidean distance", "figure 2")


def kl_divergence(frequency: xr.DataArray) -> xr.DataArray:
    """Compute KL(a‖b) of the layers' expert distributions, summed over layers (experts, figure 5).

    Each layer's frequencies are divided by their sum, smoothed by adding 1e-12 to each expert, and
    divided by their sum again. A layer without any active expert becomes uniform, so that the
    divergence of two such layers is 0.

    Returns:
        [language_a, language_b] in nats, of a from b: not symmetric, and 0 on the diagonal.
    """
    values = _matrices(frequency)
    total = values.sum(axis=2, keepdims=True)
    smoothed = values / np.where(total == 0, 1, total) + SMOOTHING
    p = smoothed / smoothed.sum(axis=2, keepdims=True)
    divergence = np.stack([rel_entr(one, p).sum(axis=(1, 2)) for one in p])
    return _between_languages(
        frequency, np.maximum(divergence, 0), "kl_divergence", "nats", "figure 5"
    )


def pearson(frequency: xr.DataArray) -> xr.DataArray:
    """Correlate two languages' frequencies in each layer and average over layers (figure 6).

    A layer is left out of the mean if all its experts are equally frequent in one of the two
    languages. NaN if every layer is left out.

    Returns:
        Pearson's r, [language_a, language_b] in [-1, 1].
    """
    values = _matrices(frequency)
    centred = values - values.mean(axis=2, keepdims=True)
    level = (values == values[..., :1]).all(axis=2, keepdims=True)
    norm = np.where(level, np.nan, np.linalg.norm(centred, axis=2, keepdims=True))
    unit = (centred / norm).transpose(1, 0, 2)  # [layer, language, expert]
    r = np.clip(unit @ unit.transpose(0, 2, 1), -1, 1)  # [layer, language_a, language_b]
    found = np.isfinite(r).sum(axis=0)
    mean = np.nansum(r, axis=0) / np.where(found > 0, found, np.nan)
    return _between_languages(frequency, mean, "pearson", "Pearson's r", "figure 6")


def similarity(frequency: xr.DataArray) -> xr.DataArray:
    """Compare every two languages by all three metrics (experts, section 4.2).

    Args:
        frequency: result of ``expert_frequency``, [language, layer, expert].

    Returns:
        [metric, language_a, language_b], see ``euclidean``, ``kl_divergence`` and ``pearson``. NaN
        where a language has no tokens.
    """
    metrics = [euclidean(frequency), kl_divergence(frequency), pearson(frequency)]
    names = [str(metric.name) for metric in metrics]
    compared = xr.concat(metrics, xr.DataArray(names, dims="metric", name="metric"))
    units = (
        f"{name}: {metric.attrs['units']}" for name, metric in zip(names, metrics, strict=True)
    )
    compared.attrs = {"units": "; ".join(units), "source": "figures 2, 5 and 6, section 4.2"}
    return compared.rename("similarity")


def high_frequency(frequency: xr.DataArray, threshold: float) -> xr.DataArray:
    """Mark the experts with a frequency of at least ``threshold`` (experts, section 4.3).

    Returns:
        bool of the shape of ``frequency``; false where there are no tokens.
    """
    high = (frequency >= threshold).rename("high_frequency")
    high.attrs = {"units": "true or false", "source": "section 4.3"}
    return high


def shared_by(frequency: xr.DataArray, high_frequency: float = 0.05) -> xr.DataArray:
    """Count the languages in which each expert has high frequency (experts, figure 3).

    Args:
        frequency: result of ``expert_frequency``, [language, layer, expert].
        high_frequency: minimum share of tokens.

    Returns:
        int32 [layer, expert].
    """
    shared = (frequency >= high_frequency).sum("language").astype(np.int32).rename("shared_by")
    shared.attrs = {"units": "languages", "source": "figure 3, section 4.3"}
    return shared


def shared_histogram(shared_by: xr.DataArray, n_languages: int) -> xr.DataArray:
    """Count the experts by the number of languages that share them (experts, table 3).

    Args:
        shared_by: result of the function ``shared_by``, [layer, expert].
        n_languages: number of languages.

    Returns:
        int64 [languages], for 0 to ``n_languages`` languages.
    """
    counts = np.bincount(shared_by.to_numpy().reshape(-1), minlength=n_languages + 1)
    return xr.DataArray(
        counts.astype(np.int64),
        dims="languages",
        coords={"languages": ("languages", np.arange(n_languages + 1), {"units": "languages"})},
        name="shared_histogram",
        attrs={"units": "experts", "source": "table 3, appendix D"},
    )


def own_experts(high: xr.DataArray) -> xr.DataArray:
    """Mark the experts with high frequency in only one of the languages.

    Args:
        high: result of ``high_frequency``, bool [language, layer, expert].

    Returns:
        bool of the shape of ``high``.
    """
    return high & (high.sum("language") == 1)


def neurons_of(expert: xr.DataArray, chosen: xr.DataArray) -> xr.DataArray:
    """Mark the neurons of chosen experts.

    Args:
        expert: each neuron's expert, [layer, neuron]; ``NO_EXPERT`` for padding neurons.
        chosen: bool [language, layer, expert].

    Returns:
        bool [language, layer, neuron].
    """
    neurons: xr.DataArray = chosen.isel(layer=expert["layer"], expert=expert)
    return neurons.where(expert != NO_EXPERT, False)


def kept_neurons(expert: xr.DataArray, high: xr.DataArray) -> list[NDArray[np.int64]]:
    """List the neurons of one language's high-frequency experts (experts, section 4.4).

    Args:
        expert: each neuron's expert, [layer, neuron]; ``NO_EXPERT`` for padding neurons.
        high: the experts to keep, bool [layer, expert].

    Returns:
        The ascending indices of the neurons to keep, by layer.
    """
    of = expert.transpose("layer", "neuron").to_numpy()
    keep = high.transpose("layer", "expert").to_numpy()
    return [
        np.flatnonzero(kept[own] & (own != NO_EXPERT)) for kept, own in zip(keep, of, strict=True)
    ]


def random_experts(high: xr.DataArray, seed: int) -> xr.DataArray:
    """Draw as many random experts in each layer as in ``high``, the control of section 4.4.

    Args:
        high: one language's high-frequency experts, bool [layer, expert].
        seed: seed of the draw.

    Returns:
        bool [layer, expert].
    """
    high = high.transpose("layer", "expert")
    drawn = matched_random(high.to_numpy(), np.random.default_rng(seed), "all")
    return high.copy(data=drawn).rename("random_experts")


def relative_speed(measured: xr.DataArray) -> xr.DataArray:
    """Divide each variant's speed by the full model's in the same round (experts, section 4.4).

    Args:
        measured: tokens per second, [language, variant, seed, round]; the variant ``full`` has
            only the first seed.

    Returns:
        [language, variant, seed, round] for the other variants; NaN where a variant has fewer
        seeds.
    """
    full = measured.sel(variant="full", drop=True).isel(seed=0, drop=True)
    relative = measured.drop_sel(variant="full") / full
    return relative.transpose("language", "variant", "seed", "round")


def _row_sums(x: Array) -> Array:
    """Sum each row by halving: the order of additions is the same for all libraries and rows."""
    xp = array_namespace(x)
    while x.shape[1] > 1:
        half = x.shape[1] // 2
        halved = x[:, :half] + x[:, half : 2 * half]
        x = xp.concat([halved, x[:, 2 * half :]], axis=1) if x.shape[1] % 2 else halved
    return x[:, 0]


def _square_root(x: Array) -> Array:
    """Compute correctly rounded square roots; on a CPU, torch rounds about 1 % of them wrongly."""
    xp = array_namespace(x)
    if is_torch_array(x) and str(device(x)) == "cpu":
        return xp.asarray(np.sqrt(x.numpy()))
    return xp.sqrt(x)


def _highest(z: Array, count: int) -> Array:
    """Get each row's ``count``-th highest value; a full sort would take several times as long."""
    if is_torch_array(z):
        return z.topk(count, dim=1, sorted=False).values.amin(dim=1)
    return np.partition(z, z.shape[1] - count, axis=1)[:, z.shape[1] - count]


def _matrices(frequency: xr.DataArray) -> NDArray[np.float64]:
    ordered = frequency.transpose("language", "layer", "expert").to_numpy()
    return np.ascontiguousarray(ordered, dtype=np.float64)


def _between_languages(
    frequency: xr.DataArray, values: NDArray[np.float64], name: str, units: str, figure: str
) -> xr.DataArray:
    pair = ("language_a", "language_b")
    compared = xr.DataArray(values, dims=pair, name=name)
    compared.attrs = {"units": units, "source": f"{figure}, section 4.2"}
    if "language" not in frequency.coords:
        return compared
    return compared.assign_coords({side: frequency["language"].to_numpy() for side in pair})
