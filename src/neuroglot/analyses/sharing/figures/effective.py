"""Figures 10 and 27 to 29, tables 1 and 4: effective scores of each kind for the gold answer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from xarray import DataArray, Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis, plain_numbers

EXTREMES = ("min", "max")
DECADES = 2
MOSTLY_ABOVE = 0.05  # share of the scores by layer in the linear part of the axis
MOST_PANELS_ABREAST = 2
KIND_HEIGHT = 0.1  # inches per kind within a language


@style.styled
def by_layer(ds: Dataset) -> Figure:
    """Highest effective score of each kind's neurons by layer, one panel per task.

    Args:
        ds: ``max_by_layer(task, language, layer, kind)``;
            ``max_by_layer_of_languages_low(task, layer, kind)`` and ``…_high``.
    """
    scores = ds["max_by_layer"]
    tasks = panels.held(scores, "task")
    if not tasks:
        return style.empty("no effective scores of neurons")
    axis = LayerAxis.of(ds)
    columns = min(MOST_PANELS_ABREAST, len(tasks))
    figure, body = panels.sheet(
        columns * panels.PANEL_WIDTH,
        0.3 + panels.PANEL_HEIGHT * -(-len(tasks) // columns),
        looks.kind_handles(),
    )
    axes = panels.wrapped(body, len(tasks), columns, sharex=True, sharey=True)
    for ax, task in zip(axes, tasks, strict=True):
        looks.kind_ranges(ax, axis, ds.sel(task=task), "max_by_layer")
        ax.set_title(task)
        ax.set_xlabel("layer" if ax in axes[-columns:] else "")
        plain_numbers(ax)
    drawn = scores.sel(task=tasks)
    if looks.far_apart(drawn):
        looks.signed_log(axes, "y", float(drawn.where(drawn > 0).quantile(MOSTLY_ABOVE)))
    body.supylabel("maximum effective score (logits)", fontsize="medium")
    grids.title(figure, ds, "maximum effective score, mean and range of languages")
    return figure


@style.styled
def by_language(ds: Dataset) -> Figure:
    """Lowest, highest and mean effective score by language and kind.

    Args:
        ds: ``max(task, language, kind)``, ``min(…)`` and ``mean(…)`` over items, layers and
            neurons of the kind.
    """
    tasks = panels.held(ds["max"], "task")
    if not tasks:
        return style.empty("no effective scores of neurons")
    names = style.Languages.of(ds).names
    drawn = panels.held(ds["max"], "language")
    columns = min(MOST_PANELS_ABREAST, len(tasks))
    side = 0.7 + len(drawn) * (len(looks.KINDS) + 1) * KIND_HEIGHT
    figure, body = panels.sheet(
        1 + columns * panels.PANEL_WIDTH,
        0.3 + max(1.6, side) * -(-len(tasks) // columns),
        [*looks.kind_handles(linestyle="none"), *mark_handles()],
    )
    axes = panels.wrapped(body, len(tasks), columns, sharex=True, sharey=True)
    for ax, task in zip(axes, tasks, strict=True):
        intervals(ax, ds.sel(task=task, language=drawn))
        ax.set_title(task)
        ax.set_xlabel("effective score (logits)" if ax in axes[-columns:] else "")
        ax.axvline(0, color="#888888", linewidth=0.8, zorder=0)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(drawn)), [names[language] for language in drawn])
    axes[0].set_ylim(len(drawn) - 0.5, -0.5)
    for ax in axes:
        ax.tick_params(axis="y", length=0)
    scale(axes, ds.sel(task=tasks))
    grids.title(figure, ds, "effective scores of each kind of neurons")
    return figure


def mark_handles() -> list[Line2D]:
    """Legend entries for the marks of an interval."""
    return [
        Line2D([], [], label="lowest to highest", marker="|", markersize=6, color="#555555"),
        Line2D([], [], label="mean", marker="o", color="#555555", linestyle="none"),
    ]


def intervals(ax: Axes, ds: Dataset) -> None:
    """Draw one line from ``min`` to ``max`` and one point at ``mean`` for each language and kind.

    Args:
        ax: axes with language ``i`` at height ``i``.
        ds: ``max(language, kind)``, ``min(…)`` and ``mean(…)``.
    """
    kinds = panels.held(ds["max"], "kind")
    for kind in kinds:
        place = ([*looks.KINDS].index(kind) - (len(looks.KINDS) - 1) / 2) / (len(looks.KINDS) + 1)
        of_kind = ds.sel(kind=kind)
        low, high, mean = (of_kind[name].values.astype(float) for name in (*EXTREMES, "mean"))
        heights = np.arange(len(mean)) + place
        look = {key: looks.KINDS[kind][key] for key in ("color", "label")}
        for ends in zip(low, high, heights, strict=True):
            if np.isfinite(ends).all():
                ax.plot(ends[:2], [ends[2]] * 2, marker="|", markersize=4, **look)
        ax.plot(mean, heights, linestyle="none", marker=looks.KINDS[kind]["marker"], **look)


def scale(axes: list[Axes], ds: Dataset) -> None:
    """Make the shared x axis symmetric-logarithmic if the scores' sizes are far apart.

    The axis is linear up to the power of ten of a hundredth of the largest absolute score.
    """
    reach = reaches(ds)
    if not looks.far_apart(reach):
        return
    looks.signed_log(axes, "x", float(reach.max()) / 10**DECADES)


def reaches(ds: Dataset) -> DataArray:
    """Largest absolute score of each task, language and kind."""
    return abs(ds[list(EXTREMES)]).to_array("end").max("end")


FIGURES: dict[str, style.Draw] = {
    "figures_10_27_29_effective": by_layer,
    "tables_01_04_effective": by_language,
}
