"""Figures 14 to 18: the same language, or pair of languages, in different parallel sets."""

from functools import partial
from itertools import combinations, permutations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis, plain_numbers
from neuroglot.figures.matrices import heat, limits

UNIT = "Spearman rank correlation"
COLUMNS = 3
ENDS = ("_low", "_high")
OVERLAPS = {
    "sentence_overlap": "share of the first set's sentences\nthat the second holds too",
    "token_overlap": "shared token types\n(Jaccard index)",
}

Pair = tuple[str, str]
Values = NDArray[np.float64]


@style.styled
def same_language(ds: Dataset, site: str) -> Figure:
    """One panel per pair of sets: rank correlation of each language's neurons between the two.

    Args:
        ds: ``same_language(site, language, corpus_a, corpus_b, layer)``, with ``_low`` and
            ``_high``.
        site: ``act`` for figure 14, ``out`` for figure 15.
    """
    values = ds["same_language"].sel(site=site)
    pairs = [pair for pair in combinations(sets(ds), 2) if style.present(in_sets(values, pair))]
    if not pairs:
        return style.empty(f"no language in two parallel sets ({style.SITES[site]})")
    languages = style.Languages.of(ds)
    axis = LayerAxis.of(ds)
    handles = style.language_handles(languages, panels.held(values, "language"))
    columns = min(COLUMNS, len(pairs))
    lines = -(-len(pairs) // columns)
    height = (lines + 0.3) * panels.PANEL_HEIGHT
    figure, body = panels.sheet(columns * panels.PANEL_WIDTH, height, handles)
    axes = panels.wrapped(body, len(pairs), columns, sharey=True)
    for ax, pair in zip(axes, pairs, strict=True):
        ends = (in_sets(ds[f"same_language{end}"].sel(site=site), pair) for end in ENDS)
        panels.language_bands(ax, axis, languages, *ends)
        panels.language_lines(ax, axis, languages, in_sets(values, pair))
        ax.set_title(" and ".join(pair))
    for ax in axes[::columns]:
        ax.set_ylabel(UNIT)
    style.title(figure, ds, site, "the same language in two sets")
    return figure


@style.styled
def overlap(ds: Dataset) -> Figure:
    """Overlap of two sets' text: one row per language, one column per pair of sets.

    Args:
        ds: ``sentence_overlap`` and ``token_overlap`` ``(language, corpus_a, corpus_b)``.
    """
    either = ds["sentence_overlap"].notnull() | ds["token_overlap"].notnull()
    apart = either & (ds["corpus_a"] != ds["corpus_b"])
    drawn = panels.held(either.where(apart), "language")
    if not drawn:
        return style.empty("no language in two parallel sets")
    languages = style.Languages.of(ds)
    ordered, unordered = list(permutations(sets(ds), 2)), list(combinations(sets(ds), 2))
    figure = panels.page(3.4 + 0.62 * (len(ordered) + len(unordered)), 2.0 + 0.22 * len(drawn))
    axes = figure.subplots(1, 2, sharey=True, width_ratios=(len(ordered), len(unordered)))
    overlaps = ds[[*OVERLAPS]].where(ds["corpus_a"] != ds["corpus_b"])
    high = max(limits(overlaps[name].values)[1] for name in OVERLAPS)
    for ax, name, pairs, word in (
        (axes[0], "sentence_overlap", ordered, "in"),
        (axes[1], "token_overlap", unordered, "and"),
    ):
        values = ds[name].sel(language=drawn)
        cells = np.stack([in_sets(values, pair).values for pair in pairs], axis=1)
        image = heat(ax, cells, 0, high)
        annotate(ax, cells, high)
        ax.set_title(OVERLAPS[name], fontsize="small")
        ax.set_xticks(range(len(pairs)), [f"{a} {word} {b}" for a, b in pairs], rotation=90)
        ax.set_xlabel("sets")
        ax.tick_params(length=0)
    axes[0].set_yticks(range(len(drawn)), [languages.names[language] for language in drawn])
    axes[0].set_ylabel("language")
    figure.colorbar(image, ax=axes.tolist(), label="share", format=PercentFormatter(1, 0))
    figure.align_xlabels()
    figure.suptitle("Overlap of parallel sets")
    return figure


def annotate(ax: Axes, cells: Values, high: float) -> None:
    """Write each of ``cells[row, column]`` as a percentage: white on dark, black on light cells."""
    for (row, column), share in np.ndenumerate(cells):
        if np.isfinite(share):
            color = "white" if share < 0.6 * high else "black"
            ax.text(column, row, f"{share:.0%}", ha="center", va="center", color=color, fontsize=7)


@style.styled
def parallel_pairs(ds: Dataset, site: str) -> Figure:
    """One panel per language: its rank correlation with the pivot, one line per parallel set.

    Args:
        ds: ``rank_correlation(site, corpus, language_a, language_b, layer)``, with ``_low`` and
            ``_high``; ``attrs["pivot"]``.
        site: ``act`` for figure 17, ``out`` for figure 18.
    """
    languages = style.Languages.of(ds, "language_a")
    pivot = style.pivot(ds, languages)
    with_pivot = ds.sel(site=site, language_a=pivot)
    values = with_pivot["rank_correlation"]
    drawn = [one for one in panels.held(values, "language_b") if one != pivot]
    if not drawn:
        return style.empty(f"no language beside {languages.names[pivot]} ({style.SITES[site]})")
    axis = LayerAxis.of(ds)
    corpora = panels.held(values, "corpus")
    columns = min(COLUMNS if len(drawn) <= 12 else 2 * COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    handles = [
        Line2D([], [], color="#444444", linestyle=style.DASHES[i], label=corpus)
        for i, corpus in enumerate(corpora)
    ]
    figure, body = panels.sheet(2.6 * columns, 0.6 + 1.8 * lines, handles)
    axes = panels.wrapped(body, len(drawn), columns, sharey=True)
    for ax, language in zip(axes, drawn, strict=True):
        for i, corpus in enumerate(corpora):
            of = {"corpus": corpus, "language_b": language}
            line = values.sel(of).values.astype(np.float64)
            ends = (with_pivot[f"rank_correlation{end}"].sel(of).values for end in ENDS)
            axis.fill(ax, *ends, **panels.band(languages, language))
            axis.plot(ax, line, **languages.line(language) | {"linestyle": style.DASHES[i]})
        axis.decorate(ax)
        plain_numbers(ax)
        ax.set_title(f"{languages.names[pivot]} – {languages.names[language]}")
    body.supylabel(UNIT, fontsize="medium")
    style.title(figure, ds, site, f"rank correlation with {languages.names[pivot]} in each set")
    return figure


def sets(ds: Dataset) -> list[str]:
    """List the ids of the parallel sets that are compared."""
    return [str(corpus) for corpus in ds["corpus_a"].values]


def in_sets(values: DataArray, pair: Pair) -> DataArray:
    """Select the ``values`` of the two sets in ``pair``."""
    return values.sel(corpus_a=pair[0], corpus_b=pair[1])


FIGURES: dict[str, style.Draw] = {
    "figure_14_detector_same_language": partial(same_language, site="act"),
    "figure_15_combinator_same_language": partial(same_language, site="out"),
    "figure_16_overlap": overlap,
    "figure_17_detector_parallel_pairs": partial(parallel_pairs, site="act"),
    "figure_18_combinator_parallel_pairs": partial(parallel_pairs, site="out"),
}
