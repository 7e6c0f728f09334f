"""Figures 12 and 13: rank correlation between languages of each layer's neurons."""

import math
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import (
    cluster_order,
    different_languages,
    heat_layers,
    limits,
    matrices_size,
    selected_layers,
)

UNIT = "Spearman rank correlation"
BANDS = {"smallest to largest": (0.0, 1.0, 0.15), "middle half": (0.25, 0.75, 0.35)}
GREY = "#444444"
ONE_BLOCK = 60
ROW_HEIGHT = 0.115
BLOCK_WIDTH = 1.9

Values = NDArray[np.float64]


@style.styled
def rank_correlation(ds: Dataset, site: str) -> Figure:
    """Rank correlation by layer: the pivot with every language, all pairs, and matrices below.

    All pairs of languages are drawn as their mean and spread.

    Args:
        ds: ``rank_correlation(site, corpus, language_a, language_b, layer)``, with ``_low`` and
            ``_high``; ``attrs["pivot"]``.
        site: ``act`` for figure 12, ``out`` for figure 13.
    """
    values = different_languages(ds["rank_correlation"].sel(site=site))
    corpora = panels.held(values, "corpus")
    if not corpora:
        return style.empty(f"no two languages with ranks of {style.SITES[site]}")
    values = values.sel(corpus=corpora)
    languages = style.Languages.of(ds, "language_a")
    axis = LayerAxis.of(ds)
    pivot = style.pivot(ds, languages)
    with_pivot = values.sel(language_a=pivot).rename(language_b="language")
    ends = [
        different_languages(ds[f"rank_correlation{end}"].sel(site=site))
        .sel(language_a=pivot)
        .rename(language_b="language")
        for end in ("_low", "_high")
    ]
    handles = style.language_handles(languages, panels.held(with_pivot, "language"))
    figure, upper, lower = panels.two_storeys(
        (len(corpora) * panels.PANEL_WIDTH, 2 * panels.PANEL_HEIGHT),
        matrices_size(len(languages.ids), len(axis.chosen()), len(corpora)),
        [*handles, *band_handles()],
    )
    axes = upper.subplots(2, len(corpora), squeeze=False, sharey=True)
    for column, corpus in enumerate(corpora):
        top, bottom = axes[:, column]
        panels.language_bands(top, axis, languages, *(end.sel(corpus=corpus) for end in ends))
        panels.language_lines(top, axis, languages, with_pivot.sel(corpus=corpus))
        top.set_title(f"{corpus}, {languages.names[pivot]} with …")
        count = draw_bands(bottom, axis, pairs_of(values.sel(corpus=[corpus]))[1][0])
        bottom.set_title(f"{corpus}, all {count} pairs" if count > 1 else f"{corpus}, the one pair")
    for ax in axes[:, 0]:
        ax.set_ylabel(UNIT)
    order = [languages.ids[i] for i in cluster_order(similarity(values))]
    ordered = values.sel(language_a=order, language_b=order)
    names = [languages.names[language] for language in order]
    selected_layers(lower, ordered, axis, names, ("language", "language"), UNIT, shared=True)
    style.title(figure, ds, site, "rank correlation between languages")
    return figure


def similarity(values: DataArray) -> Values:
    """Mean over corpora and layers, ``(language_a, language_b)``."""
    mean = values.mean(["corpus", "layer"], skipna=True)
    return np.asarray(mean.transpose("language_a", "language_b").values, dtype=np.float64)


def pairs_of(values: DataArray) -> tuple[list[tuple[str, str]], Values]:
    """List the language pairs that have any value, and their values ``[corpus, pair, layer]``."""
    ordered = values.transpose("corpus", "language_a", "language_b", "layer")
    ids = [str(language) for language in ordered["language_a"].values]
    first, second = np.triu_indices(len(ids), 1)
    lines = np.asarray(ordered.values[:, first, second], dtype=np.float64)
    keep = np.flatnonzero(np.isfinite(lines).any((0, 2)))
    return [(ids[first[k]], ids[second[k]]) for k in keep], lines[:, keep]


