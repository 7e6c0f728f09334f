"""Figures 2 to 6, 11 to 19 and 22: which neurons languages share, layer by layer."""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from xarray import Dataset

from neuroglot.analyses.sharing.figures import looks
from neuroglot.analyses.sharing.figures.looks import KINDS, told
from neuroglot.figures import languages, points, sheets
from neuroglot.figures.layers import LayerAxis
from neuroglot.figures.series import DASHES, Look, Series
from neuroglot.figures.style import Drawing
from neuroglot.figures.texts import panels_of
from neuroglot.tables import valued

FIRST, RANDOM = "language_count_share", "random_languages_share"
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
            facts; ``active_share(task, layer, language)``, drawn as mean and range of languages;
            ``items(task)``, ``facts(task)``.
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
        ds: ``dead(task, layer, language)`` with ``dead_low`` and ``dead_high``; ``items(task)``,
            ``facts(task)``.
    """
    tasks = panels_of(ds, "dead", "task", "no non-activated neurons")
    unit, ds = "share of non-activated neurons", looks.trusted(ds)
    figure = languages.by_layer(ds, "dead", unit, tasks, whole=True)
    note = looks.BANDS if figure.legends else ""
    return sheets.title(figure, ds, "non-activated neurons that no token activates", note)


def thresholds(ds: Dataset) -> Figure:
    """Share of each kind (columns) in each task (rows), one line per threshold.

    Args:
        ds: ``threshold_share(task, threshold, layer, kind)`` with ``_low`` and ``_high``, which
            bound the mean over facts; ``items(task)``, ``facts(task)``.
    """
    ds = looks.trusted(ds)
    table = valued(ds, "threshold_share")
    table["threshold"] = table["threshold"].map("{:g}".format)
    steps = looks.steps("threshold", [f"{step:g}" for step in ds["threshold"].values], "threshold")
    return sweep(ds, table, steps, "threshold", f"{looks.BANDS}; columns differ in scale")


def language_counts(ds: Dataset, most: int) -> Figure:
    """Share of each kind (columns) in each task (rows), two lines per number of languages.

    Args:
        ds: ``random_languages_share(task, languages, layer, kind)``, the mean over random sets of
            languages, with ``_lowest`` and ``_highest`` of them; ``language_count_share`` of the
            same dimensions, among the first languages; ``items(task)``, ``facts(task)``. Of all
            languages there is one set, and one line.
        most: number of tasks, from the first, that are drawn.
    """
    ds = ds.isel(task=slice(most))
    ends = {f"{RANDOM}_lowest": f"{RANDOM}_low", f"{RANDOM}_highest": f"{RANDOM}_high"}
    random, first = valued(ds.rename(ends), RANDOM), valued(ds[[FIRST]], FIRST)
    counts, languages = ds["languages"].values.tolist(), ds.sizes["language"]
    first = first[first["languages"] != languages]
    shades = looks.steps("languages", counts, "").values("color")
    of_random = {n: f"{n} random languages" if n != languages else f"all {n}" for n in counts}
    of_first = {n: f"the first {n}" for n in counts if n != languages}
    random["languages"] = random["languages"].map(of_random)
    first["languages"] = first["languages"].map(of_first)
    solid = {label: Look(label, shades[n]) for n, label in of_random.items()}
    dashed = {label: Look(label, shades[n], DASHES[1]) for n, label in of_first.items()}
    both, table = Series("languages", solid | dashed), pd.concat([random, first], ignore_index=True)
    note = "bands: lowest and highest of the random sets; columns differ in scale"
    return sweep(ds, table, both, "number of languages", note)


def sweep(ds: Dataset, table: pd.DataFrame, steps: Series, words: str, note: str) -> Figure:
    """Draw shares of each kind (columns) in each task (rows), one line per step of a sweep.

    Args:
        ds: the dataset, for tasks, layers and the title.
        table: ``value``, ``low`` and ``high`` by ``task``, ``kind``, ``layer`` and step.
        steps: the steps and their lines.
        words: what the numbers are.
        note: what bands are.
    """
    tasks = panels_of(ds, "kind_share", "task", f"no shares of kinds by {words}")
    figure = looks.grid(table, LayerAxis.of(ds), steps, tasks, KINDS, share_y="col")
    sheets.as_shares(figure.axes, whole=False)
    for ax in figure.axes:
        ax.set_ylim(bottom=0)
    return sheets.title(figure, ds, f"kinds by {words}", note)


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
    "figure_19_language_count": Drawing(
        language_counts,
        partial(
            told,
            name=RANDOM,
            words="Change of shares with the number of random languages",
            along="languages",
        ),
        most=2,
    ),
    "figure_22_threshold": Drawing(
        thresholds,
        partial(
            told,
            name="threshold_share",
            words="Change of shares with the threshold",
            along="threshold",
        ),
    ),
}
