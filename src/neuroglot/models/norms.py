"""Finds what a norm does to vectors, and to what the neurons of an FFN before it contribute."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.measures.finite import check_finite
from neuroglot.models.ffn import FFN

_LARGE = 4096.0  # so large that epsilon does not matter
_SMALL = 2.0**-10  # so small that epsilon matters


@dataclass(frozen=True, eq=False)
class NormForm:
    """``norm(x) = gain * (x - m) / sqrt(mean((x - m)^2) + epsilon) + bias``.

    ``m`` is x's mean over its dimensions in a LayerNorm, and 0 in an RMSNorm.

    Attributes:
        gain: float32 [hidden].
        epsilon: keeps the divisor above zero.
        center: whether the mean is subtracted.
    """

    gain: Tensor
    epsilon: float
    center: bool


def norm_form(norm: nn.Module, hidden: int) -> NormForm:
    """Find the form of a LayerNorm or RMSNorm from its outputs on probe vectors.

    Attributes are not used, because their meanings differ: ``weight`` is the gain in most
    architectures, the gain minus one in Gemma's, and absent in OLMo's.

    Args:
        norm: on any device, in any precision; it is copied, not changed.
        hidden: its width.
    """
    # In float64, because the bias may be large. The probe's mean is 0, so centring keeps it.
    norm = deepcopy(norm).cpu().double()
    probe = torch.ones(hidden, dtype=torch.float64)
    probe[1::2] = -1
    probe[1] -= hidden % 2
    large = _odd_part(norm, _LARGE * probe)
    gain = large * probe.square().mean().sqrt() / probe
    shifted = _odd_part(norm, _LARGE * (probe + 1))
    return NormForm(
        gain.float(),
        _epsilon(norm, _SMALL * probe, gain),
        bool((shifted - large).norm() < 1e-3 * large.norm()),
    )


def _epsilon(norm: nn.Module, probe: Tensor, gain: Tensor) -> float:
    at = int(gain.abs().argmax())
    output = _odd_part(norm, probe)[at]
    if output == 0:
        return 0.0  # the gain is zero everywhere
    return max(0.0, float((gain[at] * probe[at] / output).square() - probe.square().mean()))


def _odd_part(norm: nn.Module, probe: Tensor) -> Tensor:
    """A norm's output on a probe without the bias, which is the same for both signs."""
    with torch.no_grad():
        odd: Tensor = (norm(probe[None])[0] - norm(-probe[None])[0]) / 2
    return odd


def value_vectors(ffn: FFN) -> NDArray[np.float32]:
    """The value vectors of a layer's neurons as they reach the residual stream, up to a factor.

    Where a norm follows the FFN (Gemma 2 to 4, OLMo 2 and 3, EXAONE 4, GLM-4), neuron i adds
    ``gain * v_i`` times its activation, divided by a number that is the same for all neurons of a
    row: the root mean square of the FFN's output. A LayerNorm also subtracts the mean of ``v_i``.
    Gemma 4's shared neurons and its routed experts have a norm each before, so neurons of these two
    parts are not divided by the same number.
    Without a norm, these are the columns of ``W_out``. Where the layer scales the FFN's output
    (Granite, Falcon-H1), so are these.

    Returns:
        float32 [hidden, neuron].
    """
    values = ffn.output_matrix().float().cpu()
    if ffn.experts and ffn.experts.norms:
        parts = values[:, : ffn.shared], values[:, ffn.shared :]
        both = zip(ffn.experts.norms, parts, strict=True)
        values = torch.cat([_behind(norm, part) for norm, part in both], 1)
    if ffn.norm_after is not None:
        values = _behind(ffn.norm_after, values)
    if ffn.scale != 1:
        values = ffn.scale * values
    array: NDArray[np.float32] = values.numpy()
    return array


def _behind(norm: nn.Module, values: Tensor) -> Tensor:
    """Value vectors [hidden, neuron] behind a norm, before it divides."""
    form = norm_form(norm, len(values))
    return form.gain[:, None] * (values - values.mean(0) if form.center else values)


def value_norms(ffn: FFN) -> NDArray[np.float64]:
    """The L2 norms of ``value_vectors``, float64 [neuron]: the ‖v_i‖ of contributions."""
    values = value_vectors(ffn)
    norms: NDArray[np.float64] = np.sqrt(np.einsum("hn,hn->n", values, values, dtype=np.float64))
    return norms


def output_scale(ffn: FFN, act: NDArray[np.floating]) -> NDArray[np.float64]:
    """The factor by which the norm behind a layer's FFN divides the FFN's output, row by row.

    The output, with its bias, is computed again from the activations. The norm is linearised at
    it: in row k, neuron i adds ``scale_k * act_ki * value_vectors_i`` to the residual stream. All
    neurons together then add exactly what the model adds, except for the two biases.

    Args:
        ffn: the layer's FFN.
        act: activations, [row, neuron].

    Returns:
        float64 [row]; 1 if no norm follows the FFN.

    Raises:
        NeuroglotError: as ``norm_scale``; or the FFN has parts with norms of their own.
    """
    if ffn.norm_after is None:
        return np.ones(len(act))
    if ffn.experts and ffn.experts.norms:
        raise NeuroglotError(
            f"layer {ffn.index}: shared and routed experts have a norm each before they are added "
            "up, so no one factor says what a neuron adds to the residual stream; leave the model "
            "out of sharing and transfer"
        )
    out = act.astype(np.float64) @ ffn.output_matrix().double().cpu().numpy().T
    if (bias := ffn.output_bias()) is not None:
        out += bias.double().cpu().numpy()
    norm = norm_form(ffn.norm_after, ffn.hidden)
    return norm_scale(out, norm.epsilon, norm.center)


def norm_scale(
    out: NDArray[np.floating], epsilon: float, center: bool = False
) -> NDArray[np.float64]:
    """Compute the factor by which the norm after an FFN scales its output in each row.

    RMSNorm: 1 / √(mean(out²) + ε). LayerNorm (``center``): 1 / √(var(out) + ε).

    Args:
        out: the FFN's output before the norm, [row, hidden].
        epsilon: the norm's ε.
        center: whether the norm subtracts the mean.

    Returns:
        float64 [row].

    Raises:
        NeuroglotError: an output is not finite, or ε is 0 and a row's norm divides by zero.
    """
    check_finite(out, "an FFN's output")
    wide = out.astype(np.float64)
    if center:
        wide -= wide.mean(axis=-1, keepdims=True)
    power: NDArray[np.float64] = np.mean(wide**2, axis=-1) + epsilon
    if not (power > 0).all():
        raise NeuroglotError(
            f"a norm with epsilon {epsilon} cannot scale an FFN's output that is constant or 0; "
            "use the model's own epsilon"
        )
    return np.asarray(1 / np.sqrt(power))
