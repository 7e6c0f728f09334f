"""Nearest neighbours shared with the pivot through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing
from neuroglot.figures.training import change, placed, subject


def neighbours(ds: Dataset) -> Figure:
    """Mean share of neighbours beyond chance by training step, a panel for each ``k``.

    Args:
        ds: ``mutual_knn_excess(model, k, language)`` with ``_low`` and ``_high``;
            ``segments(model)``, ``model_family(model)`` and ``training_step(model)``.
    """
    values, axis = placed(ds, "mutual_knn_excess")
    panels = Series.of("k", {k: f"k = {k:,}" for k in ds["k"].values.tolist()})
    label = "overlap beyond chance (share), mean over states"
    name = "mutual_knn_excess"
    figure = languages.by_layer(values, name, label, panels, signed=True, axis=axis)
    note = f"{', '.join(ds.attrs['corpora'])}, {int(ds['segments'].max()):,} parallel segments"
    note += "; bands: means of the 95 % intervals' ends" if figure.legends else ""
    return sheets.title(figure, ds, subject(ds, "neighbours shared with the pivot"), note)


def finding(ds: Dataset) -> str:
    """Say how the share of neighbours beyond chance moves, of the smallest ``k``."""
    first = ds["mutual_knn_excess"].isel(k=0)
    what = f"Shared neighbours beyond chance (k = {int(first['k'])}), mean over languages"
    return change(ds, first, what)


FIGURES = {"neighbours_in_training": Drawing(neighbours, finding)}
