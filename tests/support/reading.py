"""Reads figures: the numbers that they draw, the words that they show, and where things lie."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

Values = NDArray[np.float64]


def numbers(figure: Figure) -> Values:
    """Every number that the figure draws: places of points and lines, ends of bars, cells."""
    found: list[Values] = []
    for ax in figure.axes:
        for line in ax.lines:
            found += [_floats(line.get_xdata()), _floats(line.get_ydata())]
        for patch in ax.patches:
            box = patch.get_path().get_extents(patch.get_patch_transform())
            found.append(np.array([box.x0, box.x1, box.y0, box.y1, box.width, box.height]))
        for drawn in ax.collections:
            if (array := drawn.get_array()) is not None:
                found.append(np.ma.filled(np.ma.asarray(array, dtype=float), np.nan).ravel())
            found += [_floats(path.vertices) for path in drawn.get_paths()]
            found.append(_floats(drawn.get_offsets()))
        found += [
            np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan).ravel()
            for image in ax.images
        ]
    return np.concatenate(found) if found else np.array([])


def _floats(values: object) -> Values:
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return np.array([])


def missing(figure: Figure, expected: Values) -> Values:
    """The expected numbers that the figure draws nowhere, to 6 digits; NaN need not be drawn."""
    wanted = np.unique(np.ravel(expected)[np.isfinite(np.ravel(expected))])
    drawn = np.unique(numbers(figure))
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return wanted
    at = np.clip(np.searchsorted(drawn, wanted), 1, max(1, drawn.size - 1))
    near = np.minimum(
        np.abs(drawn[np.minimum(at, drawn.size - 1)] - wanted), np.abs(drawn[at - 1] - wanted)
    )
    return wanted[near > 1e-6 * np.maximum(np.abs(wanted), 1e-3)]


def words(figure: Figure) -> list[str]:
    """Every text of a figure that is seen."""
    return [text.get_text() for text in texts(figure)]


def texts(figure: Figure) -> list[Text]:
    """The texts of a figure that are seen."""
    return [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip()
    ]


def smallest_text(figure: Figure) -> float:
    """Points of the smallest text of a figure."""
    return min(float(text.get_fontsize()) for text in texts(figure))


def panels(figure: Figure) -> list[Axes]:
    """All axes that are neither colour bars nor without frame, such as trees."""
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.axison]


def unlabelled(figure: Figure) -> Iterator[str]:
    """Axes that have numbers or names but no label, own or shared, that says what they are."""
    drawn = panels(figure)
    if not (figure.get_supxlabel() or any(ax.get_xlabel() for ax in drawn)):
        yield "no panel has a label of its x axis"
    named = all(_has_names(ax) for ax in drawn)
    if not (figure.get_supylabel() or named or any(ax.get_ylabel() for ax in drawn)):
        yield "no panel has a label of its y axis"
    for bar in figure.axes:
        if bar.get_label() == "<colorbar>" and not (bar.get_ylabel() or bar.get_xlabel()):
            yield "a colour bar has no label"


def _has_names(ax: Axes) -> bool:
    """Whether the y axis names things, which says what they are."""
    labels = [label.get_text() for label in ax.get_yticklabels()]
    return not labels or any(any(map(str.isalpha, label)) for label in labels)


def misplaced(figure: Figure) -> list[str]:
    """What parts do wrong: cover one another, or reach beyond the paper.

    Parts are panels with their labels, legends and titles.
    """
    parts = _boxes(figure)
    paper = figure.bbox.padded(1)
    return [
        f"{a!r} covers {b!r}"
        for (a, box), (b, other) in combinations(parts, 2)
        if box.overlaps(other)
    ] + [
        f"{name!r} reaches beyond the paper"
        for name, box in parts
        if not (paper.contains(box.x0, box.y0) and paper.contains(box.x1, box.y1))
    ]


def _boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """The parts of a figure and where they lie, a dot smaller."""
    figure.draw_without_rendering()
    parts: list[tuple[str, Artist]] = [(f"panel {i}", ax) for i, ax in enumerate(figure.axes)]
    parts += [("legend", legend) for legend in figure.legends]
    parts += [(text.get_text(), text) for text in figure.texts if text.get_text()]
    boxes = [
        (name, part.get_tightbbox() if isinstance(part, Axes) else part.get_window_extent())
        for name, part in parts
    ]
    return [(name, box.padded(-1)) for name, box in boxes if box is not None]
