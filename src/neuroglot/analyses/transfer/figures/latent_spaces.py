"""Languages in the latent space: principal components and centroids by state."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import (
    cluster_order,
    different_languages,
    limits,
    matrix,
    matrix_side,
    name_width,
    whole_numbers,
)

STATES = 6
COLUMNS = 3
SIDE = 2.6  # inches
POINT: dict[str, Any] = {"linestyle": "none", "markersize": 2.2, "markeredgewidth": 0}
CENTROID: dict[str, Any] = {
    "linestyle": "none",
    "markersize": 7.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}
PIVOT: dict[str, Any] = {"markersize": 10, "markeredgecolor": "black", "markeredgewidth": 1.4}


@style.styled
def principal_coordinates(ds: Dataset) -> Figure:
    """Segments and centroids on the first two principal components, in six states of each stack.

    Args:
        ds: ``coordinates(state, language, segment, component)``; share of the variance,
            ``explained(state, component)``; ``attrs["pivot"]``.
    """
    values = ds["coordinates"]
    drawn = panels.held(values, "language")
    if not drawn:
        return style.empty("no states of segments")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    pivot = style.pivot(ds, languages)
    states = [int(state) for stack in axis.stacks for state in evenly(stack.layers, STATES)]
    columns = min(COLUMNS, len(states))
    handles = [
        grids.heading("centroids"),
        *(
            Line2D([], [], label=languages.names[one], **centroid(languages, one, pivot))
            for one in drawn
        ),
    ]
    height = 0.4 + SIDE * -(-len(states) // columns)
    figure, body = panels.sheet(0.2 + columns * SIDE, height, handles)
    axes = panels.wrapped(body, len(states), columns)
    for ax, state in zip(axes, states, strict=True):
        own = values.isel(state=state).sel(language=drawn)
        cloud(ax, own.transpose("language", "segment", "component"), languages, pivot)
        ax.set_title(axis.name(state))
        shares = ds["explained"].isel(state=state).values
        ax.set_xlabel(f"component 1 ({shares[0]:.0%} of variance)")
        ax.set_ylabel(f"component 2 ({shares[1]:.0%})")
    grids.title(figure, ds, looks.counted(ds, "languages in the latent space"))
    return figure


def evenly(states: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Take at most ``most`` evenly spaced states, including the first and the last."""
    picks = np.linspace(0, len(states) - 1, min(most, len(states)))
    return states[np.round(picks).astype(np.intp)]


def centroid(languages: style.Languages, language: str, pivot: str) -> dict[str, Any]:
    """The look of a language's centroid; the pivot's is larger, with a black edge."""
    look = {key: languages.line(language)[key] for key in ("color", "marker")}
    return look | CENTROID | (PIVOT if language == pivot else {})


def cloud(ax: Axes, values: DataArray, languages: style.Languages, pivot: str) -> None:
    """Draw ``values(language, segment, component)``: faint segments, and centroids on top.

    The pivot is drawn last, so that nothing hides it.
    """
    order = sorted(map(str, values["language"].values), key=lambda one: one == pivot)
    for language in order:
        x, y = values.sel(language=language).values.T
        look = {key: languages.line(language)[key] for key in ("color", "marker")}
        ax.plot(x, y, alpha=0.45, rasterized=True, **look, **POINT)
    for language in order:
        x, y = values.sel(language=language).mean("segment").values
        ax.plot(x, y, **centroid(languages, language, pivot))
    for one in (ax.xaxis, ax.yaxis):
        one.set_major_locator(MaxNLocator(3))
        one.set_major_formatter(StrMethodFormatter("{x:,g}"))


@style.styled
def principal_components(ds: Dataset) -> Figure:
    """Number of principal components that explain a share of a language's variance.

    One panel per share.

    Args:
        ds: ``components(state, language, variance)``; ``attrs["pivot"]``.
    """
    values = ds["components"]
    shares = [float(share) for share in ds["variance"].values]
    drawn = panels.held(values, "language")
    if not drawn or not shares:
        return style.empty("no principal components")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    figure, body = panels.sheet(
        len(shares) * panels.PANEL_WIDTH,
        panels.PANEL_HEIGHT,
        grids.language_handles(languages, drawn),
    )
    axes = body.subplots(1, len(shares), squeeze=False)[0]
    for ax, share in zip(axes, shares, strict=True):
        panels.language_lines(ax, axis, languages, values.sel(variance=share))
        ax.yaxis.set_major_locator(whole_numbers(6))
        ax.set_ylim(bottom=0)
        ax.set_title(f"{100 * share:g} % of the variance")
    axes[0].set_ylabel("principal components")
    grids.title(figure, ds, looks.counted(ds, "principal components of each language"))
    return figure


@style.styled
def centroid_similarity(ds: Dataset) -> Figure:
    """Cosines between centroids: with the pivot in all states, and of all pairs in some states.

    Args:
        ds: ``centroid_similarity(state, language, language_other)``; ``attrs["pivot"]``.
    """
    pairs = ds["centroid_similarity"].rename(language="language_a", language_other="language_b")
    pairs = different_languages(pairs)
    if not style.present(pairs):
        return style.empty("no two languages with centroids")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds, "state")
    pivot = style.pivot(ds, languages)
    lines = pairs.sel(language_b=pivot, drop=True).rename(language_a="language")
    drawn, states = panels.held(pairs, "language_a"), axis.chosen()
    cells = pairs.sel(language_a=drawn, language_b=drawn).isel(state=list(states))
    squares = cells.transpose("state", "language_a", "language_b").values.astype(np.float64)
    order = cluster_order(squares.mean(0))
    names = [languages.names[drawn[i]] for i in order]
    side, beside = matrix_side(len(names)), name_width(names)
    columns = min(COLUMNS, len(states))
    rows = -(-len(states) // columns)
    figure, upper, lower = panels.two_storeys(
        (1.6 * panels.PANEL_WIDTH, panels.PANEL_HEIGHT),
        (columns * (side + 0.3) + beside + 1.7, rows * (side + 0.4) + beside + 0.4),
        grids.language_handles(languages, panels.held(lines, "language")),
    )
    ax = upper.subplots()
    panels.language_lines(ax, axis, languages, lines)
    ax.set_ylabel(f"cosine with the centroid\nof {languages.names[pivot]}")
    axes = panels.wrapped(lower, len(states), columns, sharex=True, sharey=True)
    low, high = limits(squares)
    for ax, state, square in zip(axes, states, squares, strict=True):
        image = matrix(ax, square[np.ix_(order, order)], names, low, high)
        ax.set_title(axis.name(state))
    lower.colorbar(image, ax=axes, label="cosine between\nthe centroids", fraction=0.03)
    grids.title(figure, ds, looks.counted(ds, "similarity of the languages' centroids"))
    return figure


FIGURES: dict[str, style.Draw] = {
    "principal_coordinates": principal_coordinates,
    "principal_components": principal_components,
    "centroid_similarity": centroid_similarity,
}
