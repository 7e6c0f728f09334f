"""Number of experts with high frequency in only one language, by layer and by chance."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from xarray import Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import LayerAxis, plain_numbers

OWN: dict[str, Any] = {"color": style.HUES[0], "marker": "o"}
CHANCE: dict[str, Any] = {"color": "#888888"}
PALE = 0.3
LINE = 0.24


@style.styled
def specific_experts(ds: Dataset) -> Figure:
    """Number of experts with high frequency in only one language, observed and by chance.

    Left: by language. Right: by layer, over all languages.

    Args:
        ds: ``specific(language)`` and ``specific_by_layer(layer)``, each with ``_low``, ``_high``,
            ``_null``, ``_null_low`` and ``_null_high``; ``attrs["high_frequency"]``;
            ``attrs["folds"]``, the number of folds of segments.
    """
    if not ds.sizes["expert"] or not style.present(ds["expert_frequency"]):
        return style.empty("no experts")
    names = style.Languages.of(ds).names
    languages = [str(language) for language in ds["language"].values]
    handles = [
        Line2D([], [], label="experts of one language", **OWN),
        Patch(
            color=OWN["color"],
            alpha=panels.BAND_ALPHA,
            label=f"95 % interval (n = {ds.attrs['folds']})",
        ),
        Line2D([], [], linestyle="--", label="by chance, mean", **CHANCE),
        Patch(color=CHANCE["color"], alpha=PALE, label="by chance, 95 %"),
    ]
    figure, body = panels.sheet(7.6, max(2.6, 0.8 + LINE * len(languages)), handles)
    left, right = body.subplots(1, 2)
    heights = np.arange(len(languages))
    null = ds["specific_null_low"].values, ds["specific_null_high"].values
    left.hlines(heights, *null, color=CHANCE["color"], alpha=PALE, linewidth=6)
    left.plot(ds["specific_null"].values, heights, "|", markersize=7, **CHANCE)
    left.hlines(heights, ds["specific_low"].values, ds["specific_high"].values, OWN["color"])
    left.plot(ds["specific"].values, heights, linestyle="none", **OWN)
    left.set_yticks(heights, [names[one] for one in languages])
    left.set_ylim(len(languages) - 0.4, -0.6)
    left.tick_params(axis="y", length=0)
    left.set_xlabel("experts of all layers")
    by_layer = {
        end: ds[f"specific_by_layer{end}"].values.astype(np.float64)
        for end in ("", "_low", "_high", "_null", "_null_low", "_null_high")
    }
    axis = LayerAxis.of(ds)
    pale: dict[str, Any] = {"color": CHANCE["color"], "alpha": PALE, "linewidth": 0}
    axis.fill(right, by_layer["_null_low"], by_layer["_null_high"], **pale)
    axis.plot(right, by_layer["_null"], linestyle="--", **CHANCE)
    band: dict[str, Any] = {"color": OWN["color"], "alpha": panels.BAND_ALPHA, "linewidth": 0}
    axis.fill(right, by_layer["_low"], by_layer["_high"], **band)
    axis.plot(right, by_layer[""], **OWN)
    axis.decorate(right)
    right.set_ylabel("experts of a layer, all languages")
    plain_numbers(right)
    threshold = f"frequency of at least {ds.attrs['high_frequency']:g} in one language only"
    figure.suptitle(f"{ds.attrs['model']}: experts with a {threshold}", wrap=True)
    return figure


FIGURES: dict[str, style.Draw] = {"specific_experts": specific_experts}
