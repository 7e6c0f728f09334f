"""The style of all figures: theme, what a figure's module declares, and output files."""

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

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

Draw = Callable[[Dataset], Figure]


@dataclass(frozen=True)
class Drawing:
    """How one figure is drawn, and what it shows in this run.

    Attributes:
        draw: makes the figure from a dataset.
        finding: says in a sentence or two, with numbers, what the figure shows; "" if nothing.
    """

    draw: Draw
    finding: Callable[[Dataset], str]

    @classmethod
    def of(
        cls, draw: Callable[..., Figure], finding: Callable[..., str], **chosen: Any
    ) -> "Drawing":
        """Give some arguments, such as a site, to both functions."""
        return cls(functools.partial(draw, **chosen), functools.partial(finding, **chosen))


P = ParamSpec("P")


@contextmanager
def theme() -> Iterator[None]:
    """Apply the theme, and restore the caller's matplotlib settings afterwards."""
    settings: Any = THEME | {"font.family": [*fonts.chosen()]}
    with mpl.rc_context(settings):
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make ``draw`` use the theme."""

    @functools.wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with theme():
            return draw(*args, **kwargs)

    return wrapper


def present(values: DataArray) -> bool:
    """Whether ``values`` has any number to draw."""
    return bool(values.notnull().any())


def empty(reason: str) -> Figure:
    """Make a figure that says why there is nothing to draw, so that every run makes all files."""
    figure = Figure(figsize=(3.5, 1))
    figure.text(0.5, 0.5, f"nothing to draw: {reason}", ha="center", va="center", wrap=True)
    return figure


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
        _settle(figure)
        for path, unwanted in zip(paths, ("Date", "Software"), strict=True):
            drawn = io.BytesIO()
            kind = path.suffix.removeprefix(".")
            figure.savefig(drawn, format=kind, dpi=PNG_DPI, metadata={unwanted: None})
            write_whole(path, drawn.getvalue())
    return paths


def _settle(figure: Figure) -> None:
    """Round the positions of axes, because the layout solver's last bits vary between runs."""
    for ax in figure.axes:
        box = Bbox(ax.get_position(original=True).get_points().round(LAYOUT_DIGITS))
        ax.set_position(box, which="original")
