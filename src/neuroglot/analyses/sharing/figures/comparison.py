"""Figures 7, 20 and 21: kinds of neurons in several models, and with few-shot examples."""

import json
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import KINDS
from neuroglot.figures import sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import DASHES, Look, Series
from neuroglot.figures.style import Drawing, require
from neuroglot.figures.texts import counted, held, panels_of
from neuroglot.tables import tidy, valued

HUES = ("#4477AA", "#EE6677", "#228833", "#AA3377")


class Depth(LayerAxis):
    """The x axis of models with unlike numbers of layers: a layer's number over the last's."""

    size = 100

    def placed(self, table: DataFrame) -> DataFrame:
        """Sort a table with the columns ``layer`` and ``layers``, and add ``x`` and ``stack``."""
        return table.assign(x=table["layer"] / table["layers"], stack="").sort_values("x")

    def decorate(self, ax: Axes) -> None:
        """Label the axis."""
        ax.set_xlim(0, 1.03)
        ax.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        ax.set_xlabel("layer / layers")


def models(ds: Dataset) -> Figure:
    """Share of each kind (columns) in each task (rows) by relative depth, one line per model.

    Tasks with examples before the question are left out.

    Args:
        ds: ``kind_share(model, task, layer, kind)`` with ``kind_share_low`` and
            ``kind_share_high``, NaN beyond a model's depth; ``items(model, task)``;
            ``layers(model)``; coordinate ``shots(task)``; ``attrs["few_shot"]``.
    """
    ds = ds.drop_sel(task=[task for task, shots in examples(ds).items() if shots])
    require(ds["kind_share"], "no kinds of neurons to compare models by")
    model_looks = {
        model: Look(model, HUES[i % len(HUES)], DASHES[i % len(DASHES)])
        for i, model in enumerate(held(ds, "kind_share", "model"))
    }
    table = valued(ds, "kind_share").merge(tidy(ds[["layers"]]))
    tasks = panels_of(ds, "kind_share", "task", "no kinds of neurons to compare models by")
    figure = looks.grid(table, Depth((), ()), Series("model", model_looks), tasks, KINDS)
    sheets.as_shares(figure.axes)
    return sheets.title(figure, ds, "kinds by model", "bands: 95 % intervals over facts")


def few_shot(ds: Dataset) -> Figure:
    """Change of each kind's share (columns) in each model (rows) with examples, by their number.

    Args:
        ds: ``kind_share(model, task, layer, kind)``, NaN beyond a model's depth; ``items(model,
            task)``; ``layers(model)``; coordinate ``shots(task)``; ``attrs["few_shot"]``, the tasks
            of the sweep, of which the first is what the others are compared with.
    """
    change = changes(ds)
    table = valued(change, "change").merge(tidy(ds[["layers"]]))
    shots = looks.steps("shots", [*change["shots"].values], "examples:")
    models = Series.of("model", held(change, "change", "model"))
    label = "change of the share of a layer's neurons"
    figure = looks.grid(table, Depth((), ()), shots, models, KINDS, label=label)
    sheets.guide(figure.axes, 0)
    sheets.as_shares(figure.axes, whole=False)
    note = counted(ds["items"].sel(task=[*examples(ds)]).values, "items each")
    return sheets.title(figure, ds, "kinds with examples less those without", note)


def examples(ds: Dataset) -> dict[str, int]:
    """Map each task of the few-shot sweep to its number of examples, in the sweep's order."""
    tasks: list[str] = json.loads(ds.attrs.get("few_shot", "[]"))
    return {task: int(ds["shots"].sel(task=task)) for task in tasks}


def changes(ds: Dataset) -> Dataset:
    """Shares of the tasks of the sweep less that of the first: ``change(model, shots, …)``."""
    tasks = examples(ds)
    share = ds["kind_share"].sel(task=[*tasks]).drop_vars("shots").rename(task="shots")
    share = share.assign_coords(shots=[str(shots) for shots in tasks.values()])
    first = share.isel(shots=slice(1)).sum("shots", skipna=False)
    change = (share - first).isel(shots=slice(1, None))
    require(change, "no task with examples before the question")
    return change.to_dataset(name="change")


def few_shot_finding(ds: Dataset) -> str:
    """Say how far shares move with examples."""
    return looks.told(changes(ds).rename(shots="task"), "change", "Change of shares")


FIGURES = {
    "figures_07_20_models": Drawing(
        models, partial(looks.told, name="kind_share", words="Shares of neurons")
    ),
    "figure_21_few_shot": Drawing(few_shot, few_shot_finding),
}
