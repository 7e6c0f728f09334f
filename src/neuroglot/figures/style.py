"""The style of all figures: theme, what a figure's module declares, and output files."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from xarray import DataArray, Dataset

from neuroglot.figures import fonts
from neuroglot.files import write_whole

SITES = {"act": "detectors", "out": "combinators", "out_gelu": "combinators after GELU"}

PNG_DPI = 150
LAYOUT_DIGITS = 9  # digits of positions, as shares of a figure's width and height

THEME: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8.5,
    "figure.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "image.interpolation": "nearest",
    "svg.hashsalt": "neuroglot",
    "text.hinting": "no_hinting",  # texts are as wide at any resolution, so that layouts hold
}


class NothingToDraw(Exception):  # noqa: N818  # it is no error
    """A run has nothing for a figure; the message says what is lacking."""


def require(values: DataArray, lacking: str) -> None:
    """Raise ``NothingToDraw`` unless there is any number."""
    if not values.notnull().any():
        raise NothingToDraw(lacking)


class Drawing:
    """How one figure is drawn, and what it shows in this run."""

    def __init__(
        self, draw: Callable[..., Figure], finding: Callable[..., str], **chosen: Any
    ) -> None:
        """Name the two functions.

        Args:
            draw: makes the figure from a dataset; it may raise ``NothingToDraw``.
            finding: says in a sentence or two, with numbers, what the figure shows; "" if nothing.
            chosen: further arguments of both functions, such as a site.
        """
        self._draw, self._finding, self._chosen = draw, finding, chosen

    def draw(self, ds: Dataset) -> Figure:
        """Draw in the theme; where there is nothing to draw, say so, so that all files are made."""
        with theme():
            try:
                return self._draw(ds, **self._chosen)
            except NothingToDraw as lacking:
                figure, text = Figure(figsize=(3.5, 1)), f"nothing to draw: {lacking}"
                figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
                return figure

    def finding(self, ds: Dataset) -> str:
        """Say what the figure shows; "" if nothing."""
        try:
            return self._finding(ds, **self._chosen)
        except NothingToDraw:
            return ""


@contextmanager
def theme() -> Iterator[None]:
    """Apply the theme, and restore the caller's matplotlib settings afterwards."""
    settings: Any = THEME | {"font.family": [*fonts.chosen()]}
    with mpl.rc_context(settings):
        yield


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.svg and, with 150 dots per inch, ``stem``.png; equal figures, equal bytes.

    Returns:
        The two paths, SVG first.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")
    with theme():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # lay out only once: slower than drawing
        for ax in figure.axes:  # rounded, because the layout solver's last bits vary between runs
            box = Bbox(ax.get_position(original=True).get_points().round(LAYOUT_DIGITS))
            ax.set_position(box, which="original")
        for path, unwanted in zip(paths, ("Date", "Software"), strict=True):
            drawn, form = io.BytesIO(), path.suffix.removeprefix(".")
            figure.savefig(drawn, format=form, dpi=PNG_DPI, metadata={unwanted: None})
            write_whole(path, drawn.getvalue())
    return paths
