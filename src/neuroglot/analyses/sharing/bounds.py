"""States how far means over items could be off: intervals by bootstrap over a task's items."""

from collections.abc import Mapping
from typing import TypeAlias

import xarray as xr

from neuroglot.measures.bootstrap import interval

BY_ITEM = "_by_item"
ENDS = ("_low", "_high")
OF_LANGUAGES = "_of_languages"  # the mean over languages
Ends: TypeAlias = tuple[xr.DataArray, xr.DataArray]


def bounded(data: xr.Dataset, replicates: int) -> xr.Dataset:
    """Put ``x_low`` and ``x_high`` in the place of every ``x_by_item``, the bounds of its mean.

    Items are drawn alike for all variables: they are those of one task, in every language.

    Args:
        data: of one task; what ends in ``_by_item`` has a dimension ``item``.
        replicates: bootstrap samples of items.
    """
    names = [str(name).removesuffix(BY_ITEM) for name in data if str(name).endswith(BY_ITEM)]
    bounds = {name: interval(data[name + BY_ITEM], replicates) for name in names}
    return data.drop_vars([name + BY_ITEM for name in names]).assign(named_ends(bounds))


def named_ends(bounds: Mapping[str, Ends]) -> dict[str, xr.DataArray]:
    """Name the lower and the upper bound of every variable."""
    return {
        name + end: found
        for name, both in bounds.items()
        for end, found in zip(ENDS, both, strict=True)
    }


def with_bounds(*names: str) -> list[str]:
    """The names of variables and of their bounds, as a table has them beside each other."""
    return [name + end for name in names for end in ("", *ENDS)]
