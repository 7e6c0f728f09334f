"""Clusters the neurons of some layers into experts of equal size (section 3)."""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr

from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.analyses.experts.measures.experts import NO_EXPERT
from neuroglot.analyses.experts.settings import PartitionInputs, PartitionSettings, too_many
from neuroglot.errors import NeuroglotError
from neuroglot.models.card import read_card
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.progress import progress

VARIABLES: Mapping[str, str] = {
    "expert": "expert that the neuron belongs to, counted from 0 in each layer; -1 beyond the "
    "layer's neurons",
}


def compute(inputs: PartitionInputs, settings: PartitionSettings) -> xr.Dataset:
    """Cluster the rows of ``W_up`` (gated) or ``W_in`` of every layer of one block.

    Blocks divide a model's layers evenly among jobs. Block ``b`` of ``B`` has the layers from
    ``b L / B`` up to ``(b + 1) L / B``. With more blocks than layers, some blocks have no layer.
    """
    card, experts = read_card(inputs.model), settings.experts_per_layer
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
    return xr.Dataset(
        {"expert": (("layer", "neuron"), expert, {"units": "index of expert"})},
        coords={
            "layer": [ffn.index for ffn in chosen],
            "stack": ("layer", [ffn.stack for ffn in chosen]),
            "stack_layer": ("layer", [ffn.layer for ffn in chosen]),
        },
        attrs={"source": "section 3, expert construction", "experts_per_layer": experts},
    )
