"""Figures 2 to 6, 11 to 19 and 22: which neurons languages share, layer by layer."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from xarray import DataArray, Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import LayerAxis

GREY = "#777777"
BAR_HEIGHT = 0.38


@style.styled
def neuron_kinds(ds: Dataset) -> Figure:
    """Share of each kind (left) and of active neurons by language (right), one row per task.

    Args:
        ds: ``kind_share(task, layer, kind)`` and ``active_share(task, layer, language)``, each
            with ``…_low`` and ``…_high``, which bound the mean over items; ``items(task)``.
    """
    share, active = ds["kind_share"], ds["active_share"]
    tasks = panels.held(share, "task")
    if not tasks:
        return style.empty("no shares of kinds of neurons")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds)
    figure, axes = grids.rows(
        looks.counted(ds, tasks),
        ("neurons of each kind", "active neurons by language"),
        [
            *looks.kind_handles(),
            *grids.language_handles(languages, panels.held(active, "language")),
        ],
        sharey="col",
    )
    for (left, right), task in zip(axes, tasks, strict=True):
        bounds = ds.sel(task=task)
        looks.kind_bands(left, axis, bounds["kind_share_low"], bounds["kind_share_high"])
        looks.kind_lines(left, axis, share.sel(task=task))
        panels.language_bands(
            right, axis, languages, bounds["active_share_low"], bounds["active_share_high"]
        )
        panels.language_lines(right, axis, languages, active.sel(task=task))
    looks.as_shares(grids.flat(axes))
    grids.finish(axes)
    grids.title(figure, ds, "share of a layer's neurons")
    return figure


@style.styled
def behaviour_repeating(ds: Dataset) -> Figure:
    """Share of neurons with the same kind in all items, and mean share of the kind.

    One row per task. Left: both shares, averaged over layers. Right: the first share by layer.

    Args:
        ds: ``overlap(task, layer, kind)``, ``kind_share(task, layer, kind)``, ``items(task)``.
    """
    overlap = ds["overlap"]
    tasks = panels.held(overlap, "task")
    if not tasks:
        return style.empty("no kinds of neurons in several items")
    axis = LayerAxis.of(ds)
    bars = [
        Patch(label="average: of the kind in an item", facecolor=GREY, edgecolor=GREY),
        Patch(label="overlap: of it in every item", facecolor="white", edgecolor=GREY),
    ]
    figure, axes = grids.rows(
        looks.counted(ds, tasks),
        ("mean over layers", "overlap by layer"),
        [*bars, *looks.kind_handles()],
    )
    for (left, right), task in zip(axes, tasks, strict=True):
        draw_bars(left, ds["kind_share"].sel(task=task), overlap.sel(task=task))
        looks.kind_lines(right, axis, overlap.sel(task=task))
    looks.as_shares([right for _, right in axes])
    grids.finish(axes)
    grids.title(figure, ds, "neurons that repeat their behaviour")
    return figure


def draw_bars(ax: Axes, average: DataArray, overlap: DataArray) -> None:
    """Draw two bars for each kind, with their numbers: the means of both shares over layers."""
    kinds = panels.held(average, "kind")
    places = np.arange(len(kinds))
    colours = [looks.KINDS[kind]["color"] for kind in kinds]
    for values, offset, filled in ((average, -0.5, True), (overlap, 0.5, False)):
        means = values.mean("layer").sel(kind=kinds).values
        bars = ax.barh(
            places + offset * BAR_HEIGHT,
            means,
            height=BAR_HEIGHT,
            color=colours if filled else "white",
            edgecolor=colours,
        )
        ax.bar_label(bars, [f"{share:.2%}" for share in means], padding=2, fontsize=7)
    ax.set_yticks(places, [looks.KINDS[kind]["label"] for kind in kinds])
    ax.set_ylim(len(kinds) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.25)  # room for the numbers at long bars
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(grids.per_cent())
    ax.set_xlabel("share of neurons")


@style.styled
def dead(ds: Dataset) -> Figure:
    """Share of an item's non-activated neurons that are inactive at all its tokens, by language.

    Args:
        ds: ``dead(task, layer, language)`` with ``dead_low`` and ``dead_high``, ``items(task)``.
    """
    values = ds["dead"]
    tasks = panels.held(values, "task")
    if not tasks:
        return style.empty("no non-activated neurons")
    languages, axis = style.Languages.of(ds), LayerAxis.of(ds)
    columns = 1 if len(tasks) == 1 else 2
    figure, body = panels.sheet(
        columns * panels.PANEL_WIDTH,
        0.5 + panels.PANEL_HEIGHT * -(-len(tasks) // columns),
        grids.language_handles(languages, panels.held(values, "language")),
    )
    axes = panels.wrapped(body, len(tasks), columns, sharex=True, sharey=True)
    for ax, task in zip(axes, tasks, strict=True):
        low, high = (ds[f"dead{end}"].sel(task=task) for end in ("_low", "_high"))
        panels.language_bands(ax, axis, languages, low, high)
        panels.language_lines(ax, axis, languages, values.sel(task=task))
        ax.set_title(f"{task}\n{int(ds['items'].sel(task=task)):,} items")
        ax.set_xlabel("layer" if ax in axes[-columns:] else "")
    looks.as_shares(axes)
    body.supylabel("share of non-activated neurons", fontsize="medium")
    grids.title(figure, ds, "non-activated neurons that are inactive at every token")
    return figure


@style.styled
def sweep(ds: Dataset, share: str, dimension: str, words: tuple[str, str]) -> Figure:
    """Share of each kind (columns) in each task (rows), one line per step of a sweep.

    Args:
        ds: ``share(task, dimension, layer, kind)`` with ``share_low`` and ``share_high``,
            ``items(task)``.
        share: name of the variable.
        dimension: name of the sweep's dimension; its coordinate holds the steps' numbers.
        words: name of the numbers, and the words for the kinds in the figure's title.
    """
    values = ds[share]
    tasks = panels.held(values, "task")
    if not tasks:
        return style.empty(f"no shares of kinds {words[1]}")
    axis = LayerAxis.of(ds)
    kinds = [str(kind) for kind in values["kind"].values]
    lines = looks.steps(words[0], values[dimension].values.tolist())
    figure, axes = grids.rows(
        looks.counted(ds, tasks),
        [looks.KINDS[kind]["label"] for kind in kinds],
        lines,
        sharey="col",
    )
    for row, task in zip(axes, tasks, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            drawn = ds[[share, f"{share}_low", f"{share}_high"]].sel(task=task, kind=kind)
            for place, handle in enumerate(lines[1:]):
                step = drawn.isel({dimension: place})
                looks.banded_line(ax, axis, step, share, handle)
            axis.decorate(ax)
    looks.as_shares(grids.flat(axes))
    for ax in grids.flat(axes):
        ax.yaxis.set_major_locator(MaxNLocator(4, steps=(1, 2, 2.5, 5, 10)))
    grids.finish(axes)
    grids.title(figure, ds, f"share of a layer's neurons {words[1]}")
    return figure


FIGURES: dict[str, style.Draw] = {
    "figures_02_04_11_18_kinds": neuron_kinds,
    "figure_05_behaviour_repeating": behaviour_repeating,
    "figure_06_dead": dead,
    "figure_19_language_count": partial(
        sweep,
        share="language_count_share",
        dimension="languages",
        words=("number of languages", "by number of languages"),
    ),
    "figure_22_threshold": partial(
        sweep,
        share="threshold_share",
        dimension="threshold",
        words=("active above", "by activation threshold"),
    ),
}
