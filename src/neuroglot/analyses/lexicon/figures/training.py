"""Entropy of the last layer's neurons over languages through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import lines, sheets
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import counted
from neuroglot.figures.training import change, placed, subject
from neuroglot.tables import valued

SIGNS = Series(
    "sign",
    {
        "positive": Look("tokens that neurons raise", "#EE6677"),
        "negative": Look("tokens that neurons lower", "#4477AA", (0, (5, 1.5))),
    },
)


def entropies(ds: Dataset) -> Figure:
    """Quartiles of the neurons' entropies by training step.

    Args:
        ds: ``entropy(model, sign)``, a median, with the quartiles as ``_low`` and ``_high``;
            ``covered(model, sign)``, ``model_family(model)`` and ``training_step(model)``.
    """
    values, axis = placed(ds, "entropy")
    label = "entropy over languages (bits)"
    figure = lines.by_layer(valued(values, "entropy"), axis, SIGNS, label)
    number = counted(ds["covered"].values, "neurons")
    note = f"medians, and bands from the lower to the upper quartile, of {number}"
    return sheets.title(figure, ds, subject(ds, "last layer's neurons"), note)


def finding(ds: Dataset) -> str:
    """Say how the median entropy of what neurons raise moves."""
    raised = ds["entropy"].sel(sign="positive")
    return change(ds, raised, "Median entropy of the tokens that neurons raise, in bits", ".2f")


FIGURES = {"entropy_in_training": Drawing(entropies, finding)}
