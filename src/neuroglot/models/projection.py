"""Projects neurons onto the vocabulary: the tokens whose logits they raise and lower most.

Only weights are used, without a forward pass. Tokens are projected in blocks, so that the
neuron x vocabulary matrix is never in memory.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import architecture
from neuroglot.models.ffn import ffns, final_norms
from neuroglot.models.norms import norm_form, value_vectors

STACK = "decoder"
SIGNS = ("positive", "negative")
SOURCE = "lexicon, section 3"
BLOCK_VALUES = 1 << 24  # products at a time: 64 MiB
CHUNK = 64  # tokens; most chunks are ruled out by their largest product alone

Ranking: TypeAlias = tuple[Tensor, Tensor]
"""Each neuron's best tokens so far: weights, descending, and tokens, both [neuron, rank]."""


def top_tokens(
    model: Any, k: int, fold_final_norm: bool = False, block_tokens: int | None = None
) -> xr.Dataset:
    """Find the k tokens whose logits each last-layer neuron raises and lowers most (section 3).

    ``logit_weight[neuron, token] = v_neuron · W_U[token]``, where ``v`` are the ``value_vectors``
    of the last FFN (a decoder's, if there is one) and ``W_U`` is the unembedding, tied or not. OPT
    350M's unembedding is narrower than its layers; there ``project_out`` is applied between the
    two.

    So the gain of a norm on the FFN's output (Gemma 2 to 4, OLMo 2 and 3, EXAONE 4, GLM-4) counts,
    and so does a factor of it (Granite, Falcon-H1). The norm's division is ignored: it is the same
    for all neurons, but differs between texts. The projection also ignores all biases, the scaling
    of logits (Cohere, T5, Granite, Falcon-H1), caps on logits (Gemma 2 and 4), what Gemma 4 does to
    the stream after the addition, and the norms after it, of which the final one is the last.
    Folding multiplies the final norm's gain into ``W_U``. It still ignores that norm's division and
    a LayerNorm's subtraction of the mean.

    Products are float32 whatever the weights' precision. Tokens of equal weight are ranked by id,
    lowest first, whatever the block. Weights that are equal only by rounding may differ with
    another block size or machine.

    Args:
        model: a Hugging Face model with its language-modelling head, on any device.
        k: tokens to keep for each neuron and sign.
        fold_final_norm: whether to multiply the final norm's gain into ``W_U``.
        block_tokens: tokens projected at once; by default 64 MiB of products.

    Returns:
        ``top_token(sign, neuron, rank)`` int32 and ``top_weight(sign, neuron, rank)`` float32, in
        logits per unit of activation before norms divide. Sign ``positive`` starts at the largest
        weight, ``negative`` at the most negative. ``attrs``: the ``layer`` within its stack,
        ``vocabulary`` (its size) and ``fold_final_norm``.

    Raises:
        NeuroglotError: the model has no head, or one with layers of its own; its weights are not in
            memory, not floating-point or not finite; there is no final norm to fold; k is not
            between 1 and the size of the vocabulary.
    """
    last = ffns(model)[-1]
    unembedding = _unembedding(model)
    vocabulary = len(unembedding)
    if not 1 <= k <= vocabulary:
        raise NeuroglotError(
            f"lexicon.top_tokens: {k} tokens cannot be kept of each neuron, since the vocabulary "
            f"has {vocabulary}; set a number from 1 to {vocabulary}"
        )
    values = torch.from_numpy(value_vectors(last)).to(unembedding.device).T  # [neuron, hidden]
    if fold_final_norm:
        values = values * final_norm_gain(model).to(values.device)
    values = _through_project_out(model, values, unembedding.shape[1])
    block = block_tokens or max(k, BLOCK_VALUES // len(values))
    ranked = extreme_products(values, unembedding, k, block)
    names = ("sign", "neuron", "rank")
    return xr.Dataset(
        {
            "top_token": (
                names,
                np.stack([tokens.cpu().numpy() for _, tokens in ranked]).astype(np.int32),
                {"units": "token id", "source": SOURCE},
            ),
            "top_weight": (
                names,
                np.stack([weights.cpu().numpy() for weights, _ in ranked]),
                {"units": "logits per unit of activation, before norms divide", "source": SOURCE},
            ),
        },
        coords={"sign": list(SIGNS)},
        attrs={
            "layer": last.layer,
            "vocabulary": vocabulary,
            "fold_final_norm": int(fold_final_norm),
        },
    )


def written_tokens(
    model: Any, neurons: Mapping[int, NDArray[np.intp]], k: int
) -> NDArray[np.int32]:
    """Find the k tokens whose logits given neurons of any layer would raise most.

    This is ``top_tokens`` with positive sign, computed as if the neuron's layer were the last: the
    effect of later layers, biases and the final norm are ignored. The decoder's unembedding is used
    for an encoder's neurons too.

    Args:
        model: see ``top_tokens``.
        neurons: indices of neurons by the layer's number over all stacks.
        k: tokens for each neuron, at most the size of the vocabulary.

    Returns:
        Token ids [neuron, rank], layer by layer in the order of ``neurons``.

    Raises:
        NeuroglotError: as ``top_tokens``.
    """
    unembedding, networks = _unembedding(model), ffns(model)
    if not sum(map(len, neurons.values())):
        return np.empty((0, k), np.int32)
    values = torch.cat(
        [
            torch.from_numpy(value_vectors(networks[layer])[:, chosen]).to(unembedding.device).T
            for layer, chosen in neurons.items()
        ]
    )
    values = _through_project_out(model, values, unembedding.shape[1])
    (_, tokens), _ = extreme_products(values, unembedding, k, max(k, BLOCK_VALUES // len(values)))
    return tokens.cpu().numpy().astype(np.int32)


def final_norm_gain(model: Any) -> Tensor:
    """The gain of the last stack's final norm, float32 [hidden].

    Raises:
        NeuroglotError: there is no final norm.
    """
    *_, norm = final_norms(model).values()
    if norm is None:
        raise NeuroglotError(
            f"fold_final_norm: this {model.config.model_type!r} model has no norm after its last "
            "layer; set fold_final_norm to false"
        )
    return norm_form(norm, ffns(model)[-1].hidden).gain


def _unembedding(model: Any) -> Tensor:
    """``W_U`` [token, hidden]. Shares the weights."""
    if architecture(model.config).deep_head:
        raise NeuroglotError(
            f"{model.config.model_type!r} models have layers of their own between the last state "
            "and the unembedding, so no neuron of the last layer has a weight on a token; leave "
            "the model out of lexicon.models"
        )
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module) or not isinstance(getattr(head, "weight", None), Tensor):
        raise NeuroglotError(
            f"{type(model).__name__} has no unembedding, so no neuron has a weight on a token; "
            "leave the model out of lexicon.models, or give a checkpoint with its "
            "language-modelling head"
        )
    weight: Tensor = head.weight.detach()  # type: ignore[operator,union-attr]
    if weight.is_meta or weight.ndim != 2 or not weight.is_floating_point():
        raise NeuroglotError(
            "the unembedding: expected a floating-point matrix [token, hidden] in memory, found "
            f"{weight.dtype} {list(weight.shape)} on {weight.device}. Load the model without "
            "offloading and quantisation."
        )
    return weight


def _through_project_out(model: Any, values: Tensor, width: int) -> Tensor:
    """Map value vectors [neuron, hidden] to the unembedding's width, [neuron, width]."""
    if values.shape[1] == width:
        return values
    between = getattr(getattr(model.base_model, STACK, None), "project_out", None)
    if between is None:
        raise NeuroglotError(
            f"{type(model).__name__}: the FFN writes {values.shape[1]} dimensions and the "
            f"unembedding reads {width}, and what stands between the two is not known"
        )
    weight: Tensor = between.weight.detach()
    return values @ weight.to(values.device).float().T


def extreme_products(
    values: Tensor, unembedding: Tensor, k: int, block_tokens: int
) -> tuple[Ranking, Ranking]:
    """Find the k largest and the k smallest values of each row of ``values @ unembedding.T``.

    Args:
        values: float32 [neuron, hidden].
        unembedding: any precision [token, hidden], on the same device.
        k: at most the number of tokens.
        block_tokens: rows of the unembedding multiplied at once.

    Returns:
        (weights, tokens), both [neuron, k], of the largest in descending order and of the smallest
        in ascending order. Equal weights are ordered by token, lowest first.

    Raises:
        NeuroglotError: ``values`` or ``unembedding`` hold NaN or infinity.
    """
    _refuse_not_finite("output projection of the last layer", values)
    neurons, device = len(values), values.device
    largest, smallest = (
        (
            torch.full((neurons, k), -math.inf, device=device),
            torch.zeros((neurons, k), dtype=torch.int64, device=device),
        )
        for _ in range(2)
    )
    buffer = torch.empty(neurons * block_tokens, device=device)
    with torch.inference_mode():
        for first in range(0, len(unembedding), block_tokens):
            rows = unembedding[first : first + block_tokens].float()
            _refuse_not_finite(f"unembedding of tokens {first} to {first + len(rows) - 1}", rows)
            block = buffer[: neurons * len(rows)].view(neurons, len(rows))  # [neuron, token]
            torch.matmul(values, rows.T, out=block)
            _merge(largest, *_candidates(block, largest[0][:, -1:], k), first)
            block.neg_()
            _merge(smallest, *_candidates(block, smallest[0][:, -1:], k), first)
    return largest, (-smallest[0], smallest[1])


def _candidates(block: Tensor, floor: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Find a block's products above each neuron's k-th best so far, ``floor`` [neuron, 1].

    Returns neuron, token within the block, and product, ordered by neuron and then by token.
    Products equal to the floor are left out: their tokens have higher ids and so a lower rank.
    """
    if block.shape[1] > k and bool(torch.isneginf(floor).any()):
        kth = block.topk(k, dim=1).values[:, -1:]
        floor = torch.maximum(floor, kth.nextafter(torch.full_like(kth, -math.inf)))
    chunks = block.view(len(block), -1, math.gcd(block.shape[1], CHUNK))
    neuron, chunk = (chunks.amax(2) > floor).nonzero(as_tuple=True)
    products = chunks[neuron, chunk]
    place, offset = (products > floor[neuron]).nonzero(as_tuple=True)
    token = chunk[place] * chunks.shape[2] + offset
    return neuron[place], token, products[place, offset]


def _merge(best: Ranking, neuron: Tensor, token: Tensor, product: Tensor, first: int) -> None:
    """Merge candidates into the rankings; the sort is stable, so lower tokens win ties."""
    weights, tokens = best
    k = weights.shape[1]
    count = torch.bincount(neuron, minlength=len(weights))
    changed = count.nonzero()[:, 0]
    if not len(changed):
        return
    row = (count > 0).cumsum(0)[neuron] - 1
    column = k + torch.arange(len(neuron), device=neuron.device) - (count.cumsum(0) - count)[neuron]
    width = int(count.max())
    joined = nn.functional.pad(weights[changed], (0, width), value=-math.inf)
    joined_tokens = nn.functional.pad(tokens[changed], (0, width))
    joined[row, column] = product
    joined_tokens[row, column] = first + token
    ranked = joined.sort(dim=1, descending=True, stable=True)
    weights[changed] = ranked.values[:, :k]
    tokens[changed] = joined_tokens.gather(1, ranked.indices[:, :k])


def _refuse_not_finite(name: str, weights: Tensor) -> None:
    if not bool(weights.isfinite().all()):
        raise NeuroglotError(
            f"the {name} holds NaN or infinity; the checkpoint is damaged or its precision "
            "overflowed: obtain it again"
        )
