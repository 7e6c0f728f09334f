"""Clusters the neurons of some layers into experts of equal size (section 3)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.analyses.experts.measures.experts import NO_EXPERT
from neuroglot.analyses.experts.settings import REAL, PartitionInputs, PartitionSettings, too_many
from neuroglot.errors import NeuroglotError
from neuroglot.measures.axes import in_experts
from neuroglot.models.card import ModelCard, read_card
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.progress import progress

VARIABLES: Mapping[str, str] = {
    "expert": "expert that the neuron belongs to, counted from 0 in each layer; -1 beyond the "
    "layer's neurons, and where every token passes through the neuron",
}


def compute(inputs: PartitionInputs, settings: PartitionSettings) -> xr.Dataset:
    """Cluster the rows of ``W_up`` (gated) or ``W_in`` of every layer of one block.

    Of a mixture's real experts nothing is clustered.

    Blocks divide a model's layers evenly among jobs. Block ``b`` of ``B`` has the layers from
    ``b L / B`` up to ``(b + 1) L / B``. With more blocks than layers, some blocks have no layer.
    """
    card, experts = read_card(inputs.model), settings.experts_per_layer
    if experts == REAL:
        return _real(card, settings)
    narrowest = min(card.neurons)
    if experts > narrowest:
        raise NeuroglotError(too_many(experts, narrowest, inputs.model.name))
    block_of_layer = np.arange(card.layers) * settings.blocks // card.layers
    # Keep the stored dtype: clustering reads one matrix at a time.
    layers = ffns(load(inputs.model, "cpu", card.dtype))
    chosen = [ffn for ffn in layers if block_of_layer[ffn.index] == settings.block]
    expert = np.full((len(chosen), card.widest), NO_EXPERT, np.int32)
    with progress(len(chosen), "layers", f"{inputs.model.name} experts") as bar:
        for row, ffn in enumerate(chosen):
            weights = ffn.input_matrix().to("cpu", torch.float32).numpy()
            expert[row, : ffn.neurons] = equal_size_clusters(weights, experts, settings.seed)
            bar.update()
    return _dataset(expert, [(ffn.index, ffn.stack, ffn.layer) for ffn in chosen], experts)


def _real(card: ModelCard, settings: PartitionSettings) -> xr.Dataset:
    """Give the model's own experts; neurons that every token passes through are in none."""
    stacks = [(name, layer) for name, depth in card.stacks.items() for layer in range(depth)]
    chosen = [
        (layer, *stacks[layer])
        for layer in range(card.layers)
        if layer * settings.blocks // card.layers == settings.block
    ]
    expert = np.full((len(chosen), card.widest), NO_EXPERT, np.int32)
    for row, (layer, *_) in enumerate(chosen):
        if card.experts[layer]:
            neurons, each = card.neurons[layer], card.expert_neurons
            shared = neurons - card.experts[layer] * each
            expert[row, :neurons], _ = in_experts(np.arange(neurons), shared, each)
    return _dataset(expert, chosen, max(card.experts))


def _dataset(
    expert: NDArray[np.int32], layers: Sequence[tuple[int, str, int]], experts: int
) -> xr.Dataset:
    """Name the experts of neurons [layer, neuron]; of each layer its number, stack and place."""
    return xr.Dataset(
        {"expert": (("layer", "neuron"), expert, {"units": "index of expert"})},
        coords={
            "layer": [index for index, _, _ in layers],
            "stack": ("layer", [stack for _, stack, _ in layers]),
            "stack_layer": ("layer", [layer for _, _, layer in layers]),
        },
        attrs={"source": "section 3, expert construction", "experts_per_layer": experts},
    )