def draw_bands(ax: Axes, axis: LayerAxis, lines: Values) -> int:
    """Draw the mean and spread of ``lines[pair, layer]``; return the number of pairs."""
    whole = np.isfinite(lines).any(0)
    for low, high, alpha in BANDS.values():
        edges = np.full((2, lines.shape[1]), np.nan)
        edges[:, whole] = np.nanquantile(lines[:, whole], (low, high), axis=0)
        axis.fill(ax, edges[0], edges[1], color=GREY, alpha=alpha, linewidth=0)
    mean = np.full(lines.shape[1], np.nan)
    mean[whole] = np.nanmean(lines[:, whole], axis=0)
    axis.plot(ax, mean, color=GREY, marker=".")
    axis.decorate(ax)
    return len(lines)


def band_handles() -> list[Line2D | Patch]:
    """Legend entries of the summary over all pairs."""
    bands = [
        Patch(color=GREY, alpha=alpha, linewidth=0, label=f"pairs: {name}")
        for name, (_, _, alpha) in BANDS.items()
    ]
    return [Line2D([], [], color=GREY, marker=".", label="pairs: mean"), *bands]


@style.styled
def all_pairs(ds: Dataset, site: str) -> Figure:
    """Every pair of languages as a row of colours by layer, the most similar pair on top.

    With more than 60 pairs, the rows continue in blocks to the right and ids replace names.
    """
    values = different_languages(ds["rank_correlation"].sel(site=site))
    corpora = panels.held(values, "corpus")
    if not corpora:
        return style.empty(f"no two languages with ranks of {style.SITES[site]}")
    pairs, lines = pairs_of(values.sel(corpus=corpora))
    order = np.argsort(-np.nanmean(lines, axis=(0, 2)), kind="stable")
    axis = LayerAxis.of(ds)
    languages = style.Languages.of(ds, "language_a")
    names = languages.names if len(pairs) <= ONE_BLOCK else {one: one for one in languages}
    labels = [f"{names[a]} – {names[b]}" for a, b in pairs]
    blocks = np.array_split(order, block_count(len(pairs), len(corpora)))
    label_width = 0.3 + 0.05 * max(map(len, labels))
    figure = panels.page(
        1.2 + len(blocks) * (label_width + BLOCK_WIDTH * len(corpora)),
        1.4 + ROW_HEIGHT * len(blocks[0]),
    )
    axes = figure.subplots(1, len(blocks) * len(corpora), squeeze=False)[0]
    low, high = limits(lines)
    for i, ax in enumerate(axes):
        block, corpus = blocks[i // len(corpora)], i % len(corpora)
        image = heat_layers(ax, axis, lines[corpus, block], low, high)
        ax.set_title(corpora[corpus])
        ax.set_ylim(len(blocks[0]) - 0.5, -0.5)
        named = block if corpus == 0 else block[:0]
        ax.set_yticks(range(len(named)), [labels[k] for k in named])
        ax.tick_params(axis="y", length=0, labelsize=6.5)
    figure.colorbar(image, ax=axes.tolist(), label=UNIT, fraction=0.05, aspect=40)
    style.title(figure, ds, site, "rank correlation of every pair")
    return figure


def block_count(pairs: int, corpora: int) -> int:
    """Choose the number of blocks that makes a page of many pairs about as wide as high."""
    if pairs <= ONE_BLOCK:
        return 1
    return math.ceil(math.sqrt(pairs * ROW_HEIGHT / (BLOCK_WIDTH * corpora + 0.6)))


FIGURES: dict[str, style.Draw] = {
    "figure_12_detector_rank_correlation": partial(rank_correlation, site="act"),
    "figure_12_detector_rank_correlation_pairs": partial(all_pairs, site="act"),
    "figure_13_combinator_rank_correlation": partial(rank_correlation, site="out"),
    "figure_13_combinator_rank_correlation_pairs": partial(all_pairs, site="out"),
}
