"""Divergence of languages' routing from the pivot's through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.style import Drawing
from neuroglot.figures.training import change, placed, subject


def divergence(ds: Dataset) -> Figure:
    """Divergence beyond that of two halves of one language, by training step.

    Args:
        ds: ``mean_excess(model, language)`` with ``_low`` and ``_high``; ``model_family(model)``
            and ``training_step(model)``.
    """
    others = ds.sel(language=ds["mean_excess"].notnull().any("model"))
    values, axis = placed(others, "mean_excess")
    label = "divergence from the pivot (bits)"
    figure = languages.by_layer(values, "mean_excess", label, signed=True, axis=axis)
    corpora = ", ".join(ds.attrs["corpora"])
    note = f"{corpora}; bands: 95 % intervals" if figure.legends else corpora
    words = "divergence of routing beyond halves of one language"
    return sheets.title(figure, ds, subject(ds, words), note)


def finding(ds: Dataset) -> str:
    """Say how the divergence moves."""
    what = "Divergence of routing from the pivot, mean over languages and layers, in bits"
    return change(ds, ds["mean_excess"], what)


FIGURES = {"routing_in_training": Drawing(divergence, finding)}
