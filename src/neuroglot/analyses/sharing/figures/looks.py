"""How the four kinds of neurons, sweeps and shares look in every figure."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import FuncFormatter, MaxNLocator, SymmetricalLogLocator
from xarray import DataArray, Dataset

from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis

# Any two colours are 20 CIELAB units apart under protanopia, deuteranopia and tritanopia.
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
RANGE_ALPHA = 0.13  # from the lowest to the highest language
BAND_ALPHA = 0.35  # interval of a mean over items


def kind_handles(**changed: Any) -> list[Line2D]:
    """Legend entries of the four kinds; ``changed`` overrides parts of their look."""
    entries = [Line2D([], [], **(look | changed)) for look in KINDS.values()]
    return [grids.heading("kind of neurons"), *entries]


def steps(word: str, values: Sequence[float]) -> list[Line2D]:
    """Legend entries of a sweep's steps, from dark to light; ``word`` names the steps."""
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
    """Keyword arguments for a line that looks like a legend entry."""
    return {
        "label": handle.get_label(),
        "color": handle.get_color(),
        "marker": handle.get_marker(),
        "linestyle": handle.get_linestyle(),
    }


def band_of(handle: Line2D) -> dict[str, Any]:
    """Keyword arguments for the band of a line that looks like a legend entry."""
    return {"color": handle.get_color(), "alpha": panels.BAND_ALPHA, "linewidth": 0}


def banded_line(ax: Axes, axis: LayerAxis, ds: Dataset, name: str, handle: Line2D) -> None:
    """Draw ``name(layer)`` like a legend entry, with a band from ``name_low`` to ``name_high``."""
    line, low, high = (ds[name + end].values.astype(np.float64) for end in ("", "_low", "_high"))
    if np.isfinite(line).any():
        axis.fill(ax, low, high, **band_of(handle))
        axis.plot(ax, line, **line_of(handle))


def counted(ds: Dataset, tasks: Sequence[str]) -> list[str]:
    """Row labels of the ``tasks``, with the numbers of items from ``items(task)``."""
    counts = [int(ds["items"].sel(task=task)) for task in tasks]
    return [grids.row_label(task, f"{n:,} items") for task, n in zip(tasks, counts, strict=True)]


def kind_lines(ax: Axes, axis: LayerAxis, values: DataArray) -> None:
    """Draw ``values(layer, kind)`` as one line per kind that has any value."""
    for kind in panels.held(values, "kind"):
        axis.plot(ax, values.sel(kind=kind).values.astype(np.float64), **KINDS[kind])
    axis.decorate(ax)


def kind_bands(
    ax: Axes, axis: LayerAxis, low: DataArray, high: DataArray, alpha: float = BAND_ALPHA
) -> None:
    """Fill from ``low(layer, kind)`` to ``high`` in each kind's colour."""
    for kind in panels.held(low, "kind"):
        ends = (one.sel(kind=kind).values.astype(np.float64) for one in (low, high))
        axis.fill(ax, *ends, color=KINDS[kind]["color"], alpha=alpha, linewidth=0)


def kind_ranges(ax: Axes, axis: LayerAxis, ds: Dataset, name: str, positive: bool = False) -> None:
    """Draw each kind's mean over languages with two bands: its interval and the languages' range.

    Args:
        ax: axes to draw on.
        axis: axis of the layers.
        ds: ``name(language, layer, kind)``, and ``name_of_languages_low(layer, kind)`` and
            ``…_high``, which bound the mean over languages.
        name: name of the variable.
        positive: whether to leave out values that a logarithmic axis cannot show.
    """
    values, low, high = (
        ds[part].where(ds[part] > 0) if positive else ds[part]
        for part in (name, f"{name}_of_languages_low", f"{name}_of_languages_high")
    )
    kind_bands(ax, axis, *extremes(values), alpha=RANGE_ALPHA)
    kind_bands(ax, axis, low, high)
    kind_lines(ax, axis, values.mean("language"))


def extremes(values: DataArray) -> tuple[DataArray, DataArray]:
    """Minimum and maximum of ``values`` over languages."""
    return values.min("language"), values.max("language")


def as_shares(axes: Sequence[Axes]) -> None:
    """Label the y axes in per cent, from zero; call this after all lines are drawn."""
    for ax in axes:
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
        ax.yaxis.set_major_formatter(grids.per_cent())
        ax.set_ylim(bottom=0)


def signed_log(axes: Sequence[Axes], which: Literal["x", "y"], least: float) -> None:
    """Make a shared axis symmetric-logarithmic, linear up to the power of ten of ``least``."""
    unit = 10.0 ** math.floor(math.log10(least))
    axes[0].set(**{f"{which}scale": SymmetricalLogScale(None, linthresh=unit)})
    axes[0].autoscale(axis=which)
    for ax in axes:
        axis = ax.xaxis if which == "x" else ax.yaxis
        axis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=unit))
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}".replace("-", "−")))


def far_apart(values: DataArray) -> bool:
    """Whether the positive ``values`` differ too much for a linear axis."""
    positive = values.where(values > 0)
    return float(positive.max()) > LARGEST_LINEAR_RATIO * float(positive.min())
