"""Figures 2, 5 and 6: similarity of two languages' use of experts, by three measures."""

from functools import partial

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.matrices import (
    cluster_order,
    decimals,
    different_languages,
    family_order,
    limits,
    matrix,
    name_width,
    part_families,
    write_cells,
    written_side,
)

BRIGHT = "\n(brighter is more similar)"
LABELS = {
    "euclidean": "Euclidean distance",
    "kl_divergence": "KL divergence of a (down)\nfrom b (across), nats",
    "pearson": "Pearson correlation,\nmean over layers",
}
TITLES = {
    "euclidean": "Euclidean distance",
    "kl_divergence": "KL divergence",
    "pearson": "Pearson correlation",
}


@style.styled
def similarity(ds: Dataset, metric: str) -> Figure:
    """One language × language matrix in two orders: clustered, and by family and genus.

    Bright cells are similar languages for every metric: the colours of distances are reversed.

    Args:
        ds: ``similarity(metric, language_a, language_b)``, with ``a`` as row; ``family(language)``
            and ``genus(language)``.
        metric: ``euclidean`` for figure 2, ``kl_divergence`` for figure 5, ``pearson`` for 6.
    """
    values = different_languages(ds["similarity"].sel(metric=metric))
    drawn = panels.held(values, "language_a")
    if not drawn:
        return style.empty(f"no two languages with a {TITLES[metric]}")
    names = style.Languages.of(ds).names
    square = values.sel(language_a=drawn, language_b=drawn)
    cells = square.transpose("language_a", "language_b").values.astype(np.float64)
    families, genera = (
        [str(name) for name in ds[rank].sel(language=drawn).values] for rank in ("family", "genus")
    )
    orders = {
        "clustered": cluster_order(cells if metric == "pearson" else -cells),
        "by family and genus": family_order(families, genera),
    }
    side, beside = written_side(len(drawn)), name_width([names[one] for one in drawn])
    width = 2 * (side + beside) + name_width(families) + 1.5
    figure = panels.page(width, side + beside + 1.0)
    axes = figure.subplots(1, 2)
    low, high = limits(cells)
    for ax, (title, order) in zip(axes, orders.items(), strict=True):
        labels, ordered = [names[drawn[i]] for i in order], cells[np.ix_(order, order)]
        image = matrix(ax, ordered, labels, low, high, colours(metric))
        write_cells(image, ordered, f".{decimals(low, high)}f")
        ax.set_title(title)
        ax.set_xlabel("language b")
    axes[0].set_ylabel("language a")
    part_families(axes[1], [families[i] for i in order], [genera[i] for i in order])
    figure.colorbar(image, ax=axes.tolist(), label=LABELS[metric] + BRIGHT, shrink=0.9, aspect=25)
    figure.suptitle(
        f"{ds.attrs['model']}: similarity of languages over experts, {TITLES[metric]}",
        wrap=True,
    )
    return figure


def colours(metric: str) -> Colormap:
    """The colour map in which similar languages are bright."""
    return style.colour_map() if metric == "pearson" else style.colour_map().reversed()


FIGURES: dict[str, style.Draw] = {
    "figure_02_euclidean": partial(similarity, metric="euclidean"),
    "figure_05_kl_divergence": partial(similarity, metric="kl_divergence"),
    "figure_06_pearson": partial(similarity, metric="pearson"),
}
