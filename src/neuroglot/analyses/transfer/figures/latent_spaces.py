"""Languages in the latent space: principal components and centroids by state."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import heat, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing, NothingToDraw, require
from neuroglot.figures.texts import held

ABREAST = 3
APART = 0.08
"""Distance of centroids with a direct label from all others, as a share of the cloud's width."""
FEWEST = 3
"""Languages below which deviations from their mean have no structure."""


def principal_coordinates(ds: Dataset) -> Figure:
    """Segments and centroids on two principal components, in each stack's first to last state.

    Args:
        ds: ``coordinates(state, language, segment, component)``; share of the variance,
            ``explained(state, component)``; ``attrs["pivot"]``.
    """
    require(ds["coordinates"], "no states of segments")
    languages, axis = (
        series.languages(ds).only(held(ds, "coordinates", "language")),
        LayerAxis.of(ds, "state"),
    )
    states = axis.chosen()
    figure = sheets.sheet(1.2 + 2.3 * -(-len(states) // ABREAST) + 0.04 * len(languages))
    for place, state in enumerate(states, 1):
        ax = figure.add_subplot(-(-len(states) // ABREAST), ABREAST, place)
        cloud(ax, ds["coordinates"].isel(state=state), languages, series.pivot(ds, languages))
        shares = ds["explained"].isel(state=state).values
        ax.set_title(axis.name(state))
        ax.set_xlabel(f"component 1 ({shares[0]:.0%} of variance)")
        ax.set_ylabel(f"component 2 ({shares[1]:.0%})")
    sheets.legend(figure, languages)
    note = looks.note(ds, "large: means of languages, hollow: of the pivot")
    return sheets.title(figure, ds, "segments of all languages on principal components", note)


def cloud(ax: Axes, values: DataArray, languages: Series, pivot: str) -> None:
    """Draw ``values(language, segment, component)`` and their means, the pivot's on top."""
    order = sorted(languages, key=lambda language: language == pivot)
    rows = values.sel(language=order).transpose("language", "segment", "component").values
    means, width = rows.mean(1), np.ptp(rows, axis=(0, 1)).max()
    for language, of_language, mean in zip(order, rows, means, strict=True):
        look = languages.looks[language]
        small: dict[str, Any] = {"markersize": 2, "markeredgewidth": 0, "rasterized": True}
        ax.plot(*of_language.T, look.marker, color=look.color, alpha=0.4, **small)
        face = "white" if language == pivot else look.color
        ax.plot(*mean, look.marker, color=look.color, markerfacecolor=face, zorder=3)
        if np.sum(np.linalg.norm(means - mean, axis=1) < APART * width) == 1:
            ax.annotate(language, mean, (5, 0), textcoords="offset points", va="center")
    ax.set_aspect("equal", adjustable="datalim")
    ax.locator_params(nbins=3)


def explained(ds: Dataset) -> str:
    """Say how much of the variance the two components hold."""
    shares = ds["explained"].sum("component", min_count=1)
    return in_states(ds, shares, "Share of the variance that two components hold", ".0%")


def in_states(ds: Dataset, values: DataArray, what: str, form: str) -> str:
    """Tell ``values(state)`` of each stack's first, middle and last state."""
    axis = LayerAxis.of(ds, "state")
    known = [state for state in axis.chosen() if values[state].notnull()]
    parts = [f"{float(values[state]):{form}} in {axis.name(state)}" for state in known]
    return f"{what}: {', '.join(parts)}." if parts else ""


def components(ds: Dataset) -> tuple[Dataset, Series]:
    """Number of components that explain a share of a language's variance, a panel for each share.

    It is known if its median is at most half of the largest possible number, segments less one.

    Args:
        ds: ``components(state, language, variance)``, dimension ``segment``.
    """
    counts = ds["components"]
    few = counts.median(["state", "language"]) <= (looks.segments(ds) - 1) / 2
    values = Dataset({"value": counts.where(few)})
    return values, looks.numbers(values, "variance", "{:.4g} of the variance")


def centred(ds: Dataset) -> DataArray:
    """Cosines of centroids after the mean of their directions is taken off, NaN with themselves.

    Args:
        ds: cosines before, ``centroid_similarity(state, language, language_other)``.
    """
    cosine = ds["centroid_similarity"].transpose("state", "language", "language_other")
    off = np.eye(ds.sizes["language"]) - 1 / ds.sizes["language"]
    products = off @ cosine.values @ off
    length = np.sqrt(np.diagonal(products, axis1=1, axis2=2).clip(np.finfo(float).tiny))
    scaled = cosine.copy(data=products / length[:, :, None] / length[:, None])
    return scaled.where(ds["language"] != ds["language_other"])


def centroid_similarity(ds: Dataset) -> Figure:
    """Cosines of ``centred`` of all languages, in each stack's middle and last state."""
    languages, axis = series.languages(ds), LayerAxis.of(ds, "state")
    if len(languages) < FEWEST or not ds["centroid_similarity"].notnull().any():
        raise NothingToDraw(f"centroids of fewer than {FEWEST} languages")
    states = [state for state in axis.chosen() if ds["stack_state"][state] > 0]
    squares = centred(ds).isel(state=states).values
    order, tree = heat.clustered(squares.mean(0))
    names = [languages.labels[place] for place in order]
    across = min(2, len(states))
    down, side = -(-len(states) // across), max(1.6, heat.side(len(names), written=False))
    figure = sheets.sheet(1.3 + down * (side + 0.3) + 0.07 * max(map(len, names)), across)
    heights = [0.3, *[side] * down]
    above, *below = figure.subplots(1 + down, across, squeeze=False, height_ratios=heights)
    scale = heat.Scale.of(squares, "cosine of deviations from the mean", True, limits=(-1, 1))
    for ax in above:
        heat.draw_tree(ax, tree)
    axes = [ax for row in below for ax in row]
    for ax, state, square in zip(axes, states, squares, strict=False):
        heat.matrix(ax, square[np.ix_(order, order)], names, names, scale)
        ax.set(title=axis.name(state), xlabel="language")
        ax.label_outer()
    for ax in axes[len(states) :]:
        ax.remove()
    scale.bar(figure, figure.axes)
    return sheets.title(figure, ds, "similarity of the languages' centroids", looks.note(ds))


def uncentred(ds: Dataset) -> str:
    """Say how similar two centroids are on average before their mean is taken off."""
    if ds.sizes["language"] < FEWEST:
        return ""
    pairs = ds["centroid_similarity"].where(ds["language"] != ds["language_other"])
    means = pairs.mean(["language", "language_other"])
    return in_states(ds, means, "Mean cosine of two languages' centroids as they are", ".3f")


FIGURES = {
    "principal_coordinates": Drawing(principal_coordinates, explained),
    "principal_components": looks.by_state(
        components, "principal components of each language", "number of components"
    ),
    "centroid_similarity": Drawing(centroid_similarity, uncentred),
}
