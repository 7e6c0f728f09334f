"""How alike languages activate the neurons through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing
from neuroglot.figures.training import change, placed, subject


def correlations(ds: Dataset) -> Figure:
    """Mean rank correlation of each language with the others by training step, a panel per site.

    Args:
        ds: ``rank_correlation(model, site, corpus, language)`` with ``_low`` and ``_high``;
            ``model_family(model)`` and ``training_step(model)``. The first corpus is drawn.
    """
    corpus = str(ds["corpus"].values[0])
    values, axis = placed(ds.sel(corpus=corpus), "rank_correlation")
    panels = Series.of("site", {site: SITES[site] for site in map(str, ds["site"].values)})
    label = "rank correlation with other languages, mean over layers"
    figure = languages.by_layer(values, "rank_correlation", label, panels, axis=axis)
    note = f"{corpus}; bands: means of the 95 % intervals' ends" if figure.legends else corpus
    return sheets.title(figure, ds, subject(ds, "how alike languages are"), note)


def finding(ds: Dataset) -> str:
    """Say how the detectors' mean correlation moves."""
    first = ds["rank_correlation"].isel(corpus=0).sel(site="act")
    return change(ds, first, "Mean rank correlation of detectors")


FIGURES = {"correlation_in_training": Drawing(correlations, finding)}
