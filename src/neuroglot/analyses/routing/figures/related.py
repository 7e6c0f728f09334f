"""Whether languages that are routed alike are of one family or script, or have common tokens."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import relatedness
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing

PANELS = Series.of("measure", {"overlap": "overlap of routing"})


def related_routing(ds: Dataset) -> Figure:
    """Correlations and coefficients of family, script and token overlap.

    Args:
        ds: see ``relatedness.by_predictor``.
    """
    return relatedness.by_predictor(along(ds), "which languages are routed alike", PANELS)


def finding(ds: Dataset) -> str:
    """Say which predictors are told from chance."""
    return relatedness.finding(along(ds), PANELS)


def along(ds: Dataset) -> Dataset:
    """Give the results of the regression their one level of ``PANELS``."""
    return ds.expand_dims(measure=[*PANELS])


FIGURES = {"related_routing": Drawing(related_routing, finding)}
