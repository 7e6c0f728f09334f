"""Which neurons move a language's hidden states into the shared latent space, and out of it.

The transfer paper's scores and ranking. Arrays are numpy's, of one layer and language at a time;
sums are float64. What the latent space itself looks like is measured in ``latent``.
"""

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.finite import check_finite

# Values of the output projection, or products with them, in float64 at a time.
BLOCK_VALUES = 1 << 22


def centroid(states: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average a language's states over segments: C_L = mean_k h_{L,k} (transfer, latent spaces).

    Args:
        states: [..., segment, hidden].

    Returns:
        float64 [..., hidden].

    Raises:
        NeuroglotError: there is no segment, or a state is not finite.
    """
    if states.ndim < 2 or not states.shape[-2]:
        raise NeuroglotError(
            f"a centroid needs the states of one segment or more, found {list(states.shape)}"
        )
    mean: NDArray[np.float64] = states.mean(axis=-2, dtype=np.float64)
    check_finite(mean, "a state")
    return mean


def shared_centroid(
    pivot: NDArray[np.floating], other: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Average the midpoints of parallel states: mean_k ½(h_{pivot,k} + h_{L,k}) (transfer).

    Args:
        pivot: the pivot language's states [..., segment, hidden].
        other: the other language's, of the same segments in the same order.

    Returns:
        float64 [..., hidden].

    Raises:
        NeuroglotError: shapes differ, or as ``centroid``.
    """
    if pivot.shape != other.shape:
        raise NeuroglotError(
            f"states of the pivot {list(pivot.shape)} and of the other language "
            f"{list(other.shape)} differ in shape: take the same segments of both"
        )
    return (centroid(pivot) + centroid(other)) / 2


def norm_scale(
    out: NDArray[np.floating], epsilon: float, center: bool = False
) -> NDArray[np.float64]:
    """Take the factor by which the norm after an FFN scales its output at each row.

    RMSNorm: 1 / √(mean(out²) + ε). LayerNorm (``center``): 1 / √(var(out) + ε).

    Args:
        out: the FFN's own output before that norm, [row, hidden].
        epsilon: the norm's ε.
        center: whether the norm subtracts the mean.

    Returns:
        float64 [row].

    Raises:
        NeuroglotError: an output is not finite, or a row has nothing to scale and ε is 0.
    """
    check_finite(out, "an FFN's output")
    wide = out.astype(np.float64)
    if center:
        wide -= wide.mean(axis=-1, keepdims=True)
    power: NDArray[np.float64] = np.mean(wide**2, axis=-1) + epsilon
    if not (power > 0).all():
        raise NeuroglotError(
            f"a norm with epsilon {epsilon} cannot scale an FFN's output without variation; "
            "use the model's own epsilon"
        )
    scale: NDArray[np.float64] = 1 / np.sqrt(power)
    return scale


def transfer_score(
    mid: NDArray[np.floating],
    act: NDArray[np.floating],
    values: NDArray[np.floating],
    centroid: NDArray[np.floating],
    gain: NDArray[np.floating] | None = None,
    scale: NDArray[np.floating] | None = None,
    center: bool = False,
) -> NDArray[np.float64]:
    """Score how far each neuron of a layer turns the residual stream towards a centroid (transfer).

    mean_k [cos(h_k + a_ki v_i, C) - cos(h_k, C)]. The cosines follow exactly from h·C, h·v, v·C
    and ‖v‖²; no a_ki v_i is built, and cosines that differ in the eighth digit are not subtracted.

    With a norm between the FFN and the residual addition (sandwich norms, as in Gemma 2 and 3) a
    neuron's contribution is not a v. That norm is then linearised at the recorded row: its factor
    s_k is held at what it is with all neurons, so that the contributions s_k a_ki (g ∘ v_i) of all
    neurons (and, under LayerNorm, of centred v_i), with the norm's and the projection's biases, add
    up to what the layer adds.

    Args:
        mid: h, the residual stream with attention added and the FFN not yet, [row, hidden].
        act: activations of the same rows, [row, neuron].
        values: ``W_out`` [hidden, neuron], whose columns are the value vectors.
        centroid: C, of the state after the layer, [hidden].
        gain: g, the norm's factors as it applies them (Gemma: 1 + weight), [hidden]; None for a
            norm without factors.
        scale: s, see ``norm_scale``, [row]; None where no norm follows the FFN.
        center: whether that norm subtracts the mean (LayerNorm).

    Returns:
        float64 [neuron], difference of cosines in [-2, 2], averaged over rows. A vector of zeros
        has the cosine 0 with everything.

    Raises:
        NeuroglotError: shapes differ, there is no row, a value is not finite, or a gain or
            centring is given without the norm's scale.
    """
    _check_score(mid, act, values, centroid, gain, scale, center)
    h, C = mid.astype(np.float64), centroid.astype(np.float64)
    length = np.linalg.norm(C)
    C = C / length if length > 0 else C
    h_norm = np.linalg.norm(h, axis=1)[:, None]
    before = np.divide(h @ C[:, None], h_norm, out=np.zeros_like(h_norm), where=h_norm > 0)
    sides = np.vstack([h, C])
    score = np.empty(act.shape[1])
    step = max(1, BLOCK_VALUES // max(mid.shape))
    for start in range(0, len(score), step):
        some = slice(start, start + step)
        v = _contributed(values[:, some], gain, center)
        a = act[:, some].astype(np.float64)
        if scale is not None:
            a *= scale.astype(np.float64)[:, None]
        products = sides @ v
        vv = np.einsum("hn,hn->n", v, v)
        check_finite(vv, "a value vector")
        score[some] = _turn(a, products[:-1], products[-1], vv, h_norm, before).mean(axis=0)
    return score


def _contributed(
    values: NDArray[np.floating], gain: NDArray[np.floating] | None, center: bool
) -> NDArray[np.float64]:
    """Turn value vectors [hidden, neuron] into what a unit of activation adds to the stream."""
    v = values.astype(np.float64)
    if center:
        v -= v.mean(axis=0)
    if gain is not None:
        v *= gain.astype(np.float64)[:, None]
    return v


def _turn(
    a: NDArray[np.float64],  # [row, neuron]
    hv: NDArray[np.float64],  # h·v [row, neuron]
    vC: NDArray[np.float64],  # v·C with ‖C‖ = 1 [neuron]
    vv: NDArray[np.float64],  # ‖v‖² [neuron]
    h_norm: NDArray[np.float64],  # ‖h‖ [row, 1]
    before: NDArray[np.float64],  # cos(h, C) [row, 1]
) -> NDArray[np.float64]:
    """Compute cos(h + a v, C) - cos(h, C), [row, neuron].

    With n = ‖h + a v‖ it is a v·C / n - cos(h, C) (n - ‖h‖) / n, and n - ‖h‖ is the difference of
    the squares divided by n + ‖h‖: no two nearly equal numbers are subtracted.
    """
    growth = a * (2 * hv + a * vv)  # n² - ‖h‖²
    n = np.sqrt(np.maximum(h_norm**2 + growth, 0))
    somewhere = n > 0
    n = np.where(somewhere, n, 1)
    turn = (a * vC - before * growth / (n + h_norm)) / n
    # Where a v all but cancels h, rounding could lead beyond what a cosine can be.
    bounded: NDArray[np.float64] = np.clip(turn, -1 - before, 1 - before)
    return np.where(somewhere, bounded, -before)


def layer_ranges(layers: int, type1_layers: float) -> tuple[range, range]:
    """Divide the layers between the two types of transfer neurons (transfer, detection).

    Args:
        layers: the model's.
        type1_layers: share of them, from the first, in which Type 1 is looked for; 20 of 32 in
            the paper.

    Returns:
        Type 1's layers, round(share · layers), and Type 2's, the rest; at least one each.

    Raises:
        NeuroglotError: fewer than two layers, or a share that is not between 0 and 1.
    """
    if layers < 2:
        raise NeuroglotError(f"the two types of transfer neurons need two layers, found {layers}")
    if not 0 < type1_layers < 1:
        raise NeuroglotError(f"type1_layers is {type1_layers}: set it between 0 and 1")
    lower = min(max(round(type1_layers * layers), 1), layers - 1)
    return range(lower), range(lower, layers)


def top_neurons(
    score: NDArray[np.floating], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rank the neurons of all layers together and keep the highest (transfer, detection).

    Args:
        score: [layer, neuron]; NaN where a neuron is not scored, as outside a type's layers.
        n: how many to keep.

    Returns:
        Their layers, neurons and scores, [rank], the highest first; of equal scores the lower
        layer, then the lower neuron comes first.

    Raises:
        NeuroglotError: ``n`` is below 1 or above the number of neurons that have a score.
    """
    scored = int((~np.isnan(score)).sum())
    if not 1 <= n <= scored:
        raise NeuroglotError(
            f"top_n asks for {n} neurons, but {scored} have a score in this type's layers: "
            f"set it between 1 and {scored}"
        )
    highest = np.argsort(-score, axis=None, kind="stable")[:n]  # NaN last
    layer, neuron = np.unravel_index(highest, score.shape)
    return layer.astype(np.int64), neuron.astype(np.int64), score[layer, neuron].astype(np.float64)


def correlation_ratio(
    values: NDArray[np.floating], group: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Say how much of a neuron's variance is explained by whether a row is in a group (transfer).

    η² = SS_between / SS_total. With the deviations d from the mean over all n rows, and n₁ rows in
    the group, SS_between = (Σ_group d)² n / (n₁ (n - n₁)) and SS_total = Σ d².

    Args:
        values: activations [row, neuron].
        group: whether a row is in the group, [..., row]; several groups share the sums of squares.

    Returns:
        float64 [..., neuron] in [0, 1]; 0 where the values are all equal.

    Raises:
        NeuroglotError: rows differ in number, a value is not finite, or a group has all rows or
            none.
    """
    _check_groups(values, group)
    inside = group.sum(axis=-1, keepdims=True)
    rows = len(values)
    ratio = np.empty((*group.shape[:-1], values.shape[1]))
    step = max(1, BLOCK_VALUES // rows)
    for start in range(0, values.shape[1], step):
        some = slice(start, start + step)
        d = values[:, some].astype(np.float64)
        d -= d[0].copy()  # so that equal values leave exactly nothing
        d -= d.mean(axis=0)
        total = np.einsum("rn,rn->n", d, d)
        between = (group.astype(np.float64) @ d) ** 2 * rows / (inside * (rows - inside))
        ratio[..., some] = np.minimum(between / np.where(total > 0, total, np.inf), 1)
    return ratio


def _check_score(
    mid: NDArray[np.floating],
    act: NDArray[np.floating],
    values: NDArray[np.floating],
    centroid: NDArray[np.floating],
    gain: NDArray[np.floating] | None,
    scale: NDArray[np.floating] | None,
    center: bool,
) -> None:
    if mid.ndim != 2 or act.ndim != 2 or not len(mid):
        raise NeuroglotError(
            "a transfer score needs states [row, hidden] and activations [row, neuron], found "
            f"{list(mid.shape)} and {list(act.shape)}"
        )
    (rows, hidden), neurons = mid.shape, act.shape[1]
    expected = {
        "activations": (act, (rows, neurons)),
        "value vectors": (values, (hidden, neurons)),
        "centroid": (centroid, (hidden,)),
        "gain": (gain, (hidden,)),
        "scale": (scale, (rows,)),
    }
    for name, (found, shape) in expected.items():
        if found is not None and found.shape != shape:
            raise NeuroglotError(
                f"{name} of a transfer score: expected {list(shape)}, found {list(found.shape)}; "
                "take all of the same layer and rows"
            )
    if scale is None and (gain is not None or center):
        raise NeuroglotError(
            "a transfer score with a norm's gain or centring needs its scale too; see norm_scale"
        )
    for name, found in {"a state": mid, "an activation": act, "the centroid": centroid}.items():
        check_finite(found, name)


def _check_groups(values: NDArray[np.floating], group: NDArray[np.bool_]) -> None:
    if group.shape[-1] != len(values):
        raise NeuroglotError(
            f"{len(values)} rows of activations, but groups of {group.shape[-1]} rows: "
            "take both of the same rows"
        )
    if not group.any(axis=-1).all() or group.all(axis=-1).any():
        raise NeuroglotError(
            "a correlation ratio needs rows inside and outside the group; add a language that is "
            "not in it"
        )
    check_finite(values, "an activation")
