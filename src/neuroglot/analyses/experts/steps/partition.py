"""Clusters the neurons of some layers into experts of equal size (section 3)."""

from typing import Any

import numpy as np
import torch
import xarray as xr
from neuroglot.steps.inputs import Inputs

from neuroglot.analyses.experts.measures.clusters import equal_size_clusters
from neuroglot.errors import NeuroglotError
from neuroglot.models.ffn import ffns
from neuroglot.models.load import load
from neuroglot.progress import progress


def compute(inputs: Inputs, settings: dict[str, Any]) -> xr.Dataset:
    """Cluster the rows of ``W_up`` (gated) or ``W_in`` of every layer of one block.

    Blocks share a model's layers evenly among jobs; block ``b`` of ``B`` has the layers from
    ``b L / B`` up to ``(b + 1) L / B``, which are none where there are more blocks than layers.
    """
    card = inputs.card()
    experts, block, blocks = (settings[key] for key in ("experts_per_layer", "block", "blocks"))
    if experts > card.neurons:
        raise NeuroglotError(
            f"experts.experts_per_layer: {experts} experts cannot be made of {card.neurons} "
            f"neurons, which is what a layer of {inputs.model.name} has; set a smaller number"
        )
    blocks_of_layers = np.arange(card.layers) * blocks // card.layers
    chosen = [ffn for ffn in ffns(_weights(inputs)) if blocks_of_layers[ffn.index] == block]
    found = np.zeros((len(chosen), card.neurons), np.int32)
    with progress(len(chosen), "layers", f"{inputs.model.name} experts") as bar:
        for row, ffn in enumerate(chosen):
            weights = ffn.input_matrix().to("cpu", torch.float32).numpy()
            found[row] = equal_size_clusters(weights, experts, settings["seed"])
            bar.update()
    return xr.Dataset(
        {"expert": (("layer", "neuron"), found, {"units": "number of the expert"})},
        coords={
            "layer": [ffn.index for ffn in chosen],
            "stack": ("layer", [ffn.stack for ffn in chosen]),
            "stack_layer": ("layer", [ffn.layer for ffn in chosen]),
        },
        attrs={"source": "section 3, expert construction", "experts_per_layer": experts},
    )


def _weights(inputs: Inputs) -> Any:
    """The model as it is stored: clustering reads one matrix at a time."""
    return load(inputs.model, "cpu", inputs.card().dtype)
