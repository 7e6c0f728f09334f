"""Figure 11: representational similarity between the layers of two models."""

from functools import partial
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from xarray import DataArray, Dataset

from neuroglot.figures import panels, style
from neuroglot.figures.layers import MOST_TICKS, ticks
from neuroglot.figures.matrices import heat, limits

MEAN = "mean over languages"
UNIT = "similarity\n(Pearson correlation)"
SIDE = 1.75
COLUMNS = 6


@style.styled
def model_similarity(ds: Dataset, site: str) -> Figure:
    """Layer × layer similarity of each pair of models: the mean over languages, then each language.

    A single model is compared with itself.

    Args:
        ds: ``rsa(site, language, model_a, layer_a, model_b, layer_b)``, NaN beyond a model's
            depth; ``stimuli(language, model_a, model_b)``.
        site: ``out`` as published, or ``act``.
    """
    pairs = model_pairs(ds["rsa"].sel(site=site))
    if not pairs:
        return style.empty(f"no two models with shared prefixes ({style.SITES[site]})")
    columns = min(COLUMNS, 1 + max(cells.sizes["language"] for cells in pairs))
    heights = [1.0 + -(-(1 + cells.sizes["language"]) // columns) * SIDE for cells in pairs]
    figure = panels.page(1.6 + columns * SIDE, 0.4 + sum(heights))
    parts = figure.subfigures(len(pairs), 1, squeeze=False, height_ratios=heights)[:, 0]
    low, high = limits(np.concatenate([cells.values.ravel() for cells in pairs]))
    for part, cells in zip(parts, pairs, strict=True):
        draw_pair(part, cells, ds, columns, (low, high))
    style.title(figure, ds, site, "representational similarity between models")
    return figure


def model_pairs(values: DataArray) -> list[DataArray]:
    """Give ``(language, layer_a, layer_b)`` of each pair of models, without all-NaN slices."""
    models = [str(model) for model in values["model_a"].values]
    pairs = list(combinations(models, 2)) or [(model, model) for model in models]
    cells = [between(values, a, b) for a, b in pairs]
    return [one for one in cells if one.size]


def between(values: DataArray, a: str, b: str) -> DataArray:
    """Give ``(language, layer_a, layer_b)`` of ``a`` and ``b``, stored in either order."""
    cells = values.sel(model_a=a, model_b=b)
    if not style.present(cells):
        swap = {"layer_a": "layer_b", "model_a": "model_b"}
        swap |= {new: old for old, new in swap.items()}
        cells = values.sel(model_a=b, model_b=a).rename(swap)
    for dimension in ("language", "layer_a", "layer_b"):
        cells = cells.dropna(dimension, how="all")
    return cells.transpose("language", "layer_a", "layer_b")


def draw_pair(
    part: SubFigure, cells: DataArray, ds: Dataset, columns: int, limits: tuple[float, float]
) -> None:
    """Draw one pair's panels: first the mean over languages, if there are several languages."""
    names = style.Languages.of(ds).names
    a, b = str(cells["model_a"].item()), str(cells["model_b"].item())
    drawn = [str(language) for language in cells["language"].values]
    shown = {names[language]: cells.sel(language=language) for language in drawn}
    if len(drawn) > 1:
        shown = {MEAN: cells.mean("language"), **shown}
    axes = panels.wrapped(part, len(shown), columns, sharex=True, sharey=True)
    for ax, (name, similarity) in zip(axes, shown.items(), strict=True):
        image = draw_layers(ax, similarity, *limits)
        ax.set_title(name)
    part.supxlabel(f"layer of {b}", fontsize="medium")
    part.supylabel(f"layer of {a}", fontsize="medium")
    part.colorbar(image, ax=axes, label=UNIT, fraction=0.02, aspect=30)
    shared = ds["stimuli"].sel(model_a=a, model_b=b, language=drawn)
    part.suptitle(f"{a} and {b}: {panels.prefixes(shared)} in both", fontsize="medium")


def draw_layers(ax: Axes, similarity: DataArray, low: float, high: float) -> AxesImage:
    """Draw ``similarity(layer_a, layer_b)``, layers numbered from 1 at the lower left."""
    values = similarity.values
    down, across = values.shape
    sides = (0.5, across + 0.5, 0.5, down + 0.5)
    image = heat(ax, values, low, high, origin="lower", extent=sides)
    numbers = [np.arange(size) + 1 for size in (across, down)]
    ax.set_xticks(numbers[0][ticks(numbers[0], MOST_TICKS // 2)])
    ax.set_yticks(numbers[1][ticks(numbers[1], MOST_TICKS // 2)])
    return image


FIGURES: dict[str, style.Draw] = {
    "figure_11_combinator_model_similarity": partial(model_similarity, site="out"),
    "figure_11_detector_model_similarity": partial(model_similarity, site="act"),
}
