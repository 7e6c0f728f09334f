"""The texts and tasks of a figure, as panels with their numbers of prefixes or items."""

from typing import Literal

import numpy as np
from xarray import Dataset

from neuroglot.figures.series import Series
from neuroglot.figures.style import NothingToDraw

SIZES = {"corpus": ("rows", "prefixes"), "task": ("items", "items")}
"""The variable that holds sizes, and what it counts."""


def panels_of(ds: Dataset, name: str, source: Literal["corpus", "task"], lacking: str) -> Series:
    """Make one panel for each corpus or task that has any value of a variable.

    Args:
        ds: ``name`` along ``source`` and, if known, sizes: ``rows(corpus, language)``, the numbers
            of prefixes, or ``items(task)`` or ``items(task, language)``.
        name: name of the variable.
        source: the dimension.
        lacking: what is lacking if there is none, for ``NothingToDraw``.
    """
    sources, (sizes, unit) = held(ds, name, source), SIZES[source]
    if not sources:
        raise NothingToDraw(lacking)
    titles = {corpus: corpus for corpus in sources}
    if sizes in ds:
        of_source = {corpus: ds[sizes].sel({source: corpus}).values for corpus in sources}
        titles = {corpus: f"{corpus}\n{counted(n, unit)}" for corpus, n in of_source.items()}
    return Series.of(source, titles)


def held(ds: Dataset, name: str, dimension: str) -> list[str]:
    """Labels along a dimension for which a variable has at least one number."""
    known = ds[name].notnull().any([other for other in ds[name].dims if other != dimension])
    return [str(label) for label in known[dimension].values[known.values]]


def counted(counts: np.ndarray, what: str) -> str:
    """Write a range of counts: "5 items" or "812 to 1,240 prefixes"; zeros are left out."""
    present = sorted(int(count) for count in np.ravel(counts) if count > 0)
    if not present:
        return f"no {what}"
    low, high = present[0], present[-1]
    return f"{low:,} {what}" if low == high else f"{low:,} to {high:,} {what}"
