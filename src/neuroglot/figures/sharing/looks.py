"""How the four kinds of neurons, sweeps and shares look in every figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from xarray import DataArray, Dataset

from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis

# Any two stay 20 CIELAB units apart under protanopia, deuteranopia and tritanopia.
KINDS: dict[str, dict[str, Any]] = {
    "all_shared": {"label": "all-shared", "color": "#117733", "marker": "o"},
    "partial_shared": {
        "label": "partial-shared",
        "color": "#DDAA33",
        "marker": "s",
        "linestyle": (0, (5, 1.5)),
    },
    "specific": {
        "label": "specific",
        "color": "#AA3377",
        "marker": "^",
        "linestyle": (0, (1, 1)),
    },
    "non_activated": {
        "label": "non-activated",
        "color": "#77AADD",
        "marker": "D",
        "linestyle": (0, (5, 1, 1, 1)),
    },
}
LARGEST_LINEAR_RATIO = 30.0


def kind_handles(**changed: Any) -> list[Line2D]:
    """Legend entries of the four kinds, with some of their look ``changed``."""
    entries = [Line2D([], [], **(look | changed)) for look in KINDS.values()]
    return [grids.heading("kind of neurons"), *entries]


def steps(word: str, values: Sequence[float]) -> list[Line2D]:
    """Legend entries of the steps of a sweep, from dark to light; ``word`` says what they are."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(values)))
    markers = [style.MARKERS[i % len(style.MARKERS)] for i in range(len(values))]
    return [
        grids.heading(word),
        *(
            Line2D([], [], label=f"{value:g}", color=to_hex(shade), marker=marker)
            for value, shade, marker in zip(values, shades, markers, strict=True)
        ),
    ]


def line_of(handle: Line2D) -> dict[str, Any]:
    """Keyword arguments that draw a line like a legend entry."""
    return {
        "label": handle.get_label(),
        "color": handle.get_color(),
        "marker": handle.get_marker(),
        "linestyle": handle.get_linestyle(),
    }


def counted(ds: Dataset, tasks: Sequence[str]) -> list[str]:
    """Labels of the rows of ``tasks`` with their ``items(task)``."""
    counts = [int(ds["items"].sel(task=task)) for task in tasks]
    return [grids.row_label(task, f"{n:,} items") for task, n in zip(tasks, counts, strict=True)]


def kind_lines(ax: Axes, axis: LayerAxis, values: DataArray) -> None:
    """Draw ``values(layer, kind)`` as one line per kind that holds any number."""
    for kind in panels.held(values, "kind"):
        axis.plot(ax, values.sel(kind=kind).values.astype(np.float64), **KINDS[kind])
    axis.decorate(ax)


def kind_ranges(ax: Axes, axis: LayerAxis, values: DataArray) -> None:
    """Draw ``values(language, layer, kind)``: the mean over languages in a band of their range."""
    for kind in panels.held(values, "kind"):
        lines = values.sel(kind=kind)
        low, high = (one.values.astype(np.float64) for one in extremes(lines))
        look = {"color": KINDS[kind]["color"], "alpha": 0.25, "linewidth": 0}
        axis.fill(ax, low, high, **look)
    kind_lines(ax, axis, values.mean("language"))


def extremes(values: DataArray) -> tuple[DataArray, DataArray]:
    """Smallest and largest of ``values`` over languages."""
    return values.min("language"), values.max("language")


def as_shares(axes: Sequence[Axes]) -> None:
    """Write the y axes, whose lines are all drawn, as per cent from zero up."""
    for ax in axes:
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
        ax.yaxis.set_major_formatter(grids.per_cent())
        ax.set_ylim(bottom=0)


def far_apart(values: DataArray) -> bool:
    """Whether the positive ``values`` differ too much for a linear axis."""
    positive = values.where(values > 0)
    return float(positive.max()) > LARGEST_LINEAR_RATIO * float(positive.min())
