"""Language-specific neurons by layer, and the languages that share them."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw
from neuroglot.figures.texts import counted

CHANCE = "chance"


def language_neurons(ds: xr.Dataset) -> Figure:
    """Number of language-specific neurons: languages down, layers across, chance below.

    Args:
        ds: ``neurons(language, layer)``, ``chance_neurons(layer)``; ``all_layers(language)`` and
            ``chance_all_layers`` with ``_low`` and ``_high``; ``tokens(language)``.
    """
    require_neurons(ds)
    by_chance = ds["chance_neurons"].expand_dims(language=[CHANCE])
    values = xr.concat([ds["neurons"], by_chance], "language", coords="minimal")
    rows = Series("language", {**series.languages(ds).looks, CHANCE: Look("by chance")})
    rows = rows.labelled(lambda row, label: f"{label}: {total(ds, row)}")
    scale = heat.Scale.of(values.values, "neurons of a layer", dark_is_low=False)
    figure = heat.by_layer(values, LayerAxis.of(ds), rows, scale)
    return sheets.title(
        figure, ds, "language-specific neurons", f"{about(ds)}; totals: 95 % intervals"
    )


def require_neurons(ds: xr.Dataset) -> None:
    """Raise ``NothingToDraw`` unless there are neurons, and languages to tell apart."""
    if ds.sizes["language"] < 2 or not ds["neurons"].any():
        raise NothingToDraw("no language-specific neurons of two languages")


def total(ds: xr.Dataset, row: str) -> str:
    """Write a language's number of neurons, or that by chance, with its interval."""
    name, of = ("chance_all_layers", ds) if row == CHANCE else ("all_layers", ds.sel(language=row))
    count, low, high = (float(of[name + end]) for end in ("", "_low", "_high"))
    return f"{count:,.0f} ({low:,.0f} to {high:,.0f})"


def about(ds: xr.Dataset) -> str:
    """Say on what text neurons were selected, and what fires."""
    tokens = counted(ds["tokens"].values, "tokens a language")
    return f"LAPE on {', '.join(ds.attrs['corpora'])}: {tokens}, firing: {ds.attrs['site']} > 0"


def several_languages(ds: xr.Dataset) -> Figure:
    """Number of languages per selected neuron, and number of neurons that two languages share.

    Args:
        ds: ``shared_by_languages(count)``, counts from 0 languages; ``tokens(language)``;
            ``language_neuron(language, layer, neuron)``.
    """
    require_neurons(ds)
    both, histogram = shared(ds["language_neuron"]), ds["shared_by_languages"].values
    single = np.diag(both)
    order, tree = heat.clustered(both / np.maximum(single[:, None] + single - both, 1))
    names = [series.languages(ds).labels[place] for place in order]
    figure = sheets.sheet(1.9 + heat.side(len(order)), 2)
    grid = figure.add_gridspec(2, 2, width_ratios=(0.4, 1), height_ratios=(0.15, 1))
    bars, above, matrix = (figure.add_subplot(grid[at]) for at in ((1, 0), (0, 1), (1, 1)))
    numbers = np.arange(int(not histogram[0]), np.flatnonzero(histogram)[-1] + 1)
    drawn = bars.barh(numbers, histogram[numbers], color="#4477AA")
    bars.bar_label(drawn, [f"{count:,.0f}" for count in histogram[numbers]], padding=2, fontsize=7)
    bars.set(xlabel="selected neurons", ylabel="languages that a neuron belongs to")
    bars.set_ylim(numbers[-1] + 0.6, numbers[0] - 0.6)
    bars.yaxis.set_major_locator(sheets.whole_numbers(10))
    bars.xaxis.set_major_locator(sheets.whole_numbers(3))
    bars.margins(x=0.3)
    bars.grid(axis="y", visible=False)
    heat.draw_tree(above, tree)
    cells = np.where(np.tri(len(order), k=-1), both[np.ix_(order, order)], np.nan)
    rows = [f"{name}: {single[at]:,}" for name, at in zip(names, order, strict=True)]
    scale = heat.Scale.of(cells, "neurons of both languages", dark_is_low=False)
    heat.matrix(matrix, cells, rows, names, scale, ",.0f", blank=True)
    scale.bar(figure, [matrix])
    return sheets.title(figure, ds, "languages that share their neurons", about(ds))


def shared(language_neuron: xr.DataArray) -> NDArray[np.int64]:
    """Count the neurons that two languages share, [language, language].

    Args:
        language_neuron: bool ``(language, layer, neuron)``.
    """
    ordered = language_neuron.transpose("language", "layer", "neuron").values
    flat = ordered.reshape(len(ordered), -1)
    of_any = flat[:, flat.any(0)].astype(np.int64)
    return np.asarray(of_any @ of_any.T)


def most_and_fewest(ds: xr.Dataset) -> str:
    """Say which language has the most neurons and which the fewest, and how many chance gives."""
    require_neurons(ds)
    totals = ds["all_layers"].to_series()
    most, fewest = (
        f"{total(ds, str(language))} in {series.languages(ds).label(str(language))}"
        for language in (totals.idxmax(), totals.idxmin())
    )
    return f"Language-specific neurons: {most}, {fewest}; by chance {total(ds, CHANCE)}."


def how_specific(ds: xr.Dataset) -> str:
    """Say how many neurons belong to one language and how many to several."""
    require_neurons(ds)
    histogram = ds["shared_by_languages"].values
    return (
        f"Of {histogram.sum():,.0f} selected neurons {histogram[1]:,.0f} belong to one language "
        f"and {histogram[2:].sum():,.0f} to several."
    )


FIGURES = {
    "language_neurons": Drawing(language_neurons, most_and_fewest),
    "several_languages": Drawing(several_languages, how_specific),
}
