"""Figures 9 and 10: how far apart parallel segments lie in each layer, in both directions."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset, concat

from neuroglot.analyses.roles.figures.pairs import PAIR, compared
from neuroglot.figures import languages, series, sheets, style
from neuroglot.figures.findings import extremes, settled
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import counted

NAME = "distance_mean"
UNIT = "log₂ of distance ÷ median of the layer's pairs"


@style.styled
def distance(ds: Dataset, site: str) -> Figure:
    """Distance from and to the pivot by layer, relative to the median over all pairs.

    The first text that has pairs of languages is drawn. The step's table has the published sums
    over prefixes, and all texts.

    Args:
        ds: ``distance_mean(site, corpus, language_a, language_b, layer)``, Euclidean distance per
            prefix of source ``a``, with ``_low`` and ``_high``; ``attrs["pivot"]``;
            ``segments(corpus, language_a, language_b)``.
        site: ``act`` for figure 9, ``out`` for figure 10.
    """
    values = compared(ds, NAME, site, "segments")
    if not values.sizes["corpus"]:
        return style.empty(f"no two languages with distances between their {style.SITES[site]}")
    first = values.isel(corpus=0)
    named = series.languages(ds, "language_a")
    pivot = series.pivot(ds, named)
    ratios = (first.drop_vars("segments") / first[NAME].median(PAIR)).map(np.log2)
    both = [
        ratios.sel({pair[0]: pivot}, drop=True).rename({pair[1]: "language"})
        for pair in (PAIR, PAIR[::-1])
    ]
    titles = {word: f"{word} {named.label(pivot)}" for word in ("from", "to")}
    joined = concat(both, "direction").assign_coords(direction=[*titles]).assign_attrs(ds.attrs)
    figure = languages.by_layer(joined, NAME, UNIT, Facet("direction", titles), signed=True)
    number = counted(first["segments"].fillna(0).values, "parallel segments")
    note = f"{first['corpus'].item()}, {number}"
    sheets.title(figure, ds, f"{style.SITES[site]}, distance of parallel prefixes", note)
    return figure


def finding(ds: Dataset, site: str) -> str:
    """Say in which layer of the first text languages lie nearest and farthest."""
    values = compared(ds, NAME, site, "segments")
    if not values.sizes["corpus"]:
        return ""
    first = values.isel(corpus=0).drop_vars("site")
    quantity = f"On {first['corpus'].item()}, the median distance per prefix over all pairs"
    found = extremes(first[NAME].median(PAIR).drop_vars("corpus"), quantity, "")
    return settled(found, int(first["segments"].max()), "parallel segments")


FIGURES = {
    "figure_09_detector_distance": style.Drawing.of(distance, finding, site="act"),
    "figure_10_combinator_distance": style.Drawing.of(distance, finding, site="out"),
}
