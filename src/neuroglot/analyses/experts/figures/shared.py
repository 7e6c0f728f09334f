"""Figure 3 and table 3: number of languages in which each expert has high frequency."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.experts.figures import chance
from neuroglot.figures import heat, sheets, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.texts import counted


@style.styled
def shared_experts(ds: Dataset) -> Figure:
    """Number of languages of every expert, layers across, and how many experts have this number.

    In each layer, experts are sorted by their number of languages, the largest on top. The bars
    have the colours of the cells.

    Args:
        ds: ``shared_by(layer, expert)``; ``shared_histogram(languages)`` and
            ``shared_histogram_null``, each with ``_low`` and ``_high``; ``tokens(language)``;
            ``attrs["high_frequency"]`` and ``attrs["folds"]``.
    """
    if not bool(ds["expert_frequency"].notnull().any()):
        return style.empty("no activation frequency of experts")
    axis, count = LayerAxis.of(ds), ds.sizes["languages"]
    cells = -np.sort(-ds["shared_by"].transpose("expert", "layer").values.astype(np.float64), 0)
    steps = mpl.colormaps["viridis"].resampled(count)
    scale = heat.Scale(Normalize(-0.5, count - 0.5), steps, "neither", "")
    figure = sheets.sheet(1.1 + max(2.2, 0.17 * count), 2)
    widths = np.array([stack.layers.size for stack in axis.stacks])
    *heats, right = figure.subplots(1, len(widths) + 1, width_ratios=[*widths / widths.sum(), 1])
    for ax, stack in zip(heats, axis.stacks, strict=True):
        heat.cells(ax, cells[:, stack.layers], scale)
        axis.number(ax, stack)
        ax.set_xlabel(axis.label(stack))
    heat.name_rows(heats[0], [])
    heats[0].set_yticks([0.5, len(cells) - 0.5], ["1", str(len(cells))])
    heats[0].set_ylabel("experts of a layer, most shared on top")
    right.barh(range(count), ds["shared_histogram"].values, color=steps(range(count)), alpha=0.6)
    chance.draw(right, ds, "shared_histogram")
    right.set_ylim(-0.5, count - 0.5)
    right.yaxis.set_major_locator(sheets.whole_numbers(10))
    right.set_ylabel("languages with a high frequency")
    right.set_xlabel("experts of all layers")
    sheets.legend(figure, chance.handles())
    note = (
        f"high: at least {ds.attrs['high_frequency']:g} of tokens; "
        f"{counted(ds['tokens'].values, 'tokens')} a language; intervals over "
        f"{ds.attrs['folds']} folds of segments"
    )
    sheets.title(figure, ds, "experts that languages share", note)
    return figure


def finding(ds: Dataset) -> str:
    """Say how many experts all languages share, and how many none or one has."""
    if not bool(ds["expert_frequency"].notnull().any()):
        return ""
    count = ds["shared_histogram"].values
    parts = [f"{100 * count[i] / count.sum():.0f} % ({count[i]:,})" for i in (0, 1, -1)]
    return (
        f"Of {count.sum():,} experts, {parts[2]} have a high frequency in all "
        f"{len(count) - 1} languages, {parts[1]} in one and {parts[0]} in none."
    )


FIGURES: dict[str, style.Drawing] = {
    "figure_03_shared_experts": style.Drawing(shared_experts, finding)
}
