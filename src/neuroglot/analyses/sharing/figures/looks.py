"""The four kinds of neurons and the tasks, alike in all figures."""

from collections.abc import Callable
from textwrap import fill

from xarray import DataArray, Dataset

from neuroglot.figures import sheets
from neuroglot.figures.findings import span
from neuroglot.figures.series import Look, Series
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import counted, held, tasks_of

FLOOR = 30
"""Items of a task below which nothing is told of it."""
BANDS = "bands: 95 % intervals over items"

# Any two colours are 24 CIELAB units apart under protanopia, deuteranopia and tritanopia, and 35
# from the colours of the first six languages.
KINDS = Series(
    "kind",
    {
        "all_shared": Look("all-shared", "#D55E00", "-", "o"),
        "partial_shared": Look("partial-shared", "#E6B800", (0, (5, 1.5)), "s"),
        "specific": Look("specific", "#0072B2", (0, (1, 1)), "^"),
        "non_activated": Look("non-activated", "#5F5F5F", (0, (5, 1, 1, 1)), "D"),
    },
)


def task_rows(ds: Dataset, name: str) -> Facet | None:
    """One row of panels for each task that has any value of a variable; None if there is none."""
    tasks = tasks_of(ds, name)
    if tasks is None:
        return None
    parts = {task: title.partition("\n") for task, title in tasks.titles.items()}
    titles = {task: f"{fill(n, 18)}\n{items}".strip() for task, (n, _, items) in parts.items()}
    return Facet("task", titles)


def height(rows: Facet) -> float:
    """Inches of a panel, so that all rows fit on a page."""
    return min(1.45, (sheets.HEIGHT - 1.1) / len(rows))


def told(ds: Dataset, name: str, sentence: Callable[[Dataset], str]) -> str:
    """Say what a figure shows of the tasks that have enough items.

    Args:
        ds: ``name(task, …)`` and ``items(task)``.
        name: the variable that the figure draws.
        sentence: told of the tasks with at least ``FLOOR`` items.
    """
    ds = ds.sel(task=held(ds, name, "task"))
    enough = (ds["items"] >= FLOOR).values
    if not ds.sizes["task"]:
        return ""
    if not enough.any():
        return f"Of {counted(ds['items'].values, 'items')} a task, it cannot be told at this size."
    return sentence(ds.isel(task=enough))


def by_kind(share: DataArray) -> str:
    """List the mean share of each kind over layers, as a range over tasks and other dimensions."""
    means = share.mean("layer")
    parts = [f"{KINDS.label(kind)} {span(means.sel(kind=kind), '.1%')}" for kind in KINDS]
    return ", ".join(parts)
