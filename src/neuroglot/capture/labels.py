"""Names, units and axes of the arrays in a recording."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroglot.capture.collectors import BY_FOLD, BY_SEGMENT
from neuroglot.capture.settings import Over
from neuroglot.measures.axes import LAYERS, experts_axis, width_axis
from neuroglot.models.ffn import FFN
from neuroglot.store import SITES

# By statistic, or by statistic of one site: its unit, and its description for a site ``{site}``.
STATISTICS = {
    "count": ("tokens", "tokens at which {site} fires"),
    "gelu_count": ("tokens", "tokens at which GELU of {site} fires"),
    "positive": ("tokens", "tokens at which {site} is positive"),
    "reached": ("tokens", "tokens that pass through the neuron, all but those of other experts"),
    "sum": ("1", "sum of {site} over the tokens"),
    "sum_of_squares": ("1", "sum of the squares of {site} over the tokens"),
    "argmax_count": ("tokens", "tokens at which {site} is the largest of its layer"),
    "chosen_count": ("tokens", "tokens that are routed to the expert"),
    "weight_sum": ("1", "sum over the tokens of the router's weight of the expert"),
    "router_sum": ("1", "sum over the tokens of the router's probability of the expert"),
    "router_entropy_sum": ("bits", "sum over the tokens of the entropy of the probabilities"),
    "router_top_sum": ("1", "sum over the tokens of the largest probability"),
    "router_margin_sum": (
        "1",
        "sum over the tokens of how far the smallest probability among as many as a token passes "
        "through is above the next",
    ),
    "flatness_sum": ("bits per neuron", "sum of the flatness of {site} over the tokens"),
}


def statistic(name: str, ndim: int, over: Over) -> tuple[tuple[str, ...], dict[str, str]]:
    """Dimensions and attributes of a statistic ``{site}_{statistic}`` or its sums by fold.

    Sums ``{site}_{statistic}_by_segment`` have these attributes too.
    """
    by_fold, by_segment = name.endswith(BY_FOLD), name.endswith(BY_SEGMENT)
    name = name.removesuffix(BY_FOLD).removesuffix(BY_SEGMENT)
    site, _, quantity = name.partition("_")
    units, description = STATISTICS[name if name in STATISTICS else quantity]
    dims = ("layer", *(["fold"] if by_fold else []), SITES[site].width)[:ndim]
    of_each = ", of each fold of segments" if by_fold else ", of each segment" if by_segment else ""
    return dims, {
        "units": units,
        "long_name": description.format(site=site) + of_each,
        "over": over,
    }


def layer_axis(blocks: Sequence[FFN]) -> dict[str, Any]:
    """Coordinates ``layer``, ``stack(layer)`` and ``stack_layer(layer)``.

    If layers differ in width, also ``layer_neurons(layer)``; of mixtures of experts also
    ``layer_shared(layer)`` and ``layer_experts(layer)``.
    """
    values: dict[str, Any] = {
        "layer": [block.index for block in blocks],
        "stack": [block.stack for block in blocks],
        "stack_layer": [block.layer for block in blocks],
    }
    axis = {
        name: ("layer", labels, {"units": "1", "long_name": LAYERS[name]})
        for name, labels in values.items()
    }
    counts = [block.experts.count if block.experts else 0 for block in blocks]
    return (
        axis
        | width_axis([block.neurons for block in blocks])
        | experts_axis([block.shared for block in blocks], counts)
    )


def expert_axis(blocks: Sequence[FFN]) -> dict[str, Any]:
    """Coordinate ``expert`` of layers with routed experts, of which each has as many."""
    count = max(block.experts.count for block in blocks if block.experts)
    about = {"units": "1", "long_name": "routed expert of a layer, counted from 0"}
    return {"expert": ("expert", np.arange(count), about)}


def depth_axis(blocks: Sequence[FFN]) -> dict[str, Any]:
    """Coordinates ``depth``, ``depth_stack(depth)`` and ``stack_depth(depth)`` of states."""
    stacks = [block.stack for block in blocks]
    depths = {name: stacks.count(name) for name in dict.fromkeys(stacks)}
    about = {
        "depth": "state of the residual stream, counted from 0 over all stacks",
        "depth_stack": "encoder or decoder",
        "stack_depth": "layers of its stack that the state has passed: 0 enters the first",
    }
    values: dict[str, Any] = {
        "depth": np.arange(len(blocks) + len(depths)),
        "depth_stack": [name for name, depth in depths.items() for _ in range(depth + 1)],
        "stack_depth": [passed for depth in depths.values() for passed in range(depth + 1)],
    }
    return {
        name: ("depth", labels, {"units": "1", "long_name": about[name]})
        for name, labels in values.items()
    }
