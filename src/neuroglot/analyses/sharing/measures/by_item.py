"""Means over a task's items of what is known by item, and what bounds them."""

import xarray as xr

from neuroglot.measures.bootstrap import interval, named_bounds

BY_ITEM = "_by_item"
"""What the name of a variable has behind it that a mean is taken of."""

OF_LANGUAGES = "_of_languages"
"""What the name of a mean over languages has behind it."""


def means_bounded(data: xr.Dataset, replicates: int) -> xr.Dataset:
    """Put ``x_low`` and ``x_high`` in the place of every ``x_by_item``, the bounds of its mean.

    Items are drawn alike for all variables: they are those of one task, in every language.

    Args:
        data: of one task; what ends in ``_by_item`` has a dimension ``item``.
        replicates: bootstrap samples of items.
    """
    names = [str(name).removesuffix(BY_ITEM) for name in data if str(name).endswith(BY_ITEM)]
    means = data.drop_vars([name + BY_ITEM for name in names])
    for name in names:
        means = means.assign(named_bounds(name, interval(data[name + BY_ITEM], replicates)))
    return means
