"""Figure 11: representational similarity between the layers of two models."""

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets, style
from neuroglot.figures.findings import settled
from neuroglot.figures.layers import ticks
from neuroglot.figures.texts import counted

MOST_PANELS = 16
OUTLINE: Any = {
    "marker": "s",
    "s": 4,
    "facecolors": "none",
    "edgecolors": "black",
    "linewidth": 0.5,
}


@style.styled
def model_similarity(ds: Dataset, site: str) -> Figure:
    """Layer × layer similarity of each pair of models, mean over languages.

    The languages of a single pair are drawn too, if they fit.

    Args:
        ds: ``rsa(site, language, model_a, layer_a, model_b, layer_b)``, Pearson's r, NaN beyond a
            model's depth; ``stimuli(language, model_a, model_b)``.
        site: ``out`` as published, or ``act``.
    """
    pairs = model_pairs(ds["rsa"].sel(site=site))
    if not pairs:
        return style.empty(f"no two models with shared prefixes ({style.SITES[site]})")
    panels = [("mean of languages", cells.mean("language")) for cells in pairs]
    if len(pairs) == 1 and 1 < pairs[0].sizes["language"] < MOST_PANELS:
        named = series.languages(ds)
        panels += [(named.label(str(cells["language"].item())), cells) for cells in pairs[0]]
    figure, axes = sheets.grid(len(panels), sheets.ABREAST, 1.6)
    values = np.concatenate([cells.values.ravel() for _, cells in panels])
    scale = heat.Scale.of(values, "similarity (Pearson's r)", signed=True)
    for ax, (title, cells) in zip(axes, panels, strict=True):
        heat.cells(ax, cells.values, scale)
        rows = np.arange(len(cells))
        ax.scatter(cells.argmax("layer_b") + 0.5, rows + 0.5, **OUTLINE)
        ax.invert_yaxis()
        for mark, size in zip((ax.set_yticks, ax.set_xticks), cells.shape, strict=True):
            mark(ticks(np.arange(size) + 1, 6) + 0.5, ticks(np.arange(size) + 1, 6) + 1)
        ax.set_title(title)
        if "language" not in cells.coords:
            ax.set_ylabel(f"layer of {cells['model_a'].item()}")
            ax.set_xlabel(f"layer of {cells['model_b'].item()}")
    scale.bar(figure, axes)
    number = f"{ds.attrs['corpus']}, {counted(ds['stimuli'].values, 'shared prefixes')}"
    note = f"{number}. Squares: each row's best match."
    sheets.title(figure, ds, f"{style.SITES[site]}, similarity between models", note)
    return figure


def model_pairs(values: DataArray) -> list[DataArray]:
    """``(language, layer_a, layer_b)`` of each two models, or of a single model with itself."""
    models = [str(model) for model in values["model_a"].values]
    found = []
    for a, b in [*combinations(models, 2)] or [(models[0], models[0])]:
        cells = values.sel(model_a=a, model_b=b).transpose("language", "layer_a", "layer_b")
        for dimension in cells.dims:
            cells = cells.dropna(dimension, how="all")
        found += [cells] if cells.size else []
    return found


def finding(ds: Dataset, site: str) -> str:
    """Say which layers of the first two models are most alike."""
    for cells in model_pairs(ds["rsa"].sel(site=site)):
        best = cells.mean("language")
        best = best.isel(best.argmax(...))
        a, b = (f"layer {int(best[f'layer_{m}']) + 1} of {best[f'model_{m}'].item()}" for m in "ab")
        found = f"Most alike are {a} and {b}, with a mean r over languages of {float(best):.2f}."
        return settled(found, int(ds["stimuli"].max()), "shared prefixes")
    return ""


FIGURES = {
    "figure_11_combinator_model_similarity": style.Drawing.of(
        model_similarity, finding, site="out"
    ),
    "figure_11_detector_model_similarity": style.Drawing.of(model_similarity, finding, site="act"),
}
