"""What is compared between every two languages of a text."""

from xarray import Dataset

from neuroglot.figures.texts import held

PAIR = ["language_a", "language_b"]
HUES = ("#4477AA", "#EE6677", "#228833", "#AA3377")
"""Colours of what two languages are compared on; languages have others."""


def compared(ds: Dataset, name: str, site: str | list[str], *more: str) -> Dataset:
    """Select a variable and its interval's ends, without languages compared with themselves.

    Args:
        ds: ``name(site, corpus, language_a, language_b, layer)`` with ``_low`` and ``_high``.
        name: name of the variable.
        site: one site, or several.
        more: further variables by pair of languages.

    Returns:
        The variables, for those texts that have any number.
    """
    values = ds[[name, f"{name}_low", f"{name}_high", *more]].sel(site=site)
    values = values.where(ds["language_a"] != ds["language_b"])
    return values.sel(corpus=held(values, name, "corpus")).assign_attrs(ds.attrs)
