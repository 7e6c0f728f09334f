"""Figures 2 to 6, 11 to 19 and 22: which neurons languages share, layer by layer."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import KINDS, told
from neuroglot.figures import languages, points, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import Look, Series
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import panels_of
from neuroglot.tables import valued

ACTIVE = {"active": Look("active neurons (band: lowest to highest language)", "#000000")}
REPEATED = Series(
    "share",
    {
        "kind_share": Look("of the kind in an item", "#000000"),
        "overlap": Look("of it in every item", "#000000", filled=False),
        "chance": Look("of it in every item by chance", "#888888", marker="|"),
    },
)


def neuron_kinds(ds: Dataset) -> Figure:
    """Share of each kind (left) and of active neurons (right), one row per task.

    Args:
        ds: ``kind_share(task, layer, kind)`` with ``_low`` and ``_high``, which bound the mean over
            items; ``active_share(task, layer, language)``, drawn as mean and range of languages;
            ``items(task)``.
    """
    ds, active = looks.trusted(ds), ds["active_share"]
    ends = {"": active.mean, "_low": active.min, "_high": active.max}
    ds = ds.assign({f"active{end}": of("language") for end, of in ends.items()})
    columns = {"kind_share": "neurons of each kind", "active": "active neurons"}
    return looks.kinds(ds, columns, "kinds of neurons", Series("kind", {**KINDS.looks, **ACTIVE}))


def repeating(ds: Dataset) -> Figure:
    """Share of neurons of a kind in an item, in every item, and in every one by chance.

    All are means over layers. By chance, items are independent draws, and the share is the kind's
    share to the power of the number of items.

    Args:
        ds: ``overlap(task, layer, kind)``, ``kind_share(task, layer, kind)``, ``items(task)``.
    """
    tasks = panels_of(ds, "overlap", "task", "no kinds of neurons in several items")
    ds = ds.assign(chance=ds["kind_share"] ** ds["items"])
    parts = [valued(ds[[name]].mean("layer"), name).assign(share=name) for name in REPEATED]
    table = pd.concat(parts, ignore_index=True)
    figure = points.by_level(table, KINDS, REPEATED, "share of neurons", columns=tasks)
    sheets.as_shares(figure.axes, "x")
    subject = "neurons that repeat their behaviour, mean over layers"
    return sheets.title(figure, ds, subject)


def dead(ds: Dataset) -> Figure:
    """Share of an item's non-activated neurons that are inactive at all its tokens, by language.

    Args:
        ds: ``dead(task, layer, language)`` with ``dead_low`` and ``dead_high``, ``items(task)``.
    """
    tasks = panels_of(ds, "dead", "task", "no non-activated neurons")
    unit, ds = "share of non-activated neurons", looks.trusted(ds)
    figure = languages.by_layer(ds, "dead", unit, tasks, whole=True)
    note = looks.BANDS if figure.legends else ""
    return sheets.title(figure, ds, "non-activated neurons that no token activates", note)


def sweep(ds: Dataset, share: str, dimension: str, words: str, most: int | None) -> Figure:
    """Share of each kind (columns) in each task (rows), one line per step of a sweep.

    Args:
        ds: ``share(task, dimension, layer, kind)`` with ``share_low`` and ``share_high``,
            ``items(task)``.
        share: name of the variable.
        dimension: name of the sweep's dimension; its coordinate holds the steps' numbers.
        words: name of the numbers.
        most: number of tasks, from the first, that are drawn; None: all.
    """
    ds = looks.trusted(ds).isel(task=slice(most))
    tasks = panels_of(ds, share, "task", f"no shares of kinds by {words}")
    ds = ds.assign_coords({dimension: [f"{step:g}" for step in ds[dimension].values]})
    steps = looks.steps(dimension, ds[dimension].values.tolist(), words)
    table, axis = valued(ds, share), LayerAxis.of(ds)
    figure = looks.grid(table, axis, steps, tasks, KINDS, share_y="col")
    sheets.as_shares(figure.axes, whole=False)
    for ax in figure.axes:
        ax.set_ylim(bottom=0)
    note = f"{looks.BANDS}; columns differ in scale"
    return sheets.title(figure, ds, f"kinds by {words}", note)


def swept(share: str, dimension: str, words: str, most: int | None = None) -> Drawing:
    """The drawing of a sweep, and its finding."""
    draw = partial(sweep, share=share, dimension=dimension, words=words)
    begin = f"Change of shares with the {words}"
    return Drawing(draw, partial(told, name=share, words=begin, along=dimension), most=most)


FIGURES = {
    "figures_02_04_11_18_kinds": Drawing(
        neuron_kinds, partial(told, name="kind_share", words="Shares of neurons")
    ),
    "figure_05_behaviour_repeating": Drawing(
        repeating, partial(told, name="overlap", words="Of one kind in every item")
    ),
    "figure_06_dead": Drawing(
        dead, partial(told, name="dead", words="Share of the non-activated that no token activates")
    ),
    "figure_19_language_count": swept(
        "language_count_share", "languages", "number of languages", most=2
    ),
    "figure_22_threshold": swept("threshold_share", "threshold", "threshold"),
}
