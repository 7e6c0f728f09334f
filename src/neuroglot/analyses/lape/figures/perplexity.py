"""Change of every language's perplexity when one language's neurons are deactivated."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.matrices import (
    decimals,
    matrix,
    name_width,
    signed_colour_map,
    write_cells,
    written_side,
)

TITLES = {
    "lape": "LAPE neurons deactivated",
    "random": "as many random neurons deactivated",
}


@style.styled
def perplexity_without(ds: Dataset) -> Figure:
    """Change of log perplexity: rows by deactivated language, columns by language read.

    Left: LAPE's neurons. Right: the random control. Both have the same scale.

    Args:
        ds: ``perplexity(chosen, deactivated, language)``, ``baseline(language)``,
            ``deactivated_neurons(deactivated)``.
    """
    change = log_change(ds)
    read, off = panels.held(change, "language"), panels.held(change, "deactivated")
    if not read:
        return style.empty("no perplexity with neurons deactivated")
    names = style.Languages.of(ds).names
    cells = change.sel(language=read, deactivated=off)
    largest = float(np.abs(cells).max()) or 0.01
    side = written_side(max(len(read), len(off)))
    counts = ds["deactivated_neurons"].sel(deactivated=off).values
    down = [f"{names.get(one, one)} ({n:,})" for one, n in zip(off, counts, strict=True)]
    across = [names[one] for one in read]
    width = 2 * (side + 0.2) + name_width(down) + 1.6
    figure = panels.page(width, side + name_width(across) + 1.0)
    axes = figure.subplots(1, len(TITLES), sharey=True)
    for ax, (chosen, title) in zip(axes, TITLES.items(), strict=True):
        values = cells.sel(chosen=chosen).values
        image = matrix(ax, values, across, -largest, largest, signed_colour_map())
        write_cells(image, values, f"+.{max(2, decimals(-largest, largest))}f")
        for own in (one for one in read if one in off):
            corner = (read.index(own) - 0.5, off.index(own) - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=0.8))
        ax.set_title(title)
        ax.set_xlabel("language read")
    axes[0].set_yticks(range(len(off)), down)
    axes[0].set_ylabel("language whose neurons are deactivated\n(number of neurons)")
    figure.colorbar(image, ax=axes.tolist(), label="change in ln perplexity", shrink=0.9, aspect=25)
    figure.suptitle(
        f"{ds.attrs['model']}: perplexity without a language's neurons (LAPE)", wrap=True
    )
    return figure


def log_change(ds: Dataset) -> DataArray:
    """Compute ln(perplexity / baseline), ``(chosen, deactivated, language)``."""
    ratio = ds["perplexity"] / ds["baseline"]
    return ratio.copy(data=np.log(ratio.values)).transpose("chosen", "deactivated", "language")


FIGURES: dict[str, style.Draw] = {"perplexity_without": perplexity_without}
