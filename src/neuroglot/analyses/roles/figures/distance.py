"""Figures 9 and 10: how far apart parallel segments lie in each layer, in both directions."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset, concat, ones_like

from neuroglot.analyses.roles.figures.pairs import PAIR, compared
from neuroglot.analyses.roles.measures.distance import DERANGEMENTS
from neuroglot.figures import languages, series, sheets, texts
from neuroglot.figures.findings import number, settled, where
from neuroglot.figures.series import Series
from neuroglot.figures.style import SITES, Drawing, NothingToDraw

NAME, RATIO = "distance_mean", "distance_ratio"
UNIT = "log₂ of distance ÷ reference"
REFERENCES = {NAME: "÷ median pair", RATIO: "÷ unrelated segments"}
"""What distances are divided by, by the variable that is drawn."""


def first_text(ds: Dataset, site: str) -> Dataset:
    """The distances of different languages in the first text that has any."""
    ratio = (RATIO, f"{RATIO}_low", f"{RATIO}_high")
    distances = compared(ds, NAME, site, "segments", *ratio)
    if not distances.sizes["corpus"]:
        raise NothingToDraw(f"no two languages with distances between their {SITES[site]}")
    return distances.isel(corpus=0)


def distance(ds: Dataset, site: str) -> Figure:
    """Distance from and to the pivot by layer, relative to typical pairs and to other segments.

    The first text that has pairs of languages is drawn. The step's table has the published sums
    over prefixes, and all texts.

    Args:
        ds: ``distance_mean(site, corpus, language_a, language_b, layer)``, Euclidean distance per
            prefix of source ``a``, and ``distance_ratio``, its ratio to that of unrelated segments,
            both with ``_low`` and ``_high``; ``attrs["pivot"]``;
            ``segments(corpus, language_a, language_b)``.
        site: ``act`` for figure 9, ``out`` for figure 10.
    """
    first, named = first_text(ds, site), series.languages(ds, "language_a")
    pivot = series.pivot(ds, named)
    median = first[NAME].median(PAIR)
    relative = {NAME: median, RATIO: ones_like(median)}
    apart = bool(first[RATIO].notnull().any())
    titles, parts = {}, []
    for name, reference in REFERENCES.items() if apart else [(NAME, REFERENCES[NAME])]:
        ends = {f"{name}{end}": f"log{end}" for end in ("", "_low", "_high")}
        ratios = (first[[*ends]].rename(ends) / relative[name]).map(np.log2)
        for word, (at, other) in {"from": PAIR, "to": PAIR[::-1]}.items():
            titles[f"{name} {word}"] = f"{word} {named.label(pivot)},\n{reference}"
            parts.append(ratios.sel({at: pivot}, drop=True).rename({other: "language"}))
    panels = Series.of("panel", titles)
    joined = concat(parts, "panel").assign_coords(panel=[*panels]).assign_attrs(ds.attrs)
    figure = languages.by_layer(joined, "log", UNIT, panels, signed=True)
    counted = texts.counted(first["segments"].fillna(0).values, "parallel segments")
    unrelated = f"mean of {DERANGEMENTS} derangements" if apart else "no second segment"
    note = f"{first['corpus'].item()}, {counted}; unrelated: {unrelated}"
    return sheets.title(figure, ds, f"{SITES[site]}, distance of parallel prefixes", note)


def finding(ds: Dataset, site: str) -> str:
    """Say in which layer parallel prefixes lie nearest, compared with unrelated segments."""
    first = first_text(ds, site)
    ratio = first[RATIO].median(PAIR).drop_vars(["corpus", "site"])
    if not bool(ratio.notnull().any()):
        return ""
    near, far = (
        ratio.isel(layer=int(layer))
        for layer in (np.nanargmin(ratio.values), np.nanargmax(ratio.values))
    )
    counted = texts.counted(first["segments"].fillna(0).values, "segments")
    near_ratio, far_ratio = (number(value, ".2f") for value in (near, far))
    told = (
        f"On {counted} of {first['corpus'].item()}, parallel prefixes lie {near_ratio} times as "
        f"far apart as those of unrelated segments at {where(near)}, where they are nearest, and "
        f"{far_ratio} times at {where(far)} (medians over pairs of languages)."
    )
    return settled(told, int(first["segments"].max()), "parallel segments")


FIGURES = {
    "figure_09_detector_distance": Drawing(distance, finding, site="act"),
    "figure_10_combinator_distance": Drawing(distance, finding, site="out"),
}
