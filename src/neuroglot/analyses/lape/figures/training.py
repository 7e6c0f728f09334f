"""Numbers of language-specific neurons through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.style import Drawing
from neuroglot.figures.training import beyond, change, placed, subject


def numbers(ds: Dataset) -> Figure:
    """Number of each language's neurons, less that by chance, by training step.

    Args:
        ds: ``all_layers(model, language)`` with ``_low`` and ``_high``;
            ``chance_all_layers(model)``; ``model_family(model)`` and ``training_step(model)``.
    """
    values, axis = placed(beyond(ds, "all_layers", "chance_all_layers"), "all_layers")
    label = "neurons beyond chance"
    figure = languages.by_layer(values, "all_layers", label, signed=True, axis=axis)
    corpora = ", ".join(ds.attrs["corpora"])
    note = f"{corpora}; bands: 95 % intervals" if figure.legends else corpora
    return sheets.title(figure, ds, subject(ds, "language-specific neurons"), note)


def finding(ds: Dataset) -> str:
    """Say how the number of a language's neurons beyond chance moves."""
    excess = beyond(ds, "all_layers", "chance_all_layers")["all_layers"]
    return change(ds, excess, "Neurons of a language beyond chance, mean over languages", ",.0f")


FIGURES = {"neurons_in_training": Drawing(numbers, finding)}
