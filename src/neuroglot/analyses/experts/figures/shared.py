"""Figure 3 and table 3: number of languages in which each expert has high frequency."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import chance, heat, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.style import Drawing, require


def shared_experts(ds: Dataset) -> Figure:
    """Number of languages of every expert, layers across, and how many experts have this number.

    In each layer, experts are sorted by their number of languages, the largest on top. The bars
    have the colours of the cells.

    Args:
        ds: ``shared_by(layer, expert)``; ``shared_histogram(languages)`` and
            ``shared_histogram_null``, each with ``_low`` and ``_high``; ``attrs["folds"]`` and
            ``attrs["high_frequency"]``.
    """
    require(ds["expert_frequency"], "no activation frequency of experts")
    axis, count = LayerAxis.of(ds), ds.sizes["languages"]
    cells = -np.sort(-ds["shared_by"].transpose("expert", "layer").values.astype(np.float64), 0)
    steps = mpl.colormaps["viridis"].resampled(count)
    scale = heat.Scale(Normalize(-0.5, count - 0.5), steps, "neither", "")
    figure = sheets.sheet(1.1 + max(2.2, 0.17 * count), 2)
    widths = [layers.size / axis.size for layers in axis.stacks.values()]
    *left, right = figure.subplots(1, len(widths) + 1, width_ratios=[*widths, 1])
    for ax, (stack, layers) in zip(left, axis.stacks.items(), strict=True):
        heat.cells(ax, cells[:, layers], scale)
        axis.number(ax, stack)
        ax.set_xlabel(axis.label(stack))
    left[0].set_yticks([0.5, len(cells) - 0.5], ["1", str(len(cells))])
    left[0].set_ylabel("experts of a layer, most shared on top")
    right.barh(range(count), ds["shared_histogram"].values, color=steps(range(count)))
    chance.draw(right, ds, "shared_histogram")
    right.set_xlabel("experts of all layers")
    right.yaxis.set_major_locator(sheets.whole_numbers(10))
    right.set_ylabel("languages with a high frequency")
    sheets.legend(figure, chance.LOOKS, lines=True)
    note = (
        f"high frequency: at least {ds.attrs['high_frequency']:g} of tokens; "
        f"intervals over {ds.attrs['folds']} folds of segments"
    )
    return sheets.title(figure, ds, "experts that languages share", note)


def finding(ds: Dataset) -> str:
    """Say how many experts have a high frequency in all languages, in one, and in none."""
    require(ds["expert_frequency"], "no activation frequency of experts")
    count = ds["shared_histogram"].values
    in_none, in_one, in_all = (f"{100 * count[i] / count.sum():.2g} %" for i in (0, 1, -1))
    return (
        f"Of {count.sum():,} experts, {in_all} have a high frequency in every language, {in_one} "
        f"in one only and {in_none} in none."
    )


FIGURES = {"figure_03_shared_experts": Drawing(shared_experts, finding)}
