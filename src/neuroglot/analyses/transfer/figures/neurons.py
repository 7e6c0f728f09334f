"""Number of each language's transfer neurons by layer."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import heat_layers, whole_numbers

LINES = 2.6  # inches
ROW = 0.2
BOUNDARY: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.2}


@style.styled
def by_layer(ds: Dataset) -> Figure:
    """Transfer neurons in each layer: one line per language and type, and a heat map below.

    Args:
        ds: ``neurons(type, language, layer)``; ``score(type, language, layer, neuron)``, NaN in
            the layers without a search for the type; ``attrs["top_n"]``.
    """
    sought = ds["score"].notnull().any(["language", "neuron"])
    counts = ds["neurons"].where(sought)
    drawn = panels.held(counts, "language")
    if not drawn:
        return style.empty("no transfer neurons")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds)
    rows = max(0.8, ROW * len(drawn))
    width = min(9.0, max(5.0, 0.26 * ds.sizes["layer"]))
    handles = grids.language_handles(languages, drawn)
    figure, body = panels.sheet(width + 1.2, LINES + rows + 1.9, handles)
    upper, lower = body.subplots(2, 1, sharex=True, height_ratios=(LINES, rows))
    for kind in looks.TYPES:
        panels.language_lines(upper, axis, languages, counts.sel(type=kind))
    upper.yaxis.set_major_locator(whole_numbers(5))
    upper.set_ylim(bottom=0)
    upper.set_ylabel(f"neurons of the top {ds.attrs['top_n']:,}\nof a type that are in the layer")
    upper.set_xlabel("")
    upper.tick_params(axis="x", which="both", labelbottom=False)
    cells = counts.sum("type", min_count=1).sel(language=drawn).transpose("language", "layer")
    image = heat_layers(lower, axis, cells.values, 0, max(1.0, float(cells.max())))
    lower.set_yticks(range(len(drawn)), [languages.names[one] for one in drawn])
    lower.tick_params(axis="y", length=0)
    name_types(upper, axis, sought)
    part_types([upper, lower], axis, sought)
    body.colorbar(
        image,
        ax=lower,
        location="bottom",
        label="neurons of the layer",
        ticks=whole_numbers(8),
        aspect=50,
        fraction=0.3 / rows,
    )
    grids.title(figure, ds, "transfer neurons by layer")
    return figure


def places(axis: LayerAxis, sought: DataArray, kind: str) -> NDArray[np.float64]:
    """Positions on the x axis of the layers that are searched for a type."""
    x = np.concatenate([stack.x for stack in axis.stacks])
    order = np.concatenate([stack.layers for stack in axis.stacks])
    return np.asarray(x[sought.sel(type=kind).values[order]])


def name_types(ax: Axes, axis: LayerAxis, sought: DataArray) -> None:
    """Write each type's name above its layers."""
    for kind, look in looks.TYPES.items():
        middle = places(axis, sought, kind).mean()
        ax.annotate(
            look["label"],
            (middle, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
        )


def part_types(axes: list[Axes], axis: LayerAxis, sought: DataArray) -> None:
    """Draw a line between Type 1's last layer and Type 2's first; white on the heat map."""
    first, second = (places(axis, sought, kind) for kind in looks.TYPES)
    for ax, colour in zip(axes, ("#555555", "white"), strict=True):
        ax.axvline((first.max() + second.min()) / 2, color=colour, **BOUNDARY)


FIGURES: dict[str, style.Draw] = {"neurons_by_layer": by_layer}
