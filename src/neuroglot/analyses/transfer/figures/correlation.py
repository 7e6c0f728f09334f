"""Share of the transfer neurons' variance that a language, or its family, explains."""

import json

import xarray as xr
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.style import Drawing, require
from neuroglot.tables import valued


def beyond_random(ds: Dataset) -> Dataset:
    """``value(type, language, top)``: correlation ratio less that of random neurons, with ends.

    Below the languages are the families of several languages, each with the mean over its
    languages' lists.

    Args:
        ds: ``mean_ratio(type, grouping, language, top)`` for the types and their controls
            ``random_…``, with the controls' ``mean_ratio_control_low`` and ``…_high``;
            ``attrs["language_families"]``, JSON.
    """
    of_types = ds["mean_ratio"].sel(type=[*looks.TYPES])
    random = ds.sel(type=[f"random_{name}" for name in looks.TYPES])
    random = random.assign_coords(type=[*looks.TYPES])
    subtracted = ("mean_ratio", "mean_ratio_control_high", "mean_ratio_control_low")
    ends = zip(looks.ENDS, subtracted, strict=True)
    values = Dataset({f"value{end}": of_types - random[name] for end, name in ends})
    require(values["value"], "no correlation ratios")
    family = json.loads(ds.attrs["language_families"])
    members = [*family.values()]
    related = [i for i in ds["language"].values.tolist() if members.count(family[i]) > 1]
    names = [f"{family[language]} ({members.count(family[language])})" for language in related]
    of_families = values.sel(grouping="family", drop=True).sel(language=related)
    of_families = of_families.assign_coords(language=names)
    parts = [of_families.groupby("language").mean()] if related else []
    joined = xr.concat([values.sel(grouping="language", drop=True), *parts], "language")
    return joined.assign_attrs(ds.attrs)


def correlation_ratio(ds: Dataset) -> Figure:
    """Values of ``beyond_random`` by language and family, one panel per length of list."""
    values = beyond_random(ds)
    tops = looks.numbers(values, "top", "top {:,} of each list")
    table = valued(values, "value")
    languages = series.languages(values).only(table["language"])
    figure = points.by_level(table, languages, looks.TYPES, "η², list minus random", columns=tops)
    sheets.guide(figure.axes, 0, "x")
    note = "whiskers: range over random draws; families with their numbers of languages"
    subject = "variance of transfer neurons that languages explain"
    return sheets.title(figure, ds, subject, note)


def finding(ds: Dataset) -> str:
    """Say how much more a language explains of the longest lists than of random neurons."""
    values = beyond_random(ds)["value"].sel(language=ds["language"]).dropna("top", how="all")
    longest = values.isel(top=-1)
    parts = [f"{looks.TYPES.label(name)} {span(longest.sel(type=name))}" for name in looks.TYPES]
    return (
        f"η² of the first {int(longest['top']):,} neurons, minus that of as many random ones, "
        f"by language: {', '.join(parts)}."
    )


FIGURES = {"correlation_ratio": Drawing(correlation_ratio, finding)}
