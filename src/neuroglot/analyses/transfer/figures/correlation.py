"""Share of the transfer neurons' variance that a language, or its family, explains."""

import json

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.series import Series
from neuroglot.figures.style import Drawing, require
from neuroglot.tables import valued


def excess(ds: Dataset, chosen: str, control: str) -> Dataset:
    """``value(type, language, top)``: correlation ratio less that of a control, with ends.

    Below the languages are the families of several languages, each with the mean over its
    languages' lists.

    Args:
        ds: ``mean_ratio(type, grouping, language, top)``, with ``mean_ratio_control_low`` and
            ``…_high`` of drawn controls; ``attrs["language_families"]``, JSON.
        chosen: what the names of the chosen neurons begin with, before the type.
        control: the same of the control's.
    """

    def of(begin: str, name: str) -> DataArray:
        kinds = [f"{begin}{neuron_type}" for neuron_type in looks.TYPES]
        return ds[name].sel(type=kinds).assign_coords(type=[*looks.TYPES])

    of_types = of(chosen, "mean_ratio")
    subtracted = ("mean_ratio", "mean_ratio_control_high", "mean_ratio_control_low")
    ends = zip(looks.ENDS, subtracted, strict=True)
    values = Dataset({f"value{end}": of_types - of(control, name) for end, name in ends})
    family = json.loads(ds.attrs["language_families"])
    members = [*family.values()]
    related = [i for i in ds["language"].values.tolist() if members.count(family[i]) > 1]
    names = [f"{family[language]} ({members.count(family[language])})" for language in related]
    of_families = values.sel(grouping="family", drop=True).sel(language=related)
    of_families = of_families.assign_coords(language=names)
    parts = [of_families.groupby("language").mean()] if related else []
    joined = xr.concat([values.sel(grouping="language", drop=True), *parts], "language")
    return joined.assign_attrs(ds.attrs)


def over_active(ds: Dataset) -> Dataset:
    """``excess`` of the lists over others that fire as often."""
    values = excess(ds, "", "active_")
    require(values["value"], "no correlation ratios")
    return values


def correlation_ratio(ds: Dataset) -> Figure:
    """Excess of η² by language and family, one panel per length of list.

    Filled: over neurons that fire as often. Hollow: of the neurons with partners, over partners.
    """
    filled, hollow = over_active(ds), excess(ds, "matched_", "partner_")
    tops = looks.numbers(filled, "top", "up to {:,} of each list")
    tables = [valued(filled, "value").assign(hollow=False)]
    tables.append(valued(hollow, "value").assign(hollow=True).reindex(columns=tables[0].columns))
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)
    languages = series.languages(filled).only(table["language"])
    marks = dict(looks.TYPES.looks)
    if table["hollow"].any():
        marks["hollow"] = looks.PARTNERS
    figure = points.by_level(
        table,
        languages,
        looks.TYPES,
        "η², list minus others as active",
        columns=tops,
        hollow="hollow",
        legend=Series("type", marks),
    )
    sheets.guide(figure.axes, 0, "x")
    note = "whiskers: range over draws; families with their numbers of languages"
    subject = "variance of transfer neurons that languages explain"
    return sheets.title(figure, ds, subject, note)


def finding(ds: Dataset) -> str:
    """Say how much more a language explains of the longest lists than of neurons as active."""
    values = over_active(ds)["value"].sel(language=ds["language"])
    longest = values.dropna("top", how="all").isel(top=-1)
    parts = [f"{looks.TYPES.label(name)} {span(longest.sel(type=name))}" for name in looks.TYPES]
    return (
        f"η² of the first {int(longest['top']):,} neurons on held-out segments, minus that of "
        f"others as active, by language: {', '.join(parts)}."
    )


FIGURES = {
    "correlation_ratio": Drawing(correlation_ratio, finding),
}
