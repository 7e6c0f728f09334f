"""Whether languages with similar centroids are of one family or script, or have common tokens."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import relatedness
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing

PANELS = Series.of("measure", {"centroids": "cosine"})


def related_languages(ds: Dataset) -> Figure:
    """Family, script and token overlap through the states.

    Args:
        ds: see ``relatedness.by_layer``.
    """
    return relatedness.by_layer(ds, "which languages have similar centroids", "state")


def finding(ds: Dataset) -> str:
    """Say which predictors are told from chance in the mean over states."""
    told = relatedness.finding(ds.expand_dims(measure=[*PANELS]), PANELS)
    return f"In the mean over states: {told[0].lower()}{told[1:]}"


FIGURES = {"related_languages": Drawing(related_languages, finding)}
