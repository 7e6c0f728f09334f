"""Analyses of how a language model's feed-forward neurons handle many languages."""

from importlib import import_module
from typing import Any

__all__ = ["open_activations"]  # for notebooks; imported at first use


def __getattr__(name: str) -> Any:
    """Import exported names at first use, so that no step's fingerprint covers their code."""
    if name == "open_activations":
        return import_module("neuroglot.activations").open_activations
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
