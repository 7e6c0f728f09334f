"""Projects neurons onto the vocabulary: the tokens the last layer's write most and least, or any.

Weights only, no forward pass. One block of tokens at a time, so that the neuron x vocabulary
matrix never stands in memory.
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
from neuroglot.models.ffn import ffns, final_norms
from neuroglot.models.norms import norm_form

STACK = "decoder"
SIGNS = ("positive", "negative")
SOURCE = "lexicon, section 3"
BLOCK_VALUES = 1 << 24  # 64 MiB of products at a time
CHUNK = 64  # tokens whose greatest product is compared first: few chunks need a second look

Ranking: TypeAlias = tuple[Tensor, Tensor]
"""Weights, descending, and tokens [neuron, rank]: each neuron's best of the blocks so far."""


def top_tokens(
    model: Any, k: int, fold_final_norm: bool = False, block_tokens: int | None = None
) -> xr.Dataset:
    """Find the k tokens whose logits each last-layer neuron raises and lowers most (section 3).

    ``logit_weight[neuron, token] = W_out[:, neuron] · W_U[token]`` with the output projection of
    the decoder's last FFN and the unembedding, tied or not. In OPT 350M, whose unembedding is
    narrower than its layers, ``project_out`` stands between the two.

    Left out are all biases, what only scales or squashes logits (Cohere's scale, T5's, Gemma 2's
    cap) and all norms: the one on the FFN's output or after the addition, where there is one, and
    the final one. Folding multiplies the final norm's gain into ``W_U``; its division by the
    state's size, which all neurons share, and a LayerNorm's subtraction of the mean stay out.

    Products are float32 whatever the weights' precision. Tokens of equal weight are ranked by id,
    lowest first, whatever the block. Where equal weights come from a matrix product's rounding,
    not from equal numbers, another block or machine may round them apart.

    Args:
        model: a Hugging Face model with its language-modelling head, on any device.
        k: tokens to keep of each neuron and sign.
        fold_final_norm: whether to multiply the final norm's gain into ``W_U``.
        block_tokens: tokens projected at once; by default as many as make 64 MiB of products.

    Returns:
        ``top_token(sign, neuron, rank)`` int32 and ``top_weight(sign, neuron, rank)`` float32, in
        logits per unit of activation. Sign ``positive`` starts at the largest weight, ``negative``
        at the most negative. ``attrs``: the ``layer`` within the decoder, ``vocabulary`` and
        ``fold_final_norm``.

    Raises:
        NeuroglotError: the model has no head, its weights are not floating-point numbers in
            memory, or not finite; there is no final norm to fold; or k is not between 1 and the
            size of the vocabulary.
    """
    last = [ffn for ffn in ffns(model) if ffn.stack == STACK][-1]
    unembedding = _unembedding(model)
    vocabulary = len(unembedding)
    if not 1 <= k <= vocabulary:
        raise NeuroglotError(
            f"lexicon.top_tokens: {k} tokens cannot be kept of each neuron, since the vocabulary "
            f"has {vocabulary}; set a number from 1 to {vocabulary}"
        )
    values = last.output_matrix().to(unembedding.device).float().T  # [neuron, hidden]
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
                {"units": "logits per unit of activation", "source": SOURCE},
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
    """Find the k tokens whose logits each of some neurons of any layers would raise most.

    As ``top_tokens`` with positive sign, as if the neuron's layer were the last: what later layers
    make of its value vector is left out, as are biases and norms. An encoder's neurons are
    projected by the decoder's unembedding too.

    Args:
        model: see ``top_tokens``.
        neurons: numbers of neurons by number of the layer over all stacks.
        k: tokens of each, at most the vocabulary's.

    Returns:
        [neuron, rank], layer by layer in the order of ``neurons``.

    Raises:
        NeuroglotError: as ``top_tokens``.
    """
    unembedding, found = _unembedding(model), ffns(model)
    if not sum(map(len, neurons.values())):
        return np.empty((0, k), np.int32)
    values = torch.cat(
        [
            found[layer].output_matrix()[:, torch.from_numpy(chosen)].to(unembedding.device).T
            for layer, chosen in neurons.items()
        ]
    )
    values = _through_project_out(model, values.float(), unembedding.shape[1])
    (_, tokens), _ = extreme_products(values, unembedding, k, max(k, BLOCK_VALUES // len(values)))
    return tokens.cpu().numpy().astype(np.int32)


def final_norm_gain(model: Any) -> Tensor:
    """What the decoder's final norm multiplies each dimension by, float32 [hidden].

    Raises:
        NeuroglotError: there is no final norm.
    """
    norm = final_norms(model)[STACK]
    if norm is None:
        raise NeuroglotError(
            f"fold_final_norm: this {model.config.model_type!r} model has no norm after its last "
            "layer; set fold_final_norm to false"
        )
    return norm_form(norm, ffns(model)[-1].hidden).gain


def _unembedding(model: Any) -> Tensor:
    """``W_U`` [token, hidden]. Shares the weights."""
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Module) or not isinstance(getattr(head, "weight", None), Tensor):
        raise NeuroglotError(
            f"{type(model).__name__} has no unembedding; load it with its language-modelling head"
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
    """Take value vectors [neuron, hidden] to what the unembedding reads [neuron, width]."""
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
    """Keep the k largest and the k smallest of each row of ``values @ unembedding.T``.

    Args:
        values: float32 [neuron, hidden].
        unembedding: any precision [token, hidden], on the same device.
        k: at most the number of tokens.
        block_tokens: rows of the unembedding multiplied at once.

    Returns:
        (weights, tokens) [neuron, k], from the largest down and from the smallest up; of equal
        weights the lowest token first.

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

    An equal product comes from a higher token than those before it, and so stays out.

    Returns:
        neuron, token within the block, and product, by neuron and then by token.
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
    """Sort candidates into the rankings; a stable sort leaves the lower of equals' tokens first."""
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
