"""Figures 1 and 7 to 14: activation frequency of every expert, by language and layer."""

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.texts import counted, held

BODY = 7.9
"""Inches that the panels may be high together."""


@style.styled
def expert_frequency(ds: Dataset) -> Figure:
    """One panel per language: layers across, the layer's experts down.

    In each layer, experts are sorted by their mean frequency over all languages, the most frequent
    on top. A cell is therefore the same expert in every panel. Colours follow the square root,
    because most experts are active at a few per cent of the tokens and few at nearly all. A line in
    the colour bar marks the threshold of a high-frequency expert.

    Args:
        ds: ``expert_frequency(language, layer, expert)``, a share of tokens; ``tokens(language)``;
            ``attrs["high_frequency"]``.
    """
    languages = series.languages(ds).only(held(ds, "expert_frequency", "language"))
    if not languages:
        return style.empty("no activation frequency of experts")
    axis, count = LayerAxis.of(ds), ds.sizes["expert"]
    values = by_mean(ds["expert_frequency"].sel(language=[*languages]))
    ends = {"1": "1", str(count): str(count)}
    ranks = {
        str(rank): Look(ends.get(str(rank), ""), sheets.GUIDE) for rank in values["expert"].values
    }
    label = "share of tokens\n(square-root scale)"
    norm = PowerNorm(0.5, 0, float(values.max()))
    scale = heat.Scale(norm, mpl.colormaps["viridis"], "neither", label)
    abreast = sheets.ABREAST // len(axis.stacks)
    panel = min(1.8, BODY / -(-len(languages) // abreast) - heat.HEAD)
    experts, panels = Series("expert", ranks), sheets.Facet.of(languages)
    figure = heat.by_layer(values, axis, experts, scale, panels, abreast, cell=panel / count)
    figure.axes[-1].axhline(ds.attrs["high_frequency"], color="white")
    figure.supylabel("experts of a layer, by mean frequency")
    sheets.title(
        figure, ds, "activation frequency of experts", counted(ds["tokens"].values, "tokens")
    )
    return figure


def by_mean(frequency: DataArray) -> DataArray:
    """Sort each layer's experts by descending mean over languages, and name them by rank from 1."""
    values = frequency.transpose("language", "expert", "layer")
    order = np.argsort(-values.mean("language").values, axis=0, kind="stable")
    ranked = values.copy(data=np.take_along_axis(values.values, order[None], axis=1))
    return ranked.assign_coords(expert=[str(rank + 1) for rank in range(len(order))])


def finding(ds: Dataset) -> str:
    """Say how frequent experts are, and where the most frequent one is."""
    values = ds["expert_frequency"]
    if not bool(values.notnull().any()):
        return ""
    top = values.isel(values.argmax(...))  # type: ignore[arg-type]
    language = series.languages(ds).label(str(top["language"].item()))
    threshold = ds.attrs["high_frequency"]
    high = float((values >= threshold).sum() / values.notnull().sum())
    return (
        f"Half of the frequencies are below {float(values.median()):.1%}; the highest is "
        f"{float(top):.0%} ({LayerAxis.of(ds).name(int(top['layer']))}, {language}). "
        f"{high:.0%} reach the threshold of {threshold:.0%}."
    )


FIGURES: dict[str, style.Drawing] = {
    "figure_01_expert_frequency": style.Drawing(expert_frequency, finding)
}
