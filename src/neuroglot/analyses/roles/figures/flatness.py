"""Figures 4 and 6: how evenly the neurons of each layer fire, language by language."""

import math

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import languages, sheets, style
from neuroglot.figures.findings import extremes
from neuroglot.figures.texts import corpora_of

CEILING = math.log2(math.e) / math.e
"""The largest flatness, of a layer all of whose neurons have S = 1 / e."""


@style.styled
def flatness(ds: Dataset, site: str) -> Figure:
    """Mean activation flatness per prefix (equation 2) by layer, one panel per corpus.

    The published sum over prefixes (equation 1) grows with the number of prefixes, which differs
    between languages. The step's table has this sum.

    Args:
        ds: ``flatness_mean(site, corpus, language, layer)`` in bits per neuron, with ``_low`` and
            ``_high``, and ``rows(corpus, language)``.
        site: ``act`` for figure 4, ``out`` for figure 6.
    """
    at_site = ds.sel(site=site)
    panels = corpora_of(at_site, "flatness_mean")
    if not panels:
        return style.empty(f"no activation flatness of {style.SITES[site]}")
    unit = f"mean activation flatness (bits per neuron; at most {CEILING:.3f})"
    figure = languages.by_layer(at_site, "flatness_mean", unit, panels)
    sheets.title(figure, ds, f"{style.SITES[site]}, activation flatness")
    return figure


def finding(ds: Dataset, site: str) -> str:
    """Say where flatness is lowest and highest."""
    values = ds["flatness_mean"].sel(site=site, drop=True)
    return extremes(values, "Flatness", "bits per neuron", ".3f")


FIGURES = {
    "figure_04_detector_flatness": style.Drawing.of(flatness, finding, site="act"),
    "figure_06_combinator_flatness": style.Drawing.of(flatness, finding, site="out"),
}
