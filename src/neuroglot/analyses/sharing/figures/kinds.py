"""Figures 2 to 6, 11 to 19 and 22: which neurons languages share, layer by layer."""

from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import BANDS, KINDS, by_kind, told
from neuroglot.figures import languages, lines, points, sheets, style
from neuroglot.figures.findings import extremes, span
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import MARKERS, Look, Series
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import tasks_of
from neuroglot.tables import valued

ACTIVE = "active"


@style.styled
def neuron_kinds(ds: Dataset) -> Figure:
    """Share of each kind (left) and of active neurons (right), one row per task.

    Args:
        ds: ``kind_share(task, layer, kind)`` with ``_low`` and ``_high``, which bound the mean over
            items; ``active_share(task, layer, language)``, drawn as mean and range of languages;
            ``items(task)``.
    """
    tasks = looks.task_rows(ds, "kind_share")
    if tasks is None:
        return style.empty("no shares of kinds of neurons")
    active = ds["active_share"]
    of_languages = {"": active.mean, "_low": active.min, "_high": active.max}
    active = Dataset({ACTIVE + end: mean("language") for end, mean in of_languages.items()})
    table = pd.concat(
        [
            valued(ds, "kind_share").assign(panel="kind"),
            valued(active, ACTIVE).assign(panel=ACTIVE, kind=ACTIVE),
        ],
        ignore_index=True,
    )
    mean = {ACTIVE: Look("active neurons (band: lowest to highest language)", "#000000")}
    drawn = Series("kind", KINDS.looks | mean)
    figure = lines.by_layer(
        table,
        LayerAxis.of(ds),
        drawn,
        "share of a layer's neurons",
        rows=tasks,
        columns=Facet("panel", {"kind": "neurons of each kind", ACTIVE: "active neurons"}),
        dashes=drawn,
        height=looks.height(tasks),
    )
    sheets.as_shares(figure.axes)
    sheets.legend(figure, sheets.line_handles(drawn))
    sheets.title(figure, ds, "kinds of neurons by layer", BANDS)
    return figure


@style.styled
def behaviour_repeating(ds: Dataset) -> Figure:
    """Share of neurons of a kind in an item, in every item, and in every one by chance.

    All are means over layers. By chance, items are independent draws, and the share is the kind's
    share to the power of the number of items.

    Args:
        ds: ``overlap(task, layer, kind)``, ``kind_share(task, layer, kind)``, ``items(task)``.
    """
    tasks = tasks_of(ds, "overlap")
    if tasks is None:
        return style.empty("no kinds of neurons in several items")
    of_chance = ds["kind_share"] ** ds["items"]
    shares = {"average": ds["kind_share"], "overlap": ds["overlap"], "chance": of_chance}
    table = pd.concat(
        [
            valued(share.mean("layer").to_dataset(name=name), name).assign(share=name)
            for name, share in shares.items()
        ],
        ignore_index=True,
    )
    drawn = Series(
        "share",
        {
            "average": Look("of the kind in an item", "#000000"),
            "overlap": Look("of it in every item", "#000000", filled=False),
            "chance": Look("of it in every item by chance", "#888888", marker="|"),
        },
    )
    label = "share of neurons, mean over layers"
    figure = points.by_level(table, KINDS, drawn, label, columns=tasks)
    sheets.as_shares(figure.axes, "x")
    sheets.legend(figure, sheets.point_handles(drawn))
    sheets.title(figure, ds, "neurons that repeat their behaviour")
    return figure


@style.styled
def dead(ds: Dataset) -> Figure:
    """Share of an item's non-activated neurons that are inactive at all its tokens, by language.

    Args:
        ds: ``dead(task, layer, language)`` with ``dead_low`` and ``dead_high``, ``items(task)``.
    """
    tasks = tasks_of(ds, "dead")
    if tasks is None:
        return style.empty("no non-activated neurons")
    figure = languages.by_layer(ds, "dead", "share of non-activated neurons", tasks, whole=True)
    sheets.title(figure, ds, "non-activated neurons that are inactive at every token", BANDS)
    return figure


