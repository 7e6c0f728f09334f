"""Numbers of experts of one language alone through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.style import Drawing
from neuroglot.figures.training import beyond, change, placed, subject


def numbers(ds: Dataset) -> Figure:
    """Number of experts of each language alone, less that by chance, by training step.

    Args:
        ds: ``specific(model, language)`` with ``_low`` and ``_high``; ``specific_null(model,
            language)``; ``model_family(model)`` and ``training_step(model)``.
    """
    values, axis = placed(beyond(ds, "specific", "specific_null"), "specific")
    label = "experts of one language beyond chance"
    figure = languages.by_layer(values, "specific", label, signed=True, axis=axis)
    corpora = ", ".join(ds.attrs["corpora"])
    note = f"{corpora}; bands: 95 % intervals" if figure.legends else corpora
    return sheets.title(figure, ds, subject(ds, "experts of one language alone"), note)


def finding(ds: Dataset) -> str:
    """Say how the number of a language's own experts beyond chance moves."""
    excess = beyond(ds, "specific", "specific_null")["specific"]
    return change(ds, excess, "A language's own experts beyond chance, mean over languages", ".1f")


FIGURES = {"experts_in_training": Drawing(numbers, finding)}
