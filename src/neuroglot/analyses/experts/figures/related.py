"""Whether languages that use experts alike are of one family or script, or have common tokens."""

from functools import partial

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.experts.figures.similarity import MEASURES
from neuroglot.figures import relatedness
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing

PANELS = Series.of(
    "metric", {metric: measure.replace(" (", "\n(") for metric, measure in MEASURES.items()}
)


def related_languages(ds: Dataset) -> Figure:
    """Correlations and coefficients of family, script and token overlap, one panel per measure.

    Args:
        ds: see ``relatedness.by_predictor``, along ``metric``.
    """
    return relatedness.by_predictor(ds, "which languages use experts alike", PANELS)


FIGURES = {
    "related_languages": Drawing(related_languages, partial(relatedness.finding, panels=PANELS)),
}
