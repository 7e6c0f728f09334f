"""Figure 3 and table 3: number of languages in which each expert has high frequency."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import chance, heat, sheets, style
from neuroglot.figures.layers import LayerAxis


@style.styled
def shared_experts(ds: Dataset) -> Figure:
    """Number of languages of every expert, layers across, and how many experts have this number.

    In each layer, experts are sorted by their number of languages, the largest on top. The bars
    have the colours of the cells.

    Args:
        ds: ``shared_by(layer, expert)``; ``shared_histogram(languages)`` and
            ``shared_histogram_null``, each with ``_low`` and ``_high``; ``attrs["folds"]`` and
            ``attrs["high_frequency"]``.
    """
    if not bool(ds["expert_frequency"].notnull().any()):
        return style.empty("no activation frequency of experts")
    stacks, count = LayerAxis.of(ds).stacks, ds.sizes["languages"]
    cells = -np.sort(-ds["shared_by"].transpose("expert", "layer").values.astype(np.float64), 0)
    steps = mpl.colormaps["viridis"].resampled(count)
    scale = heat.Scale(Normalize(-0.5, count - 0.5), steps, "neither", "")
    figure = sheets.sheet(1.1 + max(2.2, 0.17 * count), 2)
    widths = [stack.layers.size / ds.sizes["layer"] for stack in stacks]
    *left, right = figure.subplots(1, len(stacks) + 1, width_ratios=[*widths, 1])
    for ax, stack in zip(left, stacks, strict=True):
        heat.cells(ax, cells[:, stack.layers], scale)
        LayerAxis.of(ds).number(ax, stack)
        ax.set_xlabel(LayerAxis.of(ds).label(stack))
    left[0].set_yticks([0.5, len(cells) - 0.5], ["1", str(len(cells))])
    left[0].set_ylabel("experts of a layer, most shared on top")
    right.barh(range(count), ds["shared_histogram"].values, color=steps(range(count)))
    chance.draw(right, ds, "shared_histogram")
    right.set_xlabel("experts of all layers")
    right.yaxis.set_major_locator(sheets.whole_numbers(10))
    right.set_ylabel("languages with a high frequency")
    chance.legend(figure)
    note = (
        f"high frequency: at least {ds.attrs['high_frequency']:g} of tokens; "
        f"intervals over {ds.attrs['folds']} folds of segments"
    )
    sheets.title(figure, ds, "experts that languages share", note)
    return figure


def finding(ds: Dataset) -> str:
    """Say how many experts have a high frequency in all languages, in one, and in none."""
    if not bool(ds["expert_frequency"].notnull().any()):
        return ""
    count = ds["shared_histogram"].values
    none, one, every = (f"{100 * count[i] / count.sum():.2g} %" for i in (0, 1, -1))
    return (
        f"Of {count.sum():,} experts, {every} have a high frequency in every language, {one} in "
        f"one only and {none} in none."
    )


FIGURES = {"figure_03_shared_experts": style.Drawing(shared_experts, finding)}
