"""Figures 9 and 10: how far apart parallel segments lie in each layer, in both directions."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset, concat

from neuroglot.analyses.roles.figures.pairs import PAIR, compared
from neuroglot.figures import languages, series, sheets, texts
from neuroglot.figures.findings import extremes, settled
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing, NothingToDraw

NAME = "distance_mean"
UNIT = "log₂ of distance ÷ median of the layer's pairs"


def first_text(ds: Dataset, site: str) -> Dataset:
    """The distances of different languages in the first text that has any."""
    distances = compared(ds, NAME, site, "segments")
    if not distances.sizes["corpus"]:
        raise NothingToDraw(f"no two languages with distances between their {SITES[site]}")
    return distances.isel(corpus=0)


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
    first, named = first_text(ds, site), series.languages(ds, "language_a")
    pivot = series.pivot(ds, named)
    ratios = (first.drop_vars("segments") / first[NAME].median(PAIR)).map(np.log2)
    both = [
        ratios.sel({pair[0]: pivot}, drop=True).rename({pair[1]: "language"})
        for pair in (PAIR, PAIR[::-1])
    ]
    directions = Series.of(
        "direction", {word: f"{word} {named.label(pivot)}" for word in ("from", "to")}
    )
    joined = concat(both, "direction").assign_coords(direction=[*directions])
    figure = languages.by_layer(joined.assign_attrs(ds.attrs), NAME, UNIT, directions, signed=True)
    number = texts.counted(first["segments"].fillna(0).values, "parallel segments")
    note = f"{first['corpus'].item()}, {number}"
    return sheets.title(figure, ds, f"{SITES[site]}, distance of parallel prefixes", note)


def finding(ds: Dataset, site: str) -> str:
    """Say in which layer of the first text languages lie nearest and farthest."""
    first = first_text(ds, site)
    median = first[NAME].median(PAIR).drop_vars(["corpus", "site"])
    quantity = f"On {first['corpus'].item()}, the median distance per prefix over all pairs"
    nearest = extremes(median, quantity, "")
    return settled(nearest, int(first["segments"].max()), "parallel segments")


FIGURES = {
    "figure_09_detector_distance": Drawing(distance, finding, site="act"),
    "figure_10_combinator_distance": Drawing(distance, finding, site="out"),
}
