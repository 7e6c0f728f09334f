"""Figures 7, 20 and 21: kinds of neurons in several models, and with few-shot examples."""

import json

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.figures import grids, panels, style
from neuroglot.figures.layers import MOST_MARKERS, LayerAxis, Stack


@style.styled
def models(ds: Dataset) -> Figure:
    """Share of each kind (columns) in each task (rows) by relative depth, one line per model.

    Few-shot tasks are left out.

    Args:
        ds: ``kind_share(model, task, layer, kind)`` with ``kind_share_low`` and
            ``kind_share_high``, NaN beyond a model's depth; ``layers(model)``; coordinate
            ``shots(task)``; ``attrs["few_shot"]``.
    """
    share = ds["kind_share"]
    with_examples = [task for task, shots in examples(ds).items() if shots]
    tasks = [task for task in panels.held(share, "task") if task not in with_examples]
    if not tasks:
        return style.empty("no kinds of neurons to compare models by")
    kinds, drawn = [str(kind) for kind in ds["kind"].values], panels.held(share, "model")
    lines = {model: line(i, model) for i, model in enumerate(drawn)}
    figure, axes = grids.rows(
        [grids.row_label(task) for task in tasks],
        [looks.KINDS[kind]["label"] for kind in kinds],
        [grids.heading("model"), *lines.values()],
        sharey="col",
    )
    for row, task in zip(axes, tasks, strict=True):
        for ax, kind in zip(row, kinds, strict=True):
            for model, handle in lines.items():
                depth = int(ds["layers"].sel(model=model))
                every = max(1, -(-depth // MOST_MARKERS))
                x = (np.arange(depth) + 1) / depth
                shares, low, high = (
                    ds[f"kind_share{end}"].sel(model=model, task=task, kind=kind).values[:depth]
                    for end in ("", "_low", "_high")
                )
                ax.fill_between(x, low, high, **looks.band_of(handle))
                ax.plot(x, shares, markevery=every, **looks.line_of(handle))
            ax.set_xlim(0, 1.03)
            ax.xaxis.set_major_formatter(grids.per_cent())
            ax.set_xlabel("relative depth (layer / layers)")
    looks.as_shares(grids.flat(axes))
    grids.finish(axes)
    grids.title(figure, ds, "share of a layer's neurons by model")
    return figure


@style.styled
def few_shot(ds: Dataset) -> Figure:
    """Share of each kind (columns) in each model (rows), one line per number of examples.

    Args:
        ds: ``kind_share(model, task, layer, kind)`` with ``kind_share_low`` and
            ``kind_share_high``, NaN beyond a model's depth; ``layers(model)``; coordinate
            ``shots(task)``; ``attrs["few_shot"]``, the tasks of the sweep.
    """
    shots = examples(ds)
    share = ds["kind_share"].sel(task=[*shots])
    drawn = panels.held(share, "model")
    if not drawn:
        return style.empty("no task with examples before the question")
    kinds = [str(kind) for kind in ds["kind"].values]
    lines = looks.steps("examples", [*shots.values()])
    figure, axes = grids.rows(
        [grids.row_label(model) for model in drawn],
        [looks.KINDS[kind]["label"] for kind in kinds],
        lines,
        sharex=False,
        sharey="col",
    )
    for row, model in zip(axes, drawn, strict=True):
        axis = layer_axis(int(ds["layers"].sel(model=model)))
        for ax, kind in zip(row, kinds, strict=True):
            for task, handle in zip(shots, lines[1:], strict=True):
                of_kind = ds.sel(model=model, task=task, kind=kind)
                looks.banded_line(ax, axis, of_kind, "kind_share", handle)
            axis.decorate(ax)
    looks.as_shares(grids.flat(axes))
    grids.finish(axes)
    grids.title(figure, ds, "share of a layer's neurons by number of examples")
    return figure


def examples(ds: Dataset) -> dict[str, int]:
    """Map each task of the few-shot sweep to its number of examples, in the sweep's order."""
    tasks: list[str] = json.loads(ds.attrs.get("few_shot", "[]"))
    return {task: int(ds["shots"].sel(task=task)) for task in tasks}


def line(position: int, model: str) -> Line2D:
    """Legend entry of the model at ``position``."""
    look = style.look(position)
    return Line2D(
        [], [], label=model, color=look.color, linestyle=look.linestyle, marker=look.marker
    )


def layer_axis(depth: int) -> LayerAxis:
    """Give the layer axis of a model with one stack of ``depth`` layers."""
    layers = np.arange(depth)
    return LayerAxis((Stack("layers", layers, layers + 1, np.arange(1.0, depth + 1)),))


FIGURES: dict[str, style.Draw] = {
    "figures_07_20_models": models,
    "figure_21_few_shot": few_shot,
}
