"""Means over a task's items, with their bounds."""

import xarray as xr

from neuroglot.measures.bootstrap import interval, named_bounds

BY_ITEM = "_by_item"
"""Suffix of a variable's values by item; the variable itself is their mean."""

OF_LANGUAGES = "_of_languages"
"""Suffix of a mean over languages."""


def means_bounded(data: xr.Dataset, replicates: int) -> xr.Dataset:
    """Replace every ``x_by_item`` by ``x_low`` and ``x_high``, the bounds of its mean.

    All variables use the same draws of items, because every language has the same items.

    Args:
        data: variables of one task; variables named ``…_by_item`` have a dimension ``item``.
        replicates: bootstrap samples of items.
    """
    names = [str(name).removesuffix(BY_ITEM) for name in data if str(name).endswith(BY_ITEM)]
    means = data.drop_vars([name + BY_ITEM for name in names])
    for name in names:
        means = means.assign(named_bounds(name, interval(data[name + BY_ITEM], replicates)))
    return means
