"""Kinds of neurons through the training of models."""

from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures.looks import KINDS, trusted
from neuroglot.figures import lines, sheets
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import panels_of
from neuroglot.figures.training import change, placed, subject
from neuroglot.measures.proportions import FEW
from neuroglot.tables import valued


def kinds(ds: Dataset) -> Figure:
    """Mean share of each kind by training step, a panel for each task.

    Args:
        ds: ``kind_share(model, task, kind)`` with ``_low`` and ``_high``; ``facts(model, task)``;
            ``model_family(model)`` and ``training_step(model)``.
    """
    values, axis = placed(trusted(ds), "kind_share")
    tasks = panels_of(ds, "kind_share", "task", "no kinds of neurons")
    table, label = valued(values, "kind_share"), "share of neurons, mean over layers"
    several = len(axis.stacks) > 1  # their names need a whole column
    rows, columns = (tasks, None) if several else (None, tasks)
    figure = lines.by_layer(table, axis, KINDS, label, rows=rows, columns=columns)
    sheets.as_shares(figure.axes)
    note = f"bands: means of the 95 % intervals' ends, for {FEW} facts or more"
    return sheets.title(figure, ds, subject(ds, "kinds of neurons"), note)


def finding(ds: Dataset) -> str:
    """Say how the share of all-shared neurons moves, mean over tasks."""
    shared = ds["kind_share"].sel(kind="all_shared")
    return change(ds, shared, "All-shared neurons, mean over tasks and layers", ".1%")


FIGURES = {"kinds_in_training": Drawing(kinds, finding)}
