"""Figures 9 and 10: how far apart parallel segments lie in each layer, in both directions."""

from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import different_languages, matrices_size, selected_layers

UNIT = "mean distance per source prefix\n(Euclidean)"
LARGEST_LINEAR_RATIO = 30.0


@style.styled
def distance(ds: Dataset, site: str) -> Figure:
    """Distance from and to the pivot by layer, above matrices of all pairs in selected layers.

    The figure shows algorithm 1's sum divided by the number of source prefixes. This makes the two
    directions and all languages comparable. The step's table has the published sum.

    Args:
        ds: ``distance_mean(site, corpus, language_a, language_b, layer)`` from source ``a`` to
            target ``b``, with ``_low`` and ``_high``; ``attrs["pivot"]``.
        site: ``act`` for figure 9, ``out`` for figure 10.
    """
    values, low, high = (
        different_languages(ds[f"distance_mean{end}"].sel(site=site))
        for end in ("", "_low", "_high")
    )
    corpora = panels.held(values, "corpus")
    if not corpora:
        return style.empty(f"no two languages with distances between their {style.SITES[site]}")
    values = values.sel(corpus=corpora)
    languages = style.Languages.of(ds, "language_a")
    axis = LayerAxis.of(ds)
    pivot = style.pivot(ds, languages)
    name = languages.names[pivot]
    directions = {
        label: [one.sel({of: pivot}).rename({to: "language"}) for one in (values, low, high)]
        for label, of, to in (
            (f"from {name} to …", "language_a", "language_b"),
            (f"from … to {name}", "language_b", "language_a"),
        )
    }
    drawn = [
        language
        for language in languages
        if any(language in panels.held(lines, "language") for lines, *_ in directions.values())
    ]
    handles = style.language_handles(languages, drawn)
    figure, upper, lower = panels.two_storeys(
        (len(corpora) * panels.PANEL_WIDTH, 2 * panels.PANEL_HEIGHT),
        matrices_size(len(languages.ids), len(axis.chosen()), len(corpora)),
        handles,
    )
    axes = upper.subplots(2, len(corpora), squeeze=False, sharey=True)
    for row, (direction, lines) in enumerate(directions.items()):
        for ax, corpus in zip(axes[row], corpora, strict=True):
            line, *ends = (one.sel(corpus=corpus) for one in lines)
            panels.language_bands(ax, axis, languages, *ends)
            panels.language_lines(ax, axis, languages, line)
            ax.set_title(f"{corpus}, {direction}")
        axes[row, 0].set_ylabel(UNIT)
    if spread(values) > LARGEST_LINEAR_RATIO:
        axes[0, 0].set_yscale("log")
        for ax in axes.flat:
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_formatter(NullFormatter())
    names = [languages.names[language] for language in languages]
    selected_layers(lower, values, axis, names, ("source", "target"), UNIT, shared=False)
    style.title(figure, ds, site, "distance between parallel prefixes")
    return figure


def spread(values: DataArray) -> float:
    """Return the largest distance divided by the smallest; 1 if the smallest is zero."""
    low, high = float(values.min()), float(values.max())
    return high / low if low > 0 else 1.0


FIGURES: dict[str, style.Draw] = {
    "figure_09_detector_distance": partial(distance, site="act"),
    "figure_10_combinator_distance": partial(distance, site="out"),
}
