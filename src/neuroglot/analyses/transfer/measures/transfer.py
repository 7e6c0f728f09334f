"""Scores of neurons that move a language's states into the shared latent space, or out of it.

Scores and ranking are those of the transfer paper; "(transfer, …)" names its sections. Arrays are
numpy arrays for one layer and language, if nothing else is said. Sums are float64. The module
``latent`` measures the latent spaces themselves.
"""

import numpy as np
from numpy.typing import NDArray

from neuroglot.errors import NeuroglotError
from neuroglot.measures.finite import check_finite

BLOCK_VALUES = 1 << 22  # values of W_out, or products with them, at a time: 32 MB in float64


def centroid(states: NDArray[np.floating]) -> NDArray[np.float64]:
    """Average a language's states over segments: C_L = mean_k h_{L,k} (transfer, latent spaces).

    Args:
        states: [..., segment, hidden], finite, of one segment or more.

    Returns:
        float64 [..., hidden].
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
        pivot: the pivot language's states, see ``centroid``.
        other: the other language's states, with the same segments in the same order.

    Returns:
        float64 [..., hidden].
    """
    if pivot.shape != other.shape:
        raise NeuroglotError(
            f"states of the pivot {list(pivot.shape)} and of the other language "
            f"{list(other.shape)} differ in shape: take the same segments of both"
        )
    return (centroid(pivot) + centroid(other)) / 2


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

    mean_k [cos(h_k + a_ki v_i, C) - cos(h_k, C)]. The scores are computed from h·C, h·v, v·C and
    ‖v‖², without building a_ki v_i and without subtracting nearly equal cosines.

    If a norm follows the FFN before the residual addition (sandwich norms, as in Gemma 2 and 3), a
    neuron's contribution is not a v. The norm is then linearised at the recorded row: its factor
    s_k is held at the value that it has for the output of all neurons together. A neuron's
    contribution is s_k a_ki (g ∘ v_i), with centred v_i under LayerNorm. These contributions and
    the biases of the norm and the projection add up to what the layer adds.

    Args:
        mid: h, the residual stream after attention and before the FFN, [row, hidden].
        act: a, activations of the same rows, [row, neuron].
        values: ``W_out`` [hidden, neuron], whose columns are the value vectors v.
        centroid: C, the target centroid of the state after the layer, [hidden].
        gain: g, the factors that the norm applies (Gemma: 1 + weight), [hidden]; None for a norm
            without factors.
        scale: s, see ``models.norms.norm_scale``, [row]; None if no norm follows the FFN.
        center: whether the norm subtracts the mean (LayerNorm).

    Returns:
        float64 [neuron], difference of cosines in [-2, 2], averaged over rows. The cosine of a
        zero vector with any vector is 0.

    Raises:
        NeuroglotError: shapes differ, there is no row, a value is not finite, or ``gain`` or
            ``center`` is given without ``scale``.
    """
    _check_score(mid, act, values, centroid, gain, scale, center)
    h, C = mid.astype(np.float64), centroid.astype(np.float64)
    length = np.linalg.norm(C)
    C = C / length if length > 0 else C
    h_norm = np.linalg.norm(h, axis=1)[:, None]
    before = np.divide(h @ C[:, None], h_norm, out=np.zeros_like(h_norm), where=h_norm > 0)
    h_and_C = np.vstack([h, C])
    score = np.empty(act.shape[1])
    step = max(1, BLOCK_VALUES // max(mid.shape))
    for start in range(0, len(score), step):
        neurons = slice(start, start + step)
        v = values[:, neurons].astype(np.float64)
        if center:
            v -= v.mean(axis=0)
        if gain is not None:
            v *= gain.astype(np.float64)[:, None]
        a = act[:, neurons].astype(np.float64)
        if scale is not None:
            a *= scale.astype(np.float64)[:, None]
        products = h_and_C @ v
        vv = np.einsum("hn,hn->n", v, v)
        check_finite(vv, "a value vector")
        score[neurons] = _turn(a, products[:-1], products[-1], vv, h_norm, before).mean(axis=0)
    return score


def _turn(
    a: NDArray[np.float64],  # [row, neuron]
    hv: NDArray[np.float64],  # h·v [row, neuron]
    vC: NDArray[np.float64],  # v·C with ‖C‖ = 1 [neuron]
    vv: NDArray[np.float64],  # ‖v‖² [neuron]
    h_norm: NDArray[np.float64],  # ‖h‖ [row, 1]
    before: NDArray[np.float64],  # cos(h, C) [row, 1]
) -> NDArray[np.float64]:
    """Compute cos(h + a v, C) - cos(h, C), [row, neuron].

    With n = ‖h + a v‖ this is a v·C / n - cos(h, C) (n - ‖h‖) / n. The factor n - ‖h‖ is computed
    as (n² - ‖h‖²) / (n + ‖h‖), which avoids subtracting nearly equal numbers.
    """
    growth = a * (2 * hv + a * vv)  # n² - ‖h‖²
    n = np.sqrt(np.maximum(h_norm**2 + growth, 0))
    positive = n > 0
    n = np.where(positive, n, 1)
    turn = (a * vC - before * growth / (n + h_norm)) / n
    # If a v nearly cancels h, rounding could give a cosine outside [-1, 1].
    return np.where(positive, np.clip(turn, -1 - before, 1 - before), -before)


def layer_ranges(layers: int, type1_layers: float) -> tuple[range, range]:
    """Say which layers are searched for each type of transfer neurons (transfer, detection).

    Args:
        layers: number of layers of the model, two or more.
        type1_layers: share of the layers, from the first, that are searched for Type 1, between 0
            and 1; 20 of 32 in the paper.

    Returns:
        The first round(share · layers) layers for Type 1, and the other layers for Type 2; at least
        one layer each.
    """
    if layers < 2:
        raise NeuroglotError(f"the two types of transfer neurons need two layers, found {layers}")
    if not 0 < type1_layers < 1:
        raise NeuroglotError(f"type1_layers is {type1_layers}: set it between 0 and 1")
    first_type2 = min(max(round(type1_layers * layers), 1), layers - 1)
    return range(first_type2), range(first_type2, layers)


def top_neurons(
    score: NDArray[np.floating], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Rank the neurons of all layers together and keep the highest scores (transfer, detection).

    Args:
        score: [layer, neuron]; NaN for neurons without a score, such as those outside a type's
            layers.
        n: number of neurons to keep, at most as many as have a score.

    Returns:
        Layers, neurons and scores, [rank], highest first; in a tie the lower layer, then the lower
        neuron comes first.
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
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise NeuroglotError(
                f"{name} of a transfer score: expected {list(shape)}, found {list(array.shape)}; "
                "take all of the same layer and rows"
            )
    if scale is None and (gain is not None or center):
        raise NeuroglotError(
            "a transfer score with a norm's gain or centring needs its scale too; see models.norms"
        )
    for name, array in {"a state": mid, "an activation": act, "the centroid": centroid}.items():
        check_finite(array, name)
