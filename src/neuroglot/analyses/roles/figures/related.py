"""Whether languages whose neurons rank alike are of one family or script, or have common tokens."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import relatedness
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing, NothingToDraw
from neuroglot.figures.texts import held

PANELS = Series.of("site", {site: SITES[site] for site in ("act", "out")})


def related_languages(ds: Dataset) -> Figure:
    """Family, script and token overlap through the layers, in the first text; a row per site.

    Args:
        ds: see ``relatedness.by_layer``, along ``site`` and ``corpus``.
    """
    first = first_text(ds)
    subject = f"which languages rank neurons alike on {first['corpus'].item()}"
    return relatedness.by_layer(first, subject, "layer", PANELS)


def finding(ds: Dataset) -> str:
    """Say which predictors are told from chance in the mean over the first text's layers."""
    told = relatedness.finding(first_text(ds), PANELS)
    return f"In the mean over layers: {told[0].lower()}{told[1:]}"


def first_text(ds: Dataset) -> Dataset:
    """The first text in which any predictor differs between pairs of languages."""
    corpora = held(ds, "layer_correlation", "corpus")
    if not corpora:
        raise NothingToDraw("no predictor that differs between pairs of languages")
    return ds.sel(corpus=corpora[0])


FIGURES = {"related_languages": Drawing(related_languages, finding)}
