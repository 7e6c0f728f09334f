"""Figures 1 and 7 to 14: activation frequency of every expert, by language and layer."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held


def expert_frequency(ds: Dataset) -> Figure:
    """One panel per language: layers across, the layer's experts down.

    In each layer, experts are sorted by their mean frequency over all languages, the most frequent
    on top. A cell is therefore the same expert in every panel. Colours follow the square root,
    because most experts are active at a few per cent of the tokens and few at nearly all.

    Args:
        ds: ``expert_frequency(language, layer, expert)``, a share of tokens; ``tokens(language)``;
            ``attrs["high_frequency"]``, the threshold, which is marked in the colour bar.
    """
    require(ds["expert_frequency"], "no activation frequency of experts")
    languages = series.languages(ds).only(held(ds, "expert_frequency", "language"))
    axis, values = LayerAxis.of(ds), by_mean(ds["expert_frequency"].sel(language=[*languages]))
    experts = Series.of("expert", values["expert"].values)
    norm, label = PowerNorm(0.5, 0, float(values.max())), "share of tokens\n(square-root scale)"
    scale = heat.Scale(norm, mpl.colormaps["viridis"], "neither", label)
    abreast = sheets.ABREAST // len(axis.stacks)
    panel = min(1.8, (sheets.HEIGHT - 1) / -(-len(languages) // abreast) - heat.HEAD)
    figure = heat.by_layer(values, axis, experts, scale, languages, abreast, panel / len(experts))
    figure.axes[-1].axhline(ds.attrs["high_frequency"], color="white")
    figure.supylabel("experts of a layer, by mean frequency")
    note = f"{counted(ds['tokens'].values, 'tokens')} a language"
    return sheets.title(figure, ds, "activation frequency of experts", note)


def by_mean(frequency: DataArray) -> DataArray:
    """Sort each layer's experts by descending mean over languages, and name them by rank from 1."""
    values = frequency.transpose("language", "expert", "layer")
    order = np.argsort(-values.mean("language").values, axis=0, kind="stable")
    ranked = values.copy(data=np.take_along_axis(values.values, order[None], axis=1))
    return ranked.assign_coords(expert=[str(rank + 1) for rank in range(len(order))])


def finding(ds: Dataset) -> str:
    """Say how frequent experts are."""
    require(ds["expert_frequency"], "no activation frequency of experts")
    values = ds["expert_frequency"].values[ds["expert_frequency"].notnull().values]
    threshold = ds.attrs["high_frequency"]
    half, top, high = 100 * np.array(
        [np.median(values), values.max(), (values >= threshold).mean()]
    )
    return (
        f"Half of the frequencies are below {half:.2g} % of tokens; the highest is {top:.3g} %. "
        f"{high:.2g} % reach the threshold of {100 * threshold:g} %."
    )


FIGURES = {"figure_01_expert_frequency": Drawing(expert_frequency, finding)}