@style.styled
def sweep(ds: Dataset, share: str, dimension: str, words: str, most: int) -> Figure:
    """Share of each kind (columns) in each task (rows), one line per step of a sweep.

    Args:
        ds: ``share(task, dimension, layer, kind)`` with ``share_low`` and ``share_high``,
            ``items(task)``.
        share: name of the variable.
        dimension: name of the sweep's dimension; its coordinate holds the steps' numbers.
        words: name of the numbers.
        most: number of tasks, from the first, that are drawn.
    """
    tasks = looks.task_rows(ds, share)
    if tasks is None:
        return style.empty(f"no shares of kinds by {words}")
    tasks = Facet("task", dict([*tasks.titles.items()][:most]))
    table = valued(ds, share)
    table = table[table["task"].isin(tasks.titles)]
    table[dimension] = table[dimension].map("{:g}".format)
    drawn = steps(dimension, ds[dimension].values, words)
    figure = lines.by_layer(
        table,
        LayerAxis.of(ds),
        drawn,
        "share of a layer's neurons",
        rows=tasks,
        columns=Facet.of(KINDS),
        share_y="col",
        height=looks.height(tasks),
    )
    sheets.as_shares(figure.axes, whole=False)
    for ax in figure.axes:
        ax.set_ylim(bottom=0)
    sheets.legend(figure, sheets.line_handles(drawn))
    sheets.title(figure, ds, f"kinds of neurons by {words}", f"{BANDS}; columns differ in scale")
    return figure


def steps(column: str, values: np.ndarray, words: str) -> Series:
    """Looks of a sweep's steps, from dark to light."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(values)))
    named = [f"{value:g}" for value in values]
    return Series(
        column,
        {
            name: Look(f"{words} {name}", to_hex(shade), marker=marker)
            for name, shade, marker in zip(named, shades, MARKERS, strict=False)
        },
    )


def kinds_finding(ds: Dataset) -> str:
    """Say how frequent the kinds are."""
    sentence = "Mean share over layers, by task: {}.".format
    return told(ds, "kind_share", lambda ds: sentence(by_kind(ds["kind_share"])))


def repeating_finding(ds: Dataset) -> str:
    """Say how frequent kinds are that a neuron has in every item."""
    sentence = "Of the same kind in every item, mean over layers, by task: {}.".format
    return told(ds, "overlap", lambda ds: sentence(by_kind(ds["overlap"])))


def dead_finding(ds: Dataset) -> str:
    """Say where the share of silent neurons is lowest and highest."""
    quantity = "The share of non-activated neurons that no token activates"
    return told(ds, "dead", lambda ds: extremes(ds["dead"], quantity, "", ".1%"))


def sweep_finding(ds: Dataset, share: str, dimension: str, words: str, most: int) -> str:
    """Say how frequent all-shared neurons are at the ends of a sweep."""

    def sentence(ds: Dataset) -> str:
        means = ds[share].isel(task=slice(most)).sel(kind="all_shared").mean("layer")
        ends = [
            f"{span(means.isel({dimension: end}), '.1%')} of neurons with {words} "
            f"{float(means[dimension][end]):g}"
            for end in (0, -1)
        ]
        return f"All-shared are, mean over layers, {ends[0]}, and {ends[1]}."

    return told(ds, share, sentence)


SWEEPS: dict[str, dict[str, Any]] = {
    "figure_19_language_count": {
        "share": "language_count_share",
        "dimension": "languages",
        "words": "number of languages",
        "most": 2,
    },
    "figure_22_threshold": {
        "share": "threshold_share",
        "dimension": "threshold",
        "words": "threshold",
        "most": 5,
    },
}
FIGURES: dict[str, style.Drawing] = {
    "figures_02_04_11_18_kinds": style.Drawing(neuron_kinds, kinds_finding),
    "figure_05_behaviour_repeating": style.Drawing(behaviour_repeating, repeating_finding),
    "figure_06_dead": style.Drawing(dead, dead_finding),
} | {
    stem: style.Drawing(partial(sweep, **told), partial(sweep_finding, **told))
    for stem, told in SWEEPS.items()
}
