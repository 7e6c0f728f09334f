"""How close a language is to the pivot without its Type 1 neurons, and without controls."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.transfer.figures import looks
from neuroglot.figures import points, series, sheets
from neuroglot.figures.findings import span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing, NothingToDraw
from neuroglot.figures.texts import held
from neuroglot.measures.matching import LEAST_MATCHED
from neuroglot.tables import valued

PURPLE = "#AA3377"
CHANGES = Series(
    "change",
    {
        "without_type1": Look("without Type 1", looks.TYPES.looks["type1"].color),
        "active_type1": Look("without others as active", "#777777"),
        "random_type1": Look("without random ones", "#BBBBBB", filled=False),
        "activity": Look("Type 1 minus others as active", PURPLE, marker="D"),
        "contribution": Look("with partners, minus partners", PURPLE, marker="D", filled=False),
    },
)
PAIRS = Series.of("pair", {"parallel": "parallel segments", "non_parallel": "other segments"})


def excess(ds: Dataset) -> tuple[Dataset, Series]:
    """Cosines with the pivot without Type 1 neurons, less those without a control.

    Args:
        ds: ``similarity_excess(control, variant, pair, state, language)``, ``_low``, ``_high``.
    """
    return compared(ds, "similarity_excess", PAIRS.only(held(ds, "similarity_excess", "pair")))


def neighbours(ds: Dataset) -> tuple[Dataset, Series]:
    """Neighbours in common with the pivot without Type 1 neurons, less those without a control.

    Args:
        ds: ``mutual_knn_excess(control, variant, k, state, language)``, ``_low``, ``_high``.
    """
    return compared(ds, "mutual_knn_excess", looks.numbers(ds, "k", "k = {:,}", "mutual_knn"))


def compared(ds: Dataset, name: str, levels: Series) -> tuple[Dataset, Series]:
    """One panel for each level and control that has any value: ``value(panel, …)``."""
    of_type1 = looks.bounded_value(ds, name).sel(variant="without_type1", drop=True)
    panels = {
        f"{levels.label(level)}\n{looks.CONTROLS.label(control)}": of_type1.sel(
            {levels.column: level, "control": control}, drop=True
        )
        for control in looks.CONTROLS
        for level in levels
    }
    drawn = {title: values for title, values in panels.items() if values["value"].notnull().any()}
    if not drawn:
        return of_type1, Series.of("panel", [])
    values = [panel.expand_dims(panel=[title]) for title, panel in drawn.items()]
    return xr.concat(values, "panel"), Series.of("panel", [*drawn])


def closest_state(ds: Dataset) -> int:
    """Find the state, after a layer, in which parallel segments are closest.

    They are closest where their cosine exceeds other segments' most, mean over languages, in the
    model as it is.

    Args:
        ds: ``similarity(variant, pair, state, language)``.
    """
    cosine = ds["similarity"].sel(variant="baseline").mean("language")
    gap = cosine.sel(pair="parallel") - cosine.sel(pair="non_parallel")
    return int(gap.where(ds["stack_state"] > 0, -np.inf).fillna(-np.inf).argmax("state"))


def in_one_state(ds: Dataset) -> tuple[Dataset, Series]:
    """Select from ``excess`` the state of ``closest_state``."""
    values, panels = excess(ds)
    return values.isel(state=[closest_state(ds)]), panels


def effect(ds: Dataset) -> Figure:
    """Changes of cosines in one state: without Type 1 and controls, and the differences.

    Args:
        ds: see ``closest_state``; ``similarity_effect(variant, pair, state, language)`` and
            ``similarity_excess(control, …)``, with ``_low`` and ``_high``.
    """
    state = LayerAxis.of(ds, "state").name(closest_state(ds))
    ds = ds.isel(state=[closest_state(ds)])
    pairs = PAIRS.only(held(ds, "similarity_excess", "pair"))
    if not pairs:
        raise NothingToDraw("no effect of Type 1 neurons")
    changes = looks.bounded_value(ds, "similarity_effect")
    changes = changes.sel(variant=[*CHANGES.only(ds["variant"].values)])
    differences = looks.bounded_value(ds, "similarity_excess").sel(
        variant="without_type1", drop=True
    )
    both = [
        changes.rename(variant="change"),
        differences.sel(control=[*looks.CONTROLS]).rename(control="change"),
    ]
    table = valued(xr.concat(both, "change"), "value")
    languages = series.languages(ds).only(table["language"])
    label = "change of the mean cosine with the pivot"
    shown = CHANGES.only(table["change"])
    figure = points.by_level(table, languages, shown, label, columns=pairs, mean=True)
    sheets.guide(figure.axes, 0, "x")
    note = looks.note(ds, "whiskers: 95 % intervals")
    return sheets.title(figure, ds, f"what Type 1 neurons change in {state}", note)


def effect_finding(ds: Dataset) -> str:
    """Tell the effect in one state, and how many languages have neurons like the chosen ones."""
    return " ".join(filter(None, [looks.finding(ds, in_one_state), like_neurons(ds)]))


def like_neurons(ds: Dataset) -> str:
    """Say in how many languages enough Type 1 neurons have partners of like contribution.

    Args:
        ds: ``matched_share(variant, language)`` and ``matched_contribution``.
    """
    shares = ds[["matched_share", "matched_contribution"]].sel(variant="without_type1", drop=True)
    least = shares.to_array().min("variable").dropna("language")
    if not least.size:
        return ""
    enough, languages = int((least >= LEAST_MATCHED).sum()), least.size
    contribution = span(shares["matched_contribution"], ".0%")
    return (
        f"Neurons of like contribution exist in {enough} of {languages} languages: those Type 1 "
        f"neurons that have partners make up {contribution} of the list's contribution."
    )


FIGURES = {
    "similarity_without_type1": looks.by_state(
        excess,
        "cosine with the pivot's segments, without Type 1 neurons",
        "Type 1 minus control",
        "bands: 95 % intervals",
    ),
    "mutual_knn_without_type1": looks.by_state(
        neighbours,
        "neighbours shared with the pivot, without Type 1 neurons",
        "Type 1 minus control",
        "bands: 95 % intervals",
    ),
    "effect_of_type1": Drawing(effect, effect_finding),
}
