"""Numbers of experts of one language alone through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures.style import Drawing
from neuroglot.figures.training import beyond, by_language, change


def numbers(ds: Dataset) -> Figure:
    """Number of experts of each language alone, less that by chance, by training step.

    Args:
        ds: ``specific(model, language)`` with ``_low`` and ``_high``; ``specific_null(model,
            language)``; ``model_family(model)`` and ``training_step(model)``.
    """
    label, words = "experts of one language beyond chance", "experts of one language alone"
    return by_language(ds, "specific", "specific_null", label, words)


def finding(ds: Dataset) -> str:
    """Say how the number of a language's own experts beyond chance moves."""
    excess = beyond(ds, "specific", "specific_null")["specific"]
    return change(ds, excess, "A language's own experts beyond chance, mean over languages", ".1f")


FIGURES = {"experts_in_training": Drawing(numbers, finding)}
