"""Figures 2 to 6, 11 to 19 and 22: which neurons languages share, layer by layer."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import KINDS, told
from neuroglot.figures import languages, lines, points, sheets, style
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import DASHES, Look, Series
from neuroglot.figures.sheets import Facet
from neuroglot.figures.texts import held, tasks_of
from neuroglot.tables import valued

DRAWN_TASKS = 2
"""Tasks in the figure of language numbers, whose lines are many."""
RANDOM = "random_languages_share"
ACTIVE = {"active": Look("active neurons (band: lowest to highest language)", "#000000")}
REPEATED = Series(
    "share",
    {
        "kind_share": Look("of the kind in an item", "#000000"),
        "overlap": Look("of it in every item", "#000000", filled=False),
        "chance": Look("of it in every item by chance", "#888888", marker="|"),
    },
)
CHOSEN = Series(
    "languages chosen",
    {
        "random": Look("random languages (band: lowest to highest)", "#000000"),
        "first": Look("the first languages", "#000000", DASHES[1]),
    },
)


@style.styled
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


@style.styled
def repeating(ds: Dataset) -> Figure:
    """Share of neurons of a kind in an item, in every item, and in every one by chance.

    All are means over layers. By chance, items are independent draws, and the share is the kind's
    share to the power of the number of items.

    Args:
        ds: ``overlap(task, layer, kind)``, ``kind_share(task, layer, kind)``, ``items(task)``.
    """
    tasks = tasks_of(ds, "overlap")
    if tasks is None:
        return style.empty("no kinds of neurons in several items")
    ds = ds.assign(chance=ds["kind_share"] ** ds["items"])
    parts = [valued(ds[[name]].mean("layer"), name).assign(share=name) for name in REPEATED]
    table = pd.concat(parts, ignore_index=True)
    figure = points.by_level(table, KINDS, REPEATED, "share of neurons", columns=tasks)
    sheets.as_shares(figure.axes, "x")
    sheets.legend(figure, sheets.point_handles(REPEATED))
    sheets.title(figure, ds, "neurons that repeat their behaviour, mean over layers")
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
    unit, shown = "share of non-activated neurons", looks.trusted(ds)
    figure = languages.by_layer(shown, "dead", unit, tasks, whole=True)
    note = looks.BANDS if len(held(ds, "dead", "language")) <= lines.MOST_COLOURED else ""
    sheets.title(figure, ds, "non-activated neurons that no token activates", note)
    return figure


@style.styled
def thresholds(ds: Dataset) -> Figure:
    """Share of each kind (columns) in each task (rows), one line per threshold.

    Args:
        ds: ``threshold_share(task, threshold, layer, kind)`` with ``_low`` and ``_high``, which
            bound the mean over items; ``items(task)``.
    """
    ds, share = looks.trusted(ds), "threshold_share"
    note = f"{looks.BANDS}; columns differ in scale"
    return sweep(ds, share, valued(ds, share), "threshold", "threshold", note)


@style.styled
def language_counts(ds: Dataset) -> Figure:
    """Share of each kind (columns) in the first tasks (rows), two lines per number of languages.

    Args:
        ds: ``random_languages_share(task, languages, layer, kind)``, the mean over random sets of
            languages, with ``_lowest`` and ``_highest`` of them; ``language_count_share`` of the
            same dimensions, among the first languages; ``items(task)``.
    """
    ds = ds.isel(task=slice(DRAWN_TASKS))
    first = valued(ds[["language_count_share"]], "language_count_share")
    ends = {f"{RANDOM}_lowest": f"{RANDOM}_low", f"{RANDOM}_highest": f"{RANDOM}_high"}
    random = valued(ds.rename(ends), RANDOM)
    parts = [first.assign(**{CHOSEN.column: "first"}), random.assign(**{CHOSEN.column: "random"})]
    table = pd.concat(parts, ignore_index=True)
    note = "columns differ in scale"
    return sweep(ds, RANDOM, table, "languages", "number of languages", note, CHOSEN)


def sweep(
    ds: Dataset,
    share: str,
    table: pd.DataFrame,
    dimension: str,
    words: str,
    note: str,
    dashes: Series | None = None,
) -> Figure:
    """Draw shares of each kind (columns) in each task (rows), one line per step of a sweep.

    Args:
        ds: ``share(task, dimension, layer, kind)``.
        share: name of the variable whose tasks are drawn.
        table: ``value`` and perhaps ``low`` and ``high`` by ``task``, ``kind``, ``layer`` and
            ``dimension``.
        dimension: name of the sweep's dimension, whose coordinate holds the steps' numbers.
        words: name of the numbers.
        note: what is said below the title.
        dashes: what line styles are.
    """
    tasks = tasks_of(ds, share)
    if tasks is None:
        return style.empty(f"no shares of kinds by {words}")
    drawn = looks.steps(dimension, [f"{step:g}" for step in ds[dimension].values], words)
    table[dimension] = table[dimension].map("{:g}".format)
    columns, axis = Facet.of(KINDS), LayerAxis.of(ds)
    figure = looks.grid(table, axis, drawn, tasks, columns, dashes=dashes, share_y="col")
    sheets.as_shares(figure.axes, whole=False)
    for ax in figure.axes:
        ax.set_ylim(bottom=0)
    sheets.title(figure, ds, f"kinds by {words}", note)
    return figure


FIGURES: dict[str, style.Drawing] = {
    "figures_02_04_11_18_kinds": style.Drawing(
        neuron_kinds, partial(told, name="kind_share", words="Shares of neurons")
    ),
    "figure_05_behaviour_repeating": style.Drawing(
        repeating, partial(told, name="overlap", words="Of one kind in every item")
    ),
    "figure_06_dead": style.Drawing(
        dead, partial(told, name="dead", words="Share of the non-activated that no token activates")
    ),
    "figure_19_language_count": style.Drawing(
        language_counts,
        partial(
            told,
            name=RANDOM,
            words="Change of shares with the number of random languages",
            along="languages",
            most=DRAWN_TASKS,
        ),
    ),
    "figure_22_threshold": style.Drawing(
        thresholds,
        partial(
            told,
            name="threshold_share",
            words="Change of shares with the threshold",
            along="threshold",
        ),
    ),
}
