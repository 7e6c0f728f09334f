"""The style of all figures: theme, colours, markers, names, and output files."""

import functools
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image
from xarray import DataArray, Dataset

from neuroglot.figures import fonts
from neuroglot.figures.palette import in_few_colours
from neuroglot.files import write_whole

SITES = {"act": "detectors", "out": "combinators", "out_gelu": "combinators after GELU"}

# Paul Tol's "muted" hues and black; sand is a little darker, to be visible on white paper. Any two
# hues are at least 15 CIELAB units apart under protanopia, deuteranopia and tritanopia.
HUES = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#999933",
    "#882255",
    "#44AA99",
    "#CCBB44",
    "#AA4499",
    "#000000",
)
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1, 1, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "p")
ABSENT = "#DDDDDD"
COLOUR_STEPS = 64
PNG_DPI = 150
PNG_BYTES = 200_000
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


def colour_map() -> Colormap:
    """Viridis in few steps (colour-blind safe, even in grey print), with absent cells in grey.

    The eye separates no more than 64 steps, and 64 steps make bitmaps of noise half as large.
    """
    return mpl.colormaps["viridis"].resampled(COLOUR_STEPS).with_extremes(bad=ABSENT)


@dataclass(frozen=True)
class Look:
    """The look of one language in all figures."""

    color: str
    linestyle: Any
    marker: str


def look(position: int) -> Look:
    """The look of the language at ``position`` in the configured list.

    After 10 languages the hues repeat with another line style. Neighbours have different markers,
    so that hue and marker together are unique for the first 110 languages.
    """
    return Look(
        color=HUES[position % len(HUES)],
        linestyle=DASHES[position // len(HUES) % len(DASHES)],
        marker=MARKERS[position % len(MARKERS)],
    )


def language_names(ds: Dataset) -> dict[str, str]:
    """Map language ids to English names, from ``attrs["language_names"]`` (JSON), in its order."""
    names: dict[str, str] = json.loads(ds.attrs.get("language_names", "{}"))
    return names


@dataclass(frozen=True)
class Languages:
    """The languages of one dataset with their names and looks.

    A look depends on the position in ``attrs["language_names"]``, which lists the configured
    languages in their order. Adding a language at the end, or leaving a language out of an
    analysis, does not change other languages' looks. Languages outside this list come after it.
    """

    ids: tuple[str, ...]
    names: dict[str, str]
    looks: dict[str, Look]

    @classmethod
    def of(cls, ds: Dataset, dimension: str = "language") -> "Languages":
        """Take the languages along ``dimension`` of ``ds``."""
        ids = tuple(str(language) for language in ds[dimension].values)
        names = language_names(ds)
        order = dict.fromkeys([*names, *ids])
        return cls(
            ids=ids,
            names={language: names.get(language, language) for language in ids},
            looks={language: look(i) for i, language in enumerate(order) if language in ids},
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def line(self, language: str) -> dict[str, Any]:
        """Keyword arguments for a line in the language's look."""
        style = self.looks[language]
        return {"color": style.color, "linestyle": style.linestyle, "marker": style.marker}


def pivot(ds: Dataset, languages: Languages) -> str:
    """The pivot language: ``attrs["pivot"]``, or the first language."""
    named = str(ds.attrs.get("pivot", ""))
    return named if named in languages.ids else languages.ids[0]


def present(values: DataArray) -> bool:
    """Whether ``values`` has any number to draw."""
    return bool(values.notnull().any())


def title(figure: Figure, ds: Dataset, site: str, subject: str) -> None:
    """Title the figure with the model, the site and the subject."""
    model = ds.attrs.get("model")
    figure.suptitle(": ".join(filter(None, [model, f"{SITES[site]}, {subject}"])), wrap=True)


def legend_columns(handles: Sequence[Artist], height: float) -> tuple[int, float]:
    """Number of columns and width in inches of a legend of at most ``height`` inches."""
    per_column = max(1, int((height - 0.5) / 0.185))
    columns = math.ceil(len(handles) / per_column)
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    return columns, columns * (0.6 + 0.065 * longest)


def legend(figure: FigureBase, handles: Sequence[Artist], height: float) -> None:
    """Put a legend right of all axes, with as many columns as ``height`` inches need."""
    if handles:
        figure.legend(
            handles=handles,
            loc="outside right upper",
            ncols=legend_columns(handles, height)[0],
            columnspacing=1.0,
        )


def language_handles(languages: Languages, drawn: Sequence[str]) -> list[Line2D]:
    """Legend entries of the languages in ``drawn``."""
    return [
        Line2D([], [], label=languages.names[language], **languages.line(language))
        for language in drawn
    ]


def empty(reason: str) -> Figure:
    """Make a figure that says why there is nothing to draw, so that every run makes all files."""
    figure = Figure(figsize=(5, 1.2))
    figure.text(0.5, 0.5, f"nothing to draw: {reason}", ha="center", va="center", wrap=True)
    return figure


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.svg and ``stem``.png; equal figures give equal bytes.

    The PNG has 150 dots per inch. A PNG over 200 kB is written in 256 colours.

    Returns:
        The two paths, SVG first.
    """
    svg, png = stem.with_name(stem.name + ".svg"), stem.with_name(stem.name + ".png")
    stem.parent.mkdir(parents=True, exist_ok=True)
    with theme():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # lay out only once: slower than drawing
        _settle(figure)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", dpi=PNG_DPI, metadata={"Date": None})
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    if buffer.tell() > PNG_BYTES:
        steps = colour_map()(np.arange(COLOUR_STEPS), bytes=True)[:, :3]
        picture = in_few_colours(Image.open(buffer).convert("RGB"), steps)
        buffer = io.BytesIO()
        picture.save(buffer, format="png", optimize=True)
    for path, content in ((svg, drawn), (png, buffer)):
        write_whole(path, content.getvalue())
    return svg, png


def _settle(figure: Figure) -> None:
    """Round the positions of axes, because the layout solver's last bits vary between runs."""
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(LAYOUT_DIGITS))
    for ax in figure.axes:
        box = Bbox(ax.get_position(original=True).get_points().round(LAYOUT_DIGITS))
        ax.set_position(box, which="original")
