"""Gives a model random weights: the architecture's own initialisation, from a seed."""

import shutil
from pathlib import Path
from typing import Any

from neuroglot.errors import NeuroglotError
from neuroglot.models.describe import describe
from neuroglot.models.load import model_class
from neuroglot.models.source import WEIGHTS_INDEX, checkpoint_weights


def random_model(config: Any, seed: int) -> Any:
    """Make a model as it is before training.

    Weights are drawn on the CPU, one after another, so they depend neither on the number of threads
    nor on the device that the model later runs on. Generators of torch are left as they were.

    Args:
        config: a Hugging Face model configuration; weights have the precision that it names, or
            else float32.
        seed: seed of the weights.
    """
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        return model_class(config).from_config(config)


def write_random_weights(folder: Path, seed: int) -> None:
    """Write random weights beside the ``config.json`` in a folder.

    Raises:
        NeuroglotError: no model can be made of the configuration.
    """
    from transformers import AutoConfig

    drawn = folder / "random"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if min(describe(config)["stacks"].values()) < 1:
            raise ValueError("config.json says that there are no layers")
        random_model(config, seed).save_pretrained(drawn)
    except Exception as error:  # any value of the configuration can make building the model fail
        reason = " ".join(str(error).split())[:500]
        raise NeuroglotError(f"{folder}: no model can be made of config.json: {reason}") from error
    for written in [*checkpoint_weights(drawn), drawn / WEIGHTS_INDEX]:
        if written.is_file():  # a model of one file has no index
            written.replace(folder / written.name)
            # safetensors writes files that only the owner can read, but clusters share results.
            shutil.copymode(folder / "config.json", folder / written.name)
    shutil.rmtree(drawn)
