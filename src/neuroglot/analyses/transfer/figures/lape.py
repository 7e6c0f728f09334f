"""Whether LAPE's neurons are transfer neurons, and what falls without each set of neurons."""

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import lines, points, series, sheets
from neuroglot.figures.findings import FEWEST, number, span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw
from neuroglot.tables import valued

SETS = Series.of(
    "variant",
    {f"without_{name}": look.label for name, look in looks.TYPES.looks.items()}
    | {"without_lape": "LAPE"},
)
AGAINST = Series(
    "control",
    {
        "activity": Look(looks.CONTROLS.label("activity"), "#009988"),
        "contribution": Look(looks.CONTROLS.label("contribution"), "#AA3377", (0, (5, 1.5))),
    },
)
COSINE, NEIGHBOURS = "similarity", "mutual_knn"


def measures(ds: Dataset) -> Series:
    """The two measures of closeness, each a row of panels."""
    nearest = f"{int(ds['k'][0])} nearest"
    return Series.of("measure", {COSINE: "cosine of\npairs", NEIGHBOURS: f"share of\n{nearest}"})


def of_sets(ds: Dataset) -> Dataset:
    """``value(measure, control, variant, state)``: what falls without each set.

    Args:
        ds: ``similarity_excess_all(control, variant, pair, state)`` and
            ``mutual_knn_excess_all(control, variant, k, state)``, means over languages, with
            ``_low`` and ``_high``.
    """
    of_pairs = looks.bounded_value(ds, f"{COSINE}_excess_all").sel(pair="parallel", drop=True)
    of_nearest = looks.bounded_value(ds, f"{NEIGHBOURS}_excess_all").isel(k=0, drop=True)
    both = xr.concat([of_pairs, of_nearest], xr.Variable("measure", [COSINE, NEIGHBOURS]))
    return both.sel(control=[*AGAINST], variant=[*SETS.only(ds["variant"].values)])


def without_each_set(ds: Dataset) -> Figure:
    """Lines of ``of_sets`` by state: a panel for each measure and set, a line for each control."""
    values = of_sets(ds)
    if not values["value"].notnull().any():
        raise NothingToDraw("no effect of any set of neurons")
    table, axis = valued(values, "value"), LayerAxis.of(ds, "state")
    figure = lines.by_layer(
        table,
        axis,
        AGAINST.only(table["control"]),
        "set minus control",
        rows=measures(ds).only(table["measure"]),
        columns=SETS.only(table["variant"]),
        share_y=False,
    )
    sheets.guide(figure.axes, 0)
    note = looks.note(ds, "means of languages, bands: 95 % intervals; an axis for each panel")
    return sheets.title(figure, ds, "what falls without each set of neurons", note)


def sets_finding(ds: Dataset) -> str:
    """Tell each set's largest mean effect, against neurons that are as active."""
    values = of_sets(ds).sel(control="activity")
    if looks.segments(ds) < FEWEST:
        return f"Cannot be told at this size, of {looks.segments(ds):,} segments."
    axis, titles, parts = LayerAxis.of(ds, "state"), measures(ds), []
    for measure in titles:
        for name in values["variant"].values:
            line = values.sel(measure=measure, variant=name).dropna("state", subset=["value"])
            if not line.sizes["state"]:
                continue
            peak = line.isel(state=int(abs(line["value"]).argmax("state")))
            ends = [number(peak[f"value{end}"]) for end in ("_low", "_high")]
            parts.append(
                f"{SETS.label(name)} {number(peak['value'])} ({' to '.join(ends)}) in "
                f"{axis.name(int(peak['state']))} ({titles.label(measure).replace(chr(10), ' ')})"
            )
    return f"Largest difference from others as active: {'; '.join(parts)}." if parts else ""


LISTED, RATIO = "share in the list", "η²"
SCORES = {name: f"score, layers of {looks.TYPES.label(name)}" for name in looks.TYPES}
PANELS = {
    LISTED: "minus chance",
    **dict.fromkeys(SCORES.values(), "minus others as active"),
    RATIO: "minus others as active",
}
"""The panels of ``lape_neurons``, and what is subtracted. Each type has an axis for its scores."""


