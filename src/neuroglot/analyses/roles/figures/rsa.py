"""Figure 11: representational similarity between the layers of two models."""

from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.figures import heat, series, sheets
from neuroglot.figures.findings import settled
from neuroglot.figures.layers import ticks
from neuroglot.figures.style import SITES, Drawing, NothingToDraw
from neuroglot.figures.texts import counted

MOST_PANELS = 16
OUTLINE: Any = {
    "marker": "s",
    "s": 4,
    "facecolors": "none",
    "edgecolors": "black",
    "linewidth": 0.5,
}


def model_similarity(ds: Dataset, site: str) -> Figure:
    """Layer × layer similarity of each pair of models, mean over languages.

    The languages of a single pair are drawn too, if they fit.

    Args:
        ds: ``rsa(site, language, model_a, layer_a, model_b, layer_b)``, Pearson's r, NaN beyond a
            model's depth; ``stimuli(language, model_a, model_b)``.
        site: ``out`` as published, or ``act``.
    """
    pairs = model_pairs(ds, site)
    panels = [("mean of languages", cells.mean("language")) for cells in pairs]
    if len(pairs) == 1 and 1 < pairs[0].sizes["language"] < MOST_PANELS:
        named = series.languages(ds)
        panels += [(named.label(str(cells["language"].item())), cells) for cells in pairs[0]]
    figure, axes = sheets.grid(len(panels), sheets.ABREAST, 1.6)
    values = np.concatenate([cells.values.ravel() for _, cells in panels])
    scale = heat.Scale.of(values, "similarity (Pearson's r)", signed=True)
    for ax, (title, cells) in zip(axes, panels, strict=True):
        heat.cells(ax, cells.values, scale)
        ax.scatter(cells.argmax("layer_b") + 0.5, np.arange(len(cells)) + 0.5, **OUTLINE)
        ax.invert_yaxis()
        for mark, size in zip((ax.set_yticks, ax.set_xticks), cells.shape, strict=True):
            shown = ticks(range(1, size + 1), 6)
            mark(shown + 0.5, shown + 1)
        ax.set_title(title)
        if "language" not in cells.coords:
            ax.set_ylabel(f"layer of {cells['model_a'].item()}")
            ax.set_xlabel(f"layer of {cells['model_b'].item()}")
    scale.bar(figure, axes)
    number = f"{ds.attrs['corpus']}, {counted(ds['stimuli'].values, 'shared prefixes')}"
    note = f"{number}. Squares: each row's best match."
    return sheets.title(figure, ds, f"{SITES[site]}, similarity between models", note)


def model_pairs(ds: Dataset, site: str) -> list[DataArray]:
    """``(language, layer_a, layer_b)`` of each two models, or of a single model with itself."""
    values, pairs = ds["rsa"].sel(site=site), []
    models = [str(model) for model in values["model_a"].values]
    for a, b in [*combinations(models, 2)] or [(models[0], models[0])]:
        cells = values.sel(model_a=a, model_b=b).transpose("language", "layer_a", "layer_b")
        for dimension in cells.dims:
            cells = cells.dropna(dimension, how="all")
        pairs += [cells] if cells.size else []
    if not pairs:
        raise NothingToDraw(f"no two models with shared prefixes ({SITES[site]})")
    return pairs


def finding(ds: Dataset, site: str) -> str:
    """Say which layers of the first two models are most alike."""
    mean = model_pairs(ds, site)[0].mean("language")
    best = mean.isel(mean.argmax(...))
    a, b = (f"layer {int(best[f'layer_{m}']) + 1} of {best[f'model_{m}'].item()}" for m in "ab")
    told = f"Most alike are {a} and {b}, with a mean r over languages of {float(best):.2f}."
    return settled(told, int(ds["stimuli"].max()), "shared prefixes")


FIGURES = {
    "figure_11_combinator_model_similarity": Drawing(model_similarity, finding, site="out"),
    "figure_11_detector_model_similarity": Drawing(model_similarity, finding, site="act"),
}
