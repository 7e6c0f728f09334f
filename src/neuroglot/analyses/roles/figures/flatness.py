"""Figures 4 and 6: how evenly the neurons of each layer fire, language by language."""

import math

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets, texts
from neuroglot.figures.findings import extremes
from neuroglot.figures.style import SITES, Drawing

CEILING = math.log2(math.e) / math.e
"""The largest flatness, of a layer all of whose neurons have S = 1 / e."""


def flatness(ds: Dataset, site: str) -> Figure:
    """Mean activation flatness per prefix (equation 2) by layer, one panel per corpus.

    The published sum over prefixes (equation 1) grows with the number of prefixes, which differs
    between languages. The step's table has this sum.

    Args:
        ds: ``flatness_mean(site, corpus, language, layer)`` in bits per neuron, with ``_low`` and
            ``_high``, and ``rows(corpus, language)``.
        site: ``act`` for figure 4, ``out`` for figure 6.
    """
    ds, lacking = ds.sel(site=site), f"no activation flatness of {SITES[site]}"
    panels = texts.panels_of(ds, "flatness_mean", "corpus", lacking)
    unit = f"mean activation flatness (bits per neuron; at most {CEILING:.3f})"
    figure = languages.by_layer(ds, "flatness_mean", unit, panels)
    return sheets.title(figure, ds, f"{SITES[site]}, activation flatness")


def finding(ds: Dataset, site: str) -> str:
    """Say where flatness is lowest and highest."""
    values = ds["flatness_mean"].sel(site=site, drop=True)
    return extremes(values, "Flatness", "bits per neuron", ".3f")


FIGURES = {
    "figure_04_detector_flatness": Drawing(flatness, finding, site="act"),
    "figure_06_combinator_flatness": Drawing(flatness, finding, site="out"),
}
