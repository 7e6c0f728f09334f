"""Experts, clusters of a layer's neurons: those active at a token, and those of each language.

Functions on single tokens take numpy arrays and torch tensors on any device. They add in float64
and in one fixed order, so that a token's result is bitwise independent of the other tokens and of
the library. The other functions take and return xarray objects.
"""

import numpy as np
import xarray as xr
from array_api_compat import array_namespace, device, is_torch_array
from numpy.typing import NDArray

from neuroglot.analyses.experts.settings import Score
from neuroglot.measures.finite import check_finite
from neuroglot.measures.kernels import Array
from neuroglot.measures.matching import as_many
from neuroglot.measures.selection import first_highest

NO_EXPERT = -1
"""Expert of padding neurons, in layers with fewer neurons than the widest layer."""


def members(expert: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """List each expert's neurons in ascending order, [expert, size].

    Rows of smaller experts are padded with the number of neurons, one past the last index.
    ``expert_scores`` reads this index as a neuron whose value is 0.

    Args:
        expert: each neuron's expert, [neuron], between 0 and ``n`` - 1.
        n: number of experts.
    """
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
    """
    xp = array_namespace(act)
    if score == "absolute":
        act = xp.abs(act)
    elif score == "positive":
        act = xp.clip(act, min=0)
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
    """Compute z-scores over one layer's experts, float64 [row, expert] (experts, section 3).

    z = (score - mean) / std with the population standard deviation. If all scores of a layer are
    equal, for example in a silent ReLU layer, the z-scores are 0.
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
        NeuroglotError: a z-score is not finite.
    """
    check_finite(z, "an expert's score")
    return first_highest(z, max(1, round(fraction * z.shape[1])))


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


def expert_frequency(active_tokens: xr.DataArray, tokens: xr.DataArray) -> xr.DataArray:
    """Divide the number of tokens that activate an expert by all tokens (experts, section 3).

    Args:
        active_tokens: sums of ``active_count``, [language, layer, expert] or for one language.
        tokens: number of tokens read, [language] or for one language.

    Returns:
        float64 in [0, 1], of the shape of ``active_tokens``; NaN where there are no tokens.
    """
    frequency = (active_tokens / tokens).rename("expert_frequency").drop_attrs()
    return frequency.assign_attrs(
        units="share of tokens", source="figures 1 and 7 to 14, section 3"
    )


def high_frequency(frequency: xr.DataArray, threshold: float) -> xr.DataArray:
    """Mark the experts with a frequency of at least ``threshold`` (experts, section 4.3).

    The result, bool of the same shape, is false where there are no tokens.
    """
    high = (frequency >= threshold).rename("high_frequency")
    return high.assign_attrs(units="true or false", source="section 4.3")


def shared_by(high: xr.DataArray) -> xr.DataArray:
    """Count the languages in which an expert has ``high_frequency``, [layer, expert] (figure 3)."""
    shared = high.sum("language").astype(np.int32).rename("shared_by")
    return shared.assign_attrs(units="languages", source="figure 3, section 4.3")


def specific_experts(high: xr.DataArray) -> xr.DataArray:
    """Mark the experts with high frequency in only one language, [language, layer, expert]."""
    return high & (high.sum("language") == 1)


def neurons_of(expert: xr.DataArray, chosen: xr.DataArray) -> xr.DataArray:
    """Mark the neurons of chosen experts.

    Args:
        expert: each neuron's expert, [layer, neuron]; ``NO_EXPERT`` for padding neurons.
        chosen: bool [layer, expert] or [language, layer, expert].

    Returns:
        bool [layer, neuron] or [language, layer, neuron].
    """
    neurons: xr.DataArray = chosen.isel(layer=expert["layer"], expert=expert)
    return neurons.where(expert != NO_EXPERT, False)


def kept_neurons(expert: xr.DataArray, high: xr.DataArray) -> list[NDArray[np.int64]]:
    """List each layer's neurons of one language's high-frequency experts (experts, section 4.4).

    Arguments as ``neurons_of``; indices ascend.
    """
    kept = neurons_of(expert, high).transpose("layer", "neuron")
    return [np.flatnonzero(of_layer) for of_layer in kept]


def random_experts(high: xr.DataArray, seed: int) -> xr.DataArray:
    """Draw as many random experts in each layer as in ``high``, the control of section 4.4.

    Both are one language's, bool [layer, expert].
    """
    high = high.transpose("layer", "expert")
    every = np.ones(high.shape, bool)
    drawn = as_many(every, high.sum("expert").to_numpy(), np.random.default_rng(seed))
    return high.copy(data=drawn).rename("random_experts")


def as_many_of(frequency: xr.DataArray, high: xr.DataArray) -> xr.DataArray:
    """Choose as many experts in each layer as in ``high``, the most frequent of another language.

    How frequent an expert is decides which are kept, so no other experts of the language can be as
    frequent as these: there is no matched control. Another language's experts are a control for
    whose experts are kept. Languages share experts, so the two sets overlap.

    Args:
        frequency: the other language's, [layer, expert]; in a tie the lower expert comes first.
        high: the language's own high-frequency experts, bool [layer, expert].

    Returns:
        bool [layer, expert].
    """
    high = high.transpose("layer", "expert")
    values = frequency.transpose("layer", "expert").to_numpy()
    rank = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1)
    return high.copy(data=rank < high.sum("expert").to_numpy()[:, None]).rename("as_many_of")


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