def of_lape(ds: Dataset) -> DataFrame:
    """LAPE's neurons against chance and controls: ``value`` by panel, type and language, hollow.

    Args:
        ds: ``lape_listed(type, language)`` and its ``…_chance``; ``lape_score(set, …)`` and
            ``lape_ratio(set, …)``, with ``…_control_low`` and ``…_control_high``.
    """
    listed = Dataset({"value": ds["lape_listed"] - ds["lape_listed_chance"]})
    tables = [valued(listed, "value").assign(panel=LISTED, hollow=False)]
    for hollow in (False, True):
        score = valued(over_control(ds, "lape_score", hollow), "value")
        tables.append(score.assign(panel=score["type"].map(SCORES), hollow=hollow))
        ratio = valued(over_control(ds, "lape_ratio", hollow), "value")
        tables.append(ratio.assign(panel=RATIO, hollow=hollow))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)


def over_control(ds: Dataset, name: str, partners: bool) -> Dataset:
    """``value(type, language)`` of LAPE's neurons less that of a control, over draws with ends.

    Args:
        ds: see ``of_lape``.
        name: a variable with the dimension ``set``.
        partners: take those of LAPE's neurons that have partners, less the partners; without,
            LAPE's neurons less others as active.
    """
    chosen, control = ("matched", "partner") if partners else ("lape", "active")
    ends = {"value": name, "value_low": f"{name}_control_high", "value_high": f"{name}_control_low"}
    of_set = ds[name].sel(set=chosen, drop=True)
    return Dataset({end: of_set - ds[of].sel(set=control, drop=True) for end, of in ends.items()})


def lape_neurons(ds: Dataset) -> Figure:
    """Draw ``of_lape``: how many of LAPE's neurons are listed, their scores, and their η²."""
    table = of_lape(ds)
    if table.empty:
        raise NothingToDraw("no neurons of LAPE to compare with")
    panels = Series.of("panel", PANELS.keys()).only(table["panel"])
    marks = dict(looks.TYPES.looks)
    if table["hollow"].any():
        marks["hollow"] = looks.PARTNERS
    figure = points.by_level(
        table,
        series.languages(ds).only(table["language"]),
        looks.TYPES,
        "",
        columns=panels,
        mean=True,
        share_x=False,
        hollow="hollow",
        legend=Series("type", marks),
    )
    cut = False
    for ax, panel in zip(figure.axes, panels, strict=True):
        ax.set_xlabel(PANELS[panel])
        ax.xaxis.label.set_visible(True)
        cut |= fitted(ax, table[table["panel"] == panel])
        ax.locator_params(axis="x", nbins=4)
        ax.xaxis.set_major_formatter("{x:g}")  # a common power of ten would cover the label
    sheets.guide(figure.axes, 0, "x")
    note = "whiskers: range over draws" + (", cut at the edge of a panel" if cut else "")
    return sheets.title(figure, ds, "whether LAPE's neurons are transfer neurons", note)


def fitted(ax: Axes, table: DataFrame) -> bool:
    """Let the points of a panel set its x axis, and not a long whisker; say whether one is cut.

    The axis may reach beyond zero and all points by half of their range.
    """
    least, most = min(0.0, table["value"].min()), max(0.0, table["value"].max())
    low, high = least - (most - least) / 2, most + (most - least) / 2
    whiskers = table.reindex(columns=["low", "high"])
    short, long = bool(whiskers["low"].min() < low), bool(whiskers["high"].max() > high)
    if most > least:
        ax.set_xlim(low if short else None, high if long else None)
    return short or long


def lape_finding(ds: Dataset) -> str:
    """Tell how many of LAPE's neurons are listed, beside chance."""
    parts = []
    for name in looks.TYPES:
        of_type = ds.sel(type=name)
        if of_type["lape_listed"].notnull().any():
            parts.append(
                f"{span(of_type['lape_listed'], '.0%')} of LAPE's neurons in the layers of "
                f"{looks.TYPES.label(name)} are in its list (by chance "
                f"{span(of_type['lape_listed_chance'], '.1%')}), and LAPE has "
                f"{span(of_type['listed_lape'], '.0%')} of the list"
            )
    return f"By language, {'; '.join(parts)}." if parts else ""


FIGURES = {
    "without_each_set": Drawing(without_each_set, sets_finding),
    "lape_neurons": Drawing(lape_neurons, lape_finding),
}
