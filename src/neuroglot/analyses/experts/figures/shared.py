"""Figure 3 and table 3: number of languages in which each expert has high frequency."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import heat_layers, whole_numbers


@style.styled
def shared_experts(ds: Dataset) -> Figure:
    """Number of languages of every expert, layers across, and the histogram of this number.

    In each layer, experts are sorted by their number of languages, the largest on top.

    Args:
        ds: ``shared_by(layer, expert)``, ``shared_histogram(languages)`` with ``_low`` and
            ``_high``; ``attrs["high_frequency"]``.
    """
    if not ds.sizes["expert"]:
        return style.empty("no experts")
    axis = LayerAxis.of(ds)
    count = ds.sizes["language"]
    steps = style.colour_map().resampled(count + 1)
    cells = -np.sort(-ds["shared_by"].transpose("expert", "layer").values.astype(np.float64), 0)
    height = max(3.2, 0.12 * (count + 1))
    width = min(6.0, max(3.0, 0.14 * ds.sizes["layer"]))
    figure = panels.page(width + 4.2, height + 0.8)
    left, right = figure.subplots(1, 2, width_ratios=(width, 2.8))
    image = heat_layers(left, axis, cells, -0.5, count + 0.5, steps)
    left.set_yticks([0, len(cells) - 1], ["1", str(len(cells))])
    left.tick_params(axis="y", length=0)
    left.set_ylabel("experts of a layer, most shared on top")
    threshold = f"activation frequency of at least {ds.attrs['high_frequency']:g}"
    figure.colorbar(
        image,
        ax=left,
        label=f"languages in which the expert has an\n{threshold}",
        ticks=whole_numbers(10),
    )
    histogram = ds["shared_histogram"].values
    right.barh(range(count + 1), histogram, color=steps(np.arange(count + 1)))
    ends = ds["shared_histogram_low"].values, ds["shared_histogram_high"].values
    right.hlines(range(count + 1), *ends, color="black", linewidth=0.8)
    for place, (number, end) in enumerate(zip(histogram, ends[1], strict=True)):
        at = max(number, end), place
        right.annotate(
            f"{number:,}", at, (3, 0), textcoords="offset points", va="center", fontsize=7
        )
    right.margins(x=0.18)
    right.set_ylim(-0.5, count + 0.5)
    right.yaxis.set_major_locator(whole_numbers(10))
    right.grid(axis="y", visible=False)
    right.xaxis.set_major_locator(whole_numbers(4))
    right.set_xlabel("experts of all layers")
    right.set_ylabel("number of languages")
    figure.suptitle(f"{ds.attrs['model']}: experts that languages share", wrap=True)
    return figure


FIGURES: dict[str, style.Draw] = {"figure_03_shared_experts": shared_experts}
