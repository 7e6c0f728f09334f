"""Pages with a grid of panels, one row per task or other label, and one legend."""

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
    """Title the figure with the model, if it shows one model, and the subject."""
    figure.suptitle(": ".join(filter(None, [ds.attrs.get("model"), subject])), wrap=True)


def heading(text: str) -> Line2D:
    """A line of the legend that names the entries below it."""
    return Line2D([], [], linestyle="none", label=text)


def language_handles(languages: style.Languages, drawn: Sequence[str]) -> list[Line2D]:
    """Legend entries of the languages in ``drawn``, with a heading."""
    return [heading("language"), *style.language_handles(languages, drawn)]


def row_label(name: str, note: str = "") -> str:
    """Break ``name`` into lines that fit a row's height, with ``note`` below."""
    lines = [""]
    for part in re.split(r"(?<=[_-])", name):
        if lines[-1] and len(lines[-1] + part) > LABEL_CHARACTERS:
            lines.append("")
        lines[-1] += part
    return "\n".join(filter(None, [*lines, note]))


def rows(
    labels: Sequence[str], columns: Sequence[str], handles: Sequence[Artist], **shared: Any
) -> tuple[Figure, Panels]:
    """Make a figure with a row of panels for each of ``labels`` and a title over each column.

    The panels of a column share their x axis, unless ``shared`` says otherwise.

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
    """Keep only the x label of the lowest panel of each column."""
    for ax in flat(axes[:-1]):
        ax.set_xlabel("")


def flat(axes: Panels) -> list[Axes]:
    """All axes of all rows."""
    return [ax for row in axes for ax in row]


def per_cent() -> FuncFormatter:
    """Format shares as per cent, with no more decimals than needed."""
    return FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
