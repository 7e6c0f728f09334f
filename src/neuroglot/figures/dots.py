"""Draws several series of points with intervals by language, with means below the last language."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

LANGUAGE_HEIGHT = 0.32  # inches
SPREAD = 0.72  # share of a language's height for all series
MEAN = "mean of languages"
HOLLOW: dict[str, Any] = {"markerfacecolor": "white"}

Values = NDArray[np.float64]


def height(languages: int) -> float:
    """Height in inches of a panel with ``languages`` languages and their mean."""
    return max(1.9, 1.1 + LANGUAGE_HEIGHT * (languages + 1))


def name_rows(row: Sequence[Axes], labels: Sequence[str]) -> None:
    """Name the languages of panels that share their y axis: language ``i`` at height ``i``."""
    several = len(labels) > 1
    shown = [*labels, MEAN] if several else list(labels)
    row[0].set_yticks(range(len(shown)), shown)
    row[0].set_ylim(len(shown) - 0.4, -0.6)
    for ax in row:
        if several:
            ax.axhline(len(labels) - 0.5, color="#888888", linewidth=0.8)
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(MaxNLocator(4))


def points(
    ax: Axes,
    looks: Sequence[dict[str, Any]],
    means: Values,
    lows: Values | None = None,
    highs: Values | None = None,
) -> None:
    """Draw every series at its own height within a language; means are over complete languages.

    Args:
        ax: axes from ``name_rows``.
        looks: each series' color, marker and label.
        means: ``[series, language]``; NaN is not drawn.
        lows: lower ends of the intervals, if any.
        highs: upper ends of the intervals.
    """
    series, languages = means.shape
    complete = np.isfinite(means).all(0)
    step = SPREAD / max(series, 2)
    for place, look in enumerate(looks):
        shift = step * (place - (series - 1) / 2)
        heights = np.arange(languages) + shift
        if lows is not None and highs is not None:
            ax.hlines(heights, lows[place], highs[place], color=look["color"], linewidth=1.0)
        ax.plot(means[place], heights, linestyle="none", **look)
        if languages > 1 and complete.any():
            ax.plot(means[place, complete].mean(), languages + shift, linestyle="none", **look)
