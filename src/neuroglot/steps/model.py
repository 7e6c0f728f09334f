"""Obtains a model and normalises it to safetensors, tokenizer and card."""

from pathlib import Path
from typing import Any

from neuroglot.models.normalise import normalise
from neuroglot.models.source import ModelSettings


def run(settings: dict[str, Any], output: Path) -> None:
    """Write the model's folder; its ``card.json`` comes last."""
    card = normalise(ModelSettings.model_validate(settings), output)
    print(
        f"{output.name}: {card.model_type}, {card.layers} layers of {card.neurons} "
        f"{'gated ' if card.gated else ''}{card.activation} neurons, {card.parameters:,} parameters"
    )
