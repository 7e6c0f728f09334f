"""Draws one line per language by layer or state, in panels with one common legend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure
from xarray import DataArray

from neuroglot.figures import style
from neuroglot.figures.layers import LayerAxis, plain_numbers

PANEL_WIDTH = 3.7
PANEL_HEIGHT = 2.5
TITLE_HEIGHT = 0.3
BAND_ALPHA = 0.15


def page(width: float, height: float) -> Figure:
    """Make an empty figure of ``width`` by ``height`` inches, or larger if the title needs it."""
    return Figure(figsize=(max(width, 6.0), max(height, 2.6)), layout="constrained")


def sheet(width: float, height: float, handles: Sequence[Artist]) -> tuple[Figure, SubFigure]:
    """Make a figure with room for a title, and a body of ``width`` by ``height`` inches.

    A legend of ``handles`` widens the body.
    """
    legend_width = style.legend_columns(handles, height)[1]
    figure = page(width + legend_width, height + TITLE_HEIGHT)
    body: SubFigure = figure.subfigures(1, 1, squeeze=False)[0, 0]
    style.legend(body, handles, height)
    return figure, body


def wrapped(figure: FigureBase, count: int, columns: int, **shared: Any) -> list[Axes]:
    """Make ``count`` axes in rows of ``columns``, from left to right and then down."""
    lines = -(-count // columns)
    axes = figure.subplots(lines, columns, squeeze=False, **shared).ravel()
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[:count][-columns:]:
        ax.tick_params(labelbottom=True)
    return [*axes[:count]]


def two_storeys(
    lines: tuple[float, float], matrices: tuple[float, float], handles: Sequence[Artist]
) -> tuple[Figure, SubFigure, SubFigure]:
    """Make a figure with room for line panels and a legend above, and for matrices below.

    Args:
        lines: width and height in inches of the panels above.
        matrices: width and height in inches of the matrices below.
        handles: entries of the legend right of the lines.

    Returns:
        The figure, its upper part and its lower part.
    """
    width = max(lines[0] + style.legend_columns(handles, lines[1])[1], matrices[0])
    figure = page(width, lines[1] + matrices[1] + TITLE_HEIGHT)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(lines[1], matrices[1]))[
        :, 0
    ]
    style.legend(upper, handles, lines[1])
    return figure, upper, lower


def held(values: DataArray, dimension: str) -> list[str]:
    """Ids along ``dimension`` for which ``values`` has at least one number."""
    others = [name for name in values.dims if name != dimension]
    keep = values.notnull().any(others)
    return [str(name) for name in values[dimension].values[keep.values]]


def language_lines(
    ax: Axes, axis: LayerAxis, languages: style.Languages, values: DataArray
) -> None:
    """Draw ``values(language, layer)`` as one line per language that has any number.

    If ``axis`` has states, the dimension is ``state``.
    """
    for language in held(values, "language"):
        line = values.sel(language=language).values.astype(np.float64)
        axis.plot(ax, line, **languages.line(language))
    axis.decorate(ax)
    plain_numbers(ax)
    note_constant(ax, values, axis.word)


def language_bands(
    ax: Axes, axis: LayerAxis, languages: style.Languages, low: DataArray, high: DataArray
) -> None:
    """Fill from ``low(language, layer)`` to ``high`` in each language's colour."""
    for language in held(low, "language"):
        ends = (one.sel(language=language).values.astype(np.float64) for one in (low, high))
        axis.fill(ax, *ends, **band(languages, language))


def band(languages: style.Languages, language: str) -> dict[str, Any]:
    """Keyword arguments for a band in the language's colour."""
    color = languages.line(language)["color"]
    return {"color": color, "alpha": BAND_ALPHA, "linewidth": 0}


def note_constant(ax: Axes, values: DataArray, word: str) -> None:
    """If all numbers in ``ax`` are equal, say so, and leave room around their line."""
    low, high = float(values.min()), float(values.max())
    if not high - low <= 1e-9 * max(1.0, abs(low)):
        return
    margin = 0.05 * abs(low) or 0.05
    ax.update_datalim([(1, low - margin), (1, low + margin)])
    ax.autoscale_view(scalex=False)
    if int(values.count()) > 1:
        ax.annotate(
            f"constant: {low:.6g} in every {word} and language",
            (0.5, low),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )


def prefixes(rows: DataArray) -> str:
    """Write the range of the languages' numbers of prefixes: "812 to 1,240 prefixes"."""
    counts = sorted(int(count) for count in rows.values.ravel() if count > 0)
    if not counts:
        return ""
    low, high = counts[0], counts[-1]
    return f"{low:,} prefixes" if low == high else f"{low:,} to {high:,} prefixes"
