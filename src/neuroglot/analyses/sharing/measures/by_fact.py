"""Means over a task's facts, with their bounds.

A fact is one unit, however many items ask for it in different words: it counts with their mean.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neuroglot.measures.bootstrap import bounded, interval

OF_LANGUAGES = "_of_languages"
"""Suffix of a mean over languages."""


def fact_numbers(facts: Sequence[str]) -> NDArray[np.intp]:
    """Number the facts in the order of their first items, [item]."""
    numbers = {fact: number for number, fact in enumerate(dict.fromkeys(facts))}
    return np.array([numbers[fact] for fact in facts], np.intp)


def by_fact(by_item: xr.DataArray, facts: Sequence[str]) -> xr.DataArray:
    """Average the items of each fact.

    Args:
        by_item: values [..., item]; NaN where an item has none.
        facts: the fact that each item asks for, see ``tasks.base.facts_of``.

    Returns:
        float64 [..., item], with one place per fact; NaN where no item of the fact has a value.
    """
    numbers = fact_numbers(facts)
    asks = np.arange(numbers.max() + 1)[:, None] == numbers
    of_fact = xr.DataArray(asks.astype(np.float64), dims=("fact", "item"))
    known = xr.dot(by_item.notnull().astype(np.float64), of_fact, dim="item")
    total = xr.dot(by_item.fillna(0).astype(np.float64), of_fact, dim="item")
    mean: xr.DataArray = total / known.where(known > 0)
    return mean.rename(fact="item").assign_attrs(by_item.attrs)


def means_bounded(by_item: xr.Dataset, facts: Sequence[str], replicates: int) -> xr.Dataset:
    """Average variables over facts, and bound the means.

    All variables use the same draws of facts, because every language has the same items.

    Args:
        by_item: variables of one task; those without a dimension ``item`` are kept as they are.
        facts: see ``by_fact``.
        replicates: bootstrap samples of facts.

    Returns:
        Each variable ``x``, its mean over facts, with ``x_low`` and ``x_high``.
    """
    means: dict[str, xr.DataArray] = {}
    for name, values in by_item.items():
        if "item" in values.dims:
            of_facts = by_fact(values, facts)
            mean = of_facts.mean("item", keep_attrs=True)
            means |= bounded(str(name), mean, interval(of_facts, replicates))
        else:
            means[str(name)] = values
    return xr.Dataset(means)
