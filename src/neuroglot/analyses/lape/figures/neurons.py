"""Language-specific neurons by layer, and the languages that share them."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.matrices import (
    cluster_order,
    heat_layers,
    limits,
    matrix,
    name_width,
    whole_numbers,
    write_cells,
    written_side,
)

GREY = "#777777"

Counts = NDArray[np.int64]


@style.styled
def language_neurons(ds: Dataset) -> Figure:
    """Number of language-specific neurons: languages down, layers across, and totals.

    Args:
        ds: ``neurons(language, layer)``; ``all_layers(language)`` and ``chance_all_layers`` with
            ``_low`` and ``_high``; ``attrs["site"]``.
    """
    if not ds.sizes["language"]:
        return style.empty("no languages")
    languages = style.Languages.of(ds)
    axis = LayerAxis.of(ds)
    counts = ds["neurons"].transpose("language", "layer").values
    rows = len(languages.ids)
    width = min(7.0, max(3.2, 0.16 * ds.sizes["layer"]))
    figure = panels.page(width + 3.6, 1.2 + max(1.6, 0.22 * rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(width, 1.6))
    image = heat_layers(left, axis, counts.astype(np.float64), 0, max(1, counts.max()))
    left.set_yticks(range(rows), [languages.names[one] for one in languages])
    left.set_ylabel("language")
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
    totals = counts.sum(1)
    ends = np.abs([totals - ds["all_layers_low"].values, ds["all_layers_high"].values - totals])
    whisker = {"elinewidth": 0.9, "ecolor": "black"}
    bars = right.barh(range(rows), totals, color=GREY, height=0.7, xerr=ends, error_kw=whisker)
    right.bar_label(bars, [f"{n:,}" for n in totals], padding=2, fontsize=7)
    right.xaxis.set_major_locator(whole_numbers(3))
    chance, low, high = (float(ds[f"chance_all_layers{end}"]) for end in ("", "_low", "_high"))
    right.axvline(chance, color="black", linestyle="--", linewidth=0.9)
    right.set_xlabel(f"neurons of all layers\n(dashed: by chance,\n{low:,.0f} to {high:,.0f})")
    right.set_xlim(0, 1.45 * max(1, (totals + ends[1]).max(), high))
    right.grid(axis="y", visible=False)
    figure.colorbar(
        image,
        ax=[left, right],
        label="language-specific neurons\nof a layer",
        ticks=whole_numbers(5),
    )
    figure.suptitle(heading(ds, "language-specific neurons (LAPE)"), wrap=True)
    return figure


@style.styled
def several_languages(ds: Dataset) -> Figure:
    """Number of languages per selected neuron, and number of neurons that two languages share.

    Args:
        ds: ``shared_by_languages(count)``, counts from 0 languages, and
            ``language_neuron(language, layer, neuron)``; ``attrs["site"]``.
    """
    histogram = ds["shared_by_languages"].values
    if not histogram.any():
        return style.empty("no language-specific neurons")
    languages = style.Languages.of(ds)
    both = shared_neurons(ds["language_neuron"])
    order = cluster_order(jaccard(both))
    side = written_side(len(order))
    names = [languages.names[languages.ids[i]] for i in order]
    beside = name_width(names)
    figure = panels.page(4.8 + side + beside, side + beside + 1.4)
    left, right = figure.subplots(1, 2, width_ratios=(3.0, side + 1.0))
    numbers = np.arange(1 if not histogram[0] else 0, np.flatnonzero(histogram)[-1] + 1)
    bars = left.bar(numbers, histogram[numbers], color=GREY)
    left.bar_label(bars, [f"{n:,}" for n in histogram[numbers]], padding=2, fontsize=7)
    left.set_xticks(numbers[:: -(-numbers.size // 12)])
    left.set_xlim(numbers[0] - 0.6, numbers[-1] + 0.6)
    left.yaxis.set_major_locator(whole_numbers(5))
    left.grid(axis="x", visible=False)
    left.set_xlabel("languages that a neuron belongs to")
    left.set_ylabel("selected neurons")
    ordered = both[np.ix_(order, order)].astype(np.float64)
    cells = np.where(np.eye(len(order), dtype=bool), np.nan, ordered)
    image = matrix(right, cells, names, 0, max(1.0, limits(cells)[1]))
    write_cells(image, ordered, ",.0f")
    right.set_title("neurons that two languages share\n(grey: all of one language)")
    figure.colorbar(image, ax=right, label="neurons of both languages", ticks=whole_numbers(5))
    figure.suptitle(heading(ds, "language-specific neurons of several languages (LAPE)"), wrap=True)
    return figure


def heading(ds: Dataset, subject: str) -> str:
    """Join the model, the subject, and the site whose sign was counted."""
    return f"{ds.attrs['model']}: {subject}, site {ds.attrs['site']}"


def shared_neurons(language_neuron: DataArray) -> Counts:
    """Count the neurons that two languages share, [language, language].

    The diagonal has the number of each language's neurons.

    Args:
        language_neuron: bool ``(language, layer, neuron)``.
    """
    ordered = language_neuron.transpose("language", "layer", "neuron").values
    flat = ordered.reshape(len(ordered), -1)
    flat = flat[:, flat.any(0)].astype(np.int64)
    return np.asarray(flat @ flat.T)


def jaccard(both: Counts) -> NDArray[np.float64]:
    """Compute the Jaccard index of two languages' neurons; 0 if neither has any neuron."""
    own = np.diag(both)
    either = own[:, None] + own - both
    return np.asarray(both / np.maximum(either, 1))


FIGURES: dict[str, style.Draw] = {
    "language_neurons": language_neurons,
    "several_languages": several_languages,
}
