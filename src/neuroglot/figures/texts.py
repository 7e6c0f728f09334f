"""The texts and tasks of a figure, as panels with their numbers of rows or items."""

import numpy as np
from xarray import Dataset

from neuroglot.figures.sheets import Facet


def corpora_of(ds: Dataset, name: str) -> Facet | None:
    """One panel for each corpus that has any value of a variable; None if there is none.

    Args:
        ds: ``name(corpus, …)`` and, if known, ``rows(corpus, language)``, the numbers of prefixes.
        name: name of the variable.
    """
    corpora = held(ds, name, "corpus")
    titles = {corpus: corpus for corpus in corpora}
    if "rows" in ds:
        titles = {one: f"{one}\n{prefixes(ds['rows'].sel(corpus=one).values)}" for one in corpora}
    return Facet("corpus", titles) if corpora else None


def tasks_of(ds: Dataset, name: str) -> Facet | None:
    """One panel for each task that has any value of a variable; None if there is none.

    Args:
        ds: ``name(task, …)`` and, if known, ``items(task)`` or ``items(task, language)``.
        name: name of the variable.
    """
    tasks = held(ds, name, "task")
    titles = {task: task for task in tasks}
    if "items" in ds:
        titles = {
            one: f"{one}\n{counted(ds['items'].sel(task=one).values, 'items')}" for one in tasks
        }
    return Facet("task", titles) if tasks else None


def held(ds: Dataset, name: str, dimension: str) -> list[str]:
    """Labels along a dimension for which a variable has at least one number."""
    values = ds[name]
    others = [other for other in values.dims if other != dimension]
    return [str(label) for label in values[dimension].values[values.notnull().any(others).values]]


def prefixes(rows: np.ndarray) -> str:
    """Write a range of numbers of prefixes: "812 to 1,240 prefixes"."""
    return counted(rows, "prefixes")


def counted(counts: np.ndarray, what: str) -> str:
    """Write a range of counts: "5 items" or "812 to 1,240 prefixes"; zeros are left out."""
    present = sorted(int(count) for count in np.ravel(counts) if count > 0)
    if not present:
        return f"no {what}"
    low, high = present[0], present[-1]
    return f"{low:,} {what}" if low == high else f"{low:,} to {high:,} {what}"
