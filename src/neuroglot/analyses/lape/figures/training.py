"""Numbers of language-specific neurons through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures.style import Drawing
from neuroglot.figures.training import beyond, by_language, change


def numbers(ds: Dataset) -> Figure:
    """Number of each language's neurons, less that by chance, by training step.

    Args:
        ds: ``all_layers(model, language)`` with ``_low`` and ``_high``;
            ``chance_all_layers(model)``; ``model_family(model)`` and ``training_step(model)``.
    """
    label, words = "neurons beyond chance", "language-specific neurons"
    return by_language(ds, "all_layers", "chance_all_layers", label, words)


def finding(ds: Dataset) -> str:
    """Say how the number of a language's neurons beyond chance moves."""
    excess = beyond(ds, "all_layers", "chance_all_layers")["all_layers"]
    return change(ds, excess, "Neurons of a language beyond chance, mean over languages", ",.0f")


FIGURES = {"neurons_in_training": Drawing(numbers, finding)}
