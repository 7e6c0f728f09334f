"""How a language model's feed-forward neurons handle many languages."""

from importlib import import_module
from typing import Any

__all__ = ["open_activations"]  # what a notebook uses, imported once it is used


def __getattr__(name: str) -> Any:
    """Import what is exported, by name: no step reaches it, so no result depends on its code."""
    if name == "open_activations":
        return import_module("neuroglot.activations").open_activations
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
