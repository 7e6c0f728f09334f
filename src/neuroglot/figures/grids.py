"""Pages with a grid of panels, a row per task or language, under one legend."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from xarray import Dataset

from neuroglot.figures import panels, style

ROW_HEIGHT = 2.0
ROW_WIDTH = 10.4
LABEL_CHARACTERS = 22

Panels: TypeAlias = list[list[Axes]]  # [row][column]


def title(figure: Figure, ds: Dataset, subject: str) -> None:
    """Head the figure with the model, where it is of one, and what is drawn."""
    figure.suptitle(": ".join(filter(None, [ds.attrs.get("model"), subject])), wrap=True)


def heading(text: str) -> Line2D:
    """A line of the legend that says what the entries below it are."""
    return Line2D([], [], linestyle="none", label=text)


def language_handles(languages: style.Languages, drawn: Sequence[str]) -> list[Line2D]:
    """Legend entries of the languages in ``drawn``."""
    return [heading("language"), *style.language_handles(languages, drawn)]


def row_label(name: str, note: str = "") -> str:
    """``name`` in lines that fit the height of a row, and ``note`` below it."""
    lines = [""]
    for part in re.split(r"(?<=[_-])", name):
        if lines[-1] and len(lines[-1] + part) > LABEL_CHARACTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(filter(None, [*lines, note]))


def rows(
    labels: Sequence[str], columns: Sequence[str], handles: Sequence[Artist], **shared: Any
) -> tuple[Figure, Panels]:
    """A figure with a row of panels for each of ``labels`` and a heading over each column.

    The panels of a column share their x axis, if ``shared`` does not say otherwise.

    Returns:
        The figure and its axes, row by row.
    """
    width = min(panels.PANEL_WIDTH, ROW_WIDTH / len(columns))
    size = (0.4 + width * len(columns), 0.5 + ROW_HEIGHT * len(labels))
    figure, body = panels.sheet(*size, handles)
    sharing = {"sharex": "col"} | shared
    axes: Panels = body.subplots(len(labels), len(columns), squeeze=False, **sharing).tolist()
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column)
    return figure, axes


def finish(axes: Panels) -> None:
    """Keep the label below the lowest panel of each column only."""
    for ax in flat(axes[:-1]):
        ax.set_xlabel("")


def flat(axes: Panels) -> list[Axes]:
    """All axes of all rows."""
    return [ax for row in axes for ax in row]


def per_cent() -> FuncFormatter:
    """Writes shares as per cent, with no more decimals than they need."""
    return FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
